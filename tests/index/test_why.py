"""Why two pictures are alike, through real (tiny) networks and a library: sums, stored cosines, cells, refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.look import Eyes
from index.search import example_of_photo, find_similar
from index.why import Why, why_alike
from regconv.errors import CheckpointError, UnreadableImage
from tests.index.conftest import InlineDecoder


@pytest.fixture(params=["regnet-y", "convnext"])
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with photos of coarse and fine structure, and one of a single colour."""
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number, cells in enumerate((2, 5, 9, 40)):
        small = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        small.resize((96, 80), Image.Resampling.BICUBIC).save(tmp_path / "photos" / f"{number}.png")
    Image.new("RGB", (90, 90), (70, 90, 120)).save(tmp_path / "photos" / "flat.png")
    return tmp_path / "photos"


@pytest.fixture
def known(family: str, pictures: Path, tmp_path: Path, tiny_checkpoint: Any, inline_decoder: None) -> Iterator[Library]:
    """A library of the pictures, made with a tiny network."""
    with Library.open(tmp_path / "known", model=str(tiny_checkpoint(family)), device="cpu", create=True) as library:
        list(index_folder(library, [str(pictures)]))
        yield library


def ids(library: Library) -> dict[str, int]:
    return {os.path.basename(photo.path): photo.id for photo in library.catalog.photos_in("present", 99)}


def held(why: Why) -> None:
    """Every part's maps sum to the cosine that a search would have computed."""
    for part in why.parts:
        assert abs(part.maps.first.sum() + part.maps.constants[0] - part.cosine) < 1e-5
        assert abs(part.maps.second.sum() + part.maps.constants[1] - part.cosine) < 1e-5
        for one in part.cells:
            assert one.pairs.share == pytest.approx(part.maps.first[one.cell])
            assert one.pairs.cells.sum() + one.pairs.constant == pytest.approx(one.pairs.share)
            assert [share for _, share in one.best] == sorted(one.pairs.cells.ravel(), reverse=True)[: len(one.best)]


def test_of_two_photos_every_part_sums_and_agrees_with_what_is_stored(known: Library) -> None:
    photo = ids(known)
    why = why_alike(known, photo["0.png"], photo["2.png"])
    assert [part.name for part in why.parts] == list(known.space.names)
    assert why.part == known.space.pooled
    assert why.empty == []
    held(why)
    strides = {info.name: info.stride for info in known.description.stages}
    assert [part.grid.stride for part in why.parts] == [strides.get(part.name, 16) for part in why.parts]
    for part in why.parts:
        assert part.stored_cosine is not None
        assert part.stored_cosine == pytest.approx(part.cosine, abs=1e-3)
    neighbours = find_similar(known, [example_of_photo(known, photo["0.png"])], k=9).neighbours
    score = next(one.score for one in neighbours if one.photo.id == photo["2.png"])
    assert why.chosen.stored_cosine == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("family", ["regnet-y", "convnext"])
def test_the_score_that_a_search_shows_comes_apart_too(
    family: str, tmp_path: Path, tiny_checkpoint: Any, inline_decoder: None
) -> None:
    """Of a library that is large enough to be searched by whitened vectors."""
    random = np.random.default_rng(5)
    (tmp_path / "photos").mkdir()
    for number in range(104):
        small = Image.fromarray(random.integers(0, 256, (2 + number % 9, 3, 3), dtype=np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / "photos" / f"{number}.png")
    widths = {"hidden_sizes": [14, 18, 144]} | ({"groups_width": 2} if family == "regnet-y" else {})
    model = str(tiny_checkpoint(family, **widths))
    with Library.open(tmp_path / "large", model=model, device="cpu", create=True) as library:
        list(index_folder(library, [str(tmp_path / "photos")]))
        photo = ids(library)
        why = why_alike(library, photo["0.png"], photo["7.png"], cell=(1, 2))
        held(why)
        *plain, searched = why.parts
        assert [part.is_searched for part in why.parts] == [False] * len(plain) + [True]
        assert searched.name == why.chosen.name == library.space.pooled
        assert not why.chosen.is_searched
        neighbours = find_similar(library, [example_of_photo(library, photo["0.png"])], k=200).neighbours
        score = next(one.score for one in neighbours if one.photo.id == photo["7.png"])
        assert searched.stored_cosine == pytest.approx(score, abs=1e-5)
        assert abs(score - why.chosen.cosine) > 0.01
        assert [matches.cell for matches in searched.cells] == [(1, 2)]
        only = why_alike(library, photo["0.png"], photo["7.png"], part="stage1")
        assert [part.is_searched for part in only.parts] == [False]


def test_a_file_is_as_good_as_its_photo_and_a_copy_elsewhere_too(
    known: Library, pictures: Path, tmp_path: Path
) -> None:
    photo = ids(known)
    by_id = why_alike(known, photo["1.png"], photo["3.png"])
    (tmp_path / "copy.png").write_bytes((pictures / "3.png").read_bytes())
    by_path = why_alike(known, str(pictures / "1.png"), str(tmp_path / "copy.png"))
    for one, other in zip(by_id.parts, by_path.parts, strict=True):
        assert (one.cosine, one.stored_cosine) == (other.cosine, other.stored_cosine)
        assert np.array_equal(one.maps.first, other.maps.first)


def test_what_the_library_has_not_or_no_longer_has_no_stored_cosine(
    known: Library, pictures: Path, tmp_path: Path
) -> None:
    photo = ids(known)
    Image.open(pictures / "3.png").rotate(90).save(tmp_path / "new.png")
    why = why_alike(known, photo["1.png"], str(tmp_path / "new.png"))
    held(why)
    assert {part.stored_cosine for part in why.parts} == {None}
    Image.open(pictures / "2.png").rotate(90).save(pictures / "2.png")  # changed since it was indexed
    assert why_alike(known, photo["1.png"], photo["2.png"]).chosen.stored_cosine is None


def test_a_model_is_enough(family: str, pictures: Path, tiny_checkpoint: Any) -> None:
    with Eyes(str(tiny_checkpoint(family)), "cpu") as eyes:
        eyes.__dict__["decoder"] = InlineDecoder(eyes.description.recipe)
        why = why_alike(eyes, str(pictures / "0.png"), str(pictures / "1.png"))
        held(why)
        assert {part.stored_cosine for part in why.parts} == {None}
        with pytest.raises(LibraryError, match="photo 3 is asked for by its id, but there is no library"):
            why_alike(eyes, str(pictures / "0.png"), 3)


def test_a_picture_and_itself(known: Library, pictures: Path) -> None:
    why = why_alike(known, str(pictures / "2.png"), str(pictures / "2.png"))
    held(why)
    for part in why.parts:
        assert part.cosine == pytest.approx(1, abs=1e-6)
        assert part.stored_cosine == pytest.approx(1, abs=1e-6)
        assert np.array_equal(part.maps.first, part.maps.second)


def test_a_picture_of_one_colour_still_has_a_map_where_the_network_sees_something(known: Library) -> None:
    photo = ids(known)
    held(why_alike(known, photo["flat.png"], photo["0.png"]))


def test_one_part_and_one_cell(known: Library) -> None:
    photo = ids(known)
    whole = why_alike(known, photo["0.png"], photo["3.png"])
    one = why_alike(known, photo["0.png"], photo["3.png"], part="stage2", cell=(3, 1))
    assert [part.name for part in one.parts] == ["stage2"]
    assert one.chosen.cosine == next(part.cosine for part in whole.parts if part.name == "stage2")
    assert [matches.cell for matches in one.chosen.cells] == [(3, 1)]
    held(one)
    strongest = next(part for part in whole.parts if part.name == "stage2")
    expected = np.argsort(-strongest.maps.first, axis=None)[:3]
    assert [np.ravel_multi_index(one.cell, strongest.maps.first.shape) for one in strongest.cells] == expected.tolist()
    by_default = why_alike(known, photo["0.png"], photo["3.png"], cell=(0, 1))
    assert [matches.cell for matches in by_default.chosen.cells] == [(0, 1)]
    assert by_default.part == known.space.pooled


def test_what_is_refused(known: Library, pictures: Path, tmp_path: Path) -> None:
    photo = ids(known)
    names = ", ".join(known.space.names)
    with pytest.raises(LibraryError, match=rf"no part 'stage9' in this network. It has {names}\."):
        why_alike(known, photo["0.png"], photo["1.png"], part="stage9")
    for cell in ((99, 0), (0, -1)):
        with pytest.raises(LibraryError, match=rf"no cell {cell[0]},{cell[1]} in stage1 .* rows 0 to \d+ and columns"):
            why_alike(known, photo["0.png"], photo["1.png"], part="stage1", cell=cell)
    with pytest.raises(LibraryError, match="no photo with the id 999"):
        why_alike(known, 999, photo["1.png"])
    (tmp_path / "no.png").write_bytes(b"not a picture")
    with pytest.raises(UnreadableImage):
        why_alike(known, photo["0.png"], str(tmp_path / "no.png"))
    (pictures / "1.png").unlink()
    with pytest.raises(UnreadableImage):
        why_alike(known, photo["0.png"], photo["1.png"])


@pytest.fixture
def blinded(known: Library, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(stage, value): from now on the network's map of a stage is this everywhere in every picture."""
    engine = known.backbone._run

    def blind(stage: str, value: float) -> None:
        def run(pixels: Any) -> dict[str, Any]:
            tensors = engine(pixels)
            tensors[stage] = tensors[stage] * 0 + value
            return tensors

        run.network = engine.network  # type: ignore[attr-defined]
        monkeypatch.setattr(known.backbone, "_run", run)

    return blind


def test_a_part_in_which_nothing_is_seen_is_named_and_the_others_are_explained(known: Library, blinded: Any) -> None:
    blinded("stage2", 0.0)
    photo = ids(known)
    why = why_alike(known, photo["0.png"], photo["1.png"])
    assert why.empty == ["stage2"]
    assert [part.name for part in why.parts] == [name for name in known.space.names if name != "stage2"]
    held(why)
    with pytest.raises(LibraryError, match=r"sees nothing at all in 0.png: its vector of stage2 is zero"):
        why_alike(known, photo["0.png"], photo["1.png"], part="stage2")


def test_values_that_are_not_finite_are_a_fault_of_the_model(known: Library, blinded: Any) -> None:
    blinded("stage1", float("nan"))
    with pytest.raises(CheckpointError, match="stage1 has values that are not finite"):
        why_alike(known, ids(known)["0.png"], ids(known)["1.png"])
