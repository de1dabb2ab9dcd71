"""Pairs of pictures as the Why tab's events ask for them: parts, cells of either side, files that change or go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from index.job import index_folder
from index.kept import FEWEST, Kept
from index.library import Library
from index.why import explained, looked_at
from ui import pair_handlers as handlers
from ui.pair_handlers import PairResult, PairView


def view_of(result: PairResult) -> PairView:
    assert result.problem is None
    assert result.view is not None
    return result.view


@pytest.fixture
def shown(library: Library, photo_ids: dict[str, int]) -> tuple[Kept, PairView]:
    """Two photos that are shown, and what was kept of them."""
    kept = Kept()
    result = handlers.pair_of(library, kept, photo_ids["coffee.jpg"], photo_ids["rocket.jpg"])
    assert result.notes == result.without_vector == []
    return kept, view_of(result)


def test_the_cells_of_each_picture_sum_to_the_cosine_in_every_part(
    library: Library, shown: tuple[Kept, PairView]
) -> None:
    kept, view = shown
    assert [score.words for score in view.pair.scores] == ["stage 1", "stage 2", "stage 3", "stage 4"]
    assert view.part == 3  # what searches compare
    for number, score in enumerate(view.pair.scores):
        part = view_of(handlers.part_of(library, kept, view.pair, number))
        for side in part.sides:
            assert side.cells.sum() + side.constant == pytest.approx(score.cosine, abs=1e-5)
            assert side.cells.shape == (len(side.rows) - 1, len(side.columns) - 1)
            assert (side.rows[0], side.rows[-1]) == (0, len(side.picture))
        assert part.limit == max(np.abs(side.cells).max() for side in part.sides)
        assert part.cell is None


def test_a_cell_of_either_picture_shows_over_the_other_what_it_matched(
    library: Library, shown: tuple[Kept, PairView]
) -> None:
    kept, whole = shown
    stage3 = view_of(handlers.part_of(library, kept, whole.pair, 2))
    for side in (0, 1):
        view = view_of(handlers.part_of(library, kept, whole.pair, 2, (side, 4, 2)))
        assert view.cell is not None
        assert (view.cell.side, view.cell.cell) == (side, (4, 2))
        assert view.cell.share == pytest.approx(stage3.sides[side].cells[4, 2])
        over = view.sides[1 - side]
        assert over.cells.sum() + over.constant == pytest.approx(view.cell.share)
        assert over.name == stage3.sides[1 - side].name
        np.testing.assert_allclose(view.sides[side].cells, stage3.sides[side].cells)
        (place, most), *_ = view.cell.best
        assert most == over.cells.max() == over.cells[place]


def test_a_cell_is_not_looked_at_again_until_its_picture_is_no_longer_kept(
    library: Library, shown: tuple[Kept, PairView], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, view = shown
    looks: list[int] = []
    features = type(library.backbone).features
    monkeypatch.setattr(
        type(library.backbone), "features", lambda self, pictures: looks.append(1) or features(self, pictures)
    )
    view_of(handlers.part_of(library, kept, view.pair, 1, (0, 0, 0)))
    assert looks == []
    afresh = view_of(handlers.part_of(library, Kept(), view.pair, 1, (0, 0, 0)))
    assert len(looks) == 2
    assert afresh.pair.digests == view.pair.digests


def test_what_is_kept_is_bounded_and_the_last_used_stays(library: Library, photo_folder: Path) -> None:
    names = ("coffee.jpg", "moon.jpg", "rocket.jpg", "retina.jpg", "chelsea.jpg", "astronaut.jpg")
    kept, space = Kept(most_bytes=1), library.space.key
    digests = [kept.look(library, str(photo_folder / name)).digest for name in names[:FEWEST]]
    assert all(kept.find(space, digest) for digest in digests)
    assert kept.find(space, digests[0])  # used again: the second is the oldest now
    kept.look(library, str(photo_folder / names[FEWEST]))
    assert [kept.find(space, digest) is not None for digest in digests] == [True, False, True, True]
    assert kept.find("another space", digests[0]) is None


def test_an_upload_is_explained_and_finds_its_neighbours(
    library: Library, photo_ids: dict[str, int], photo_folder: Path, tmp_path: Path
) -> None:
    upload = tmp_path / "Bär 猫.jpg"
    shutil.copy(photo_folder / "coffee-again.jpg", upload)
    kept = Kept()
    query = handlers.query_of(library, kept, str(upload))
    assert (query.name, query.photo_id, query.problem) == ("Bär 猫.jpg", None, None)
    assert query.hits[0].name == "coffee-again.jpg"
    assert query.hits[0].score == pytest.approx(1, abs=1e-3)
    view = view_of(handlers.pair_of(library, kept, str(upload), photo_ids["coffee.jpg"]))
    assert view.cosine > 0.98
    score = next(hit.score for hit in query.hits if hit.photo_id == photo_ids["coffee.jpg"])
    assert score == pytest.approx(view.cosine, abs=1e-3)
    own = handlers.query_of(library, kept, photo_ids["coffee.jpg"])
    assert photo_ids["coffee.jpg"] not in [hit.photo_id for hit in own.hits]


def test_what_cannot_be_explained_is_said_in_words(
    library: Library, photo_ids: dict[str, int], shown: tuple[Kept, PairView]
) -> None:
    kept, view = shown
    cat = photo_ids["chelsea.jpg"]
    assert (
        handlers.pair_of(library, kept, cat, 10**6).problem == "There is no photo with the id 1000000 in this library."
    )
    broken = handlers.pair_of(library, kept, cat, photo_ids["broken.jpg"]).problem
    assert broken == "broken.jpg could not be read as a picture: the file ends early."
    assert "rows 0 to 4" in (handlers.part_of(library, kept, view.pair, 3, (0, 5, 0)).problem or "")
    for part, cell in ((9, None), (0, (2, 0, 0))):
        assert "no such part" in (handlers.part_of(library, kept, view.pair, part, cell).problem or "")
    assert "could not be read" in (handlers.query_of(library, kept, photo_ids["broken.jpg"]).problem or "")


def test_photos_that_change_or_go_while_they_are_shown(tmp_path: Path, photo_folder: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("coffee.jpg", "moon.jpg", "rocket.jpg"):
        shutil.copy(photo_folder / name, folder)
    Image.new("RGB", (160, 160)).save(folder / "black.png")
    with Library.open(tmp_path / "own", model="starter", device="cpu", create=True) as library:
        list(index_folder(library, [str(folder)]))
        ids = {os.path.basename(photo.path): photo.id for photo in library.catalog.photos_in("present", 9)}
        kept = Kept()
        view = view_of(handlers.pair_of(library, kept, ids["coffee.jpg"], ids["moon.jpg"]))
        shutil.copy(photo_folder / "retina.jpg", folder / "moon.jpg")
        still = view_of(handlers.part_of(library, kept, view.pair, 2, (1, 3, 3)))
        np.testing.assert_array_equal(still.sides[1].picture, view.sides[1].picture)
        forgotten = handlers.part_of(library, Kept(), view.pair, 2)
        assert forgotten.problem == "moon.jpg was changed since it was shown here: choose the photo again."
        anew = handlers.pair_of(library, kept, ids["coffee.jpg"], ids["moon.jpg"])
        assert "moon.jpg was changed after it was indexed" in anew.notes[0]
        assert view_of(anew).stored_cosine is None
        assert view_of(anew).cosine != view.cosine

        (folder / "coffee.jpg").unlink()
        gone = handlers.pair_of(library, kept, ids["coffee.jpg"], ids["rocket.jpg"]).problem
        assert gone is not None
        assert gone.startswith("coffee.jpg is not where it was when it was indexed")
        query = handlers.query_of(library, kept, ids["coffee.jpg"])
        assert query.problem == gone
        assert query.picture is None
        assert query.hits  # from its stored vectors


def test_parts_in_which_a_picture_is_a_vector_of_zeros(
    library: Library, photo_ids: dict[str, int], photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind: set[str] = set()

    def seen(eyes: Library, path: str, known: Any) -> Any:
        looked = looked_at(eyes, path)
        for name in blind:
            looked.vectors.norms[name][:] = 0
        return looked

    monkeypatch.setattr("index.kept.looked_at", seen)
    pair = (library, Kept(), photo_ids["coffee.jpg"], photo_ids["moon.jpg"])
    blind |= {"stage4"}
    partly = handlers.pair_of(*pair)
    assert partly.without_vector == ["stage 4"]
    assert view_of(partly).pair.scores[view_of(partly).part].words == "stage 3"
    blind |= {"stage1", "stage2", "stage3"}
    assert "its vectors are zero, which is like nothing" in (handlers.pair_of(*pair).problem or "")


def test_an_explanation_of_what_is_kept_is_the_one_of_the_files(library: Library, photo_folder: Path) -> None:
    kept = Kept()
    paths = [str(photo_folder / name) for name in ("moon.jpg", "retina.jpg")]
    once, again = ([kept.look(library, path) for path in paths] for _ in range(2))
    first, second = (explained(library, (one[0], one[1]), "stage2").chosen for one in (once, again))
    assert first.cosine == second.cosine
    assert again[0].maps is once[0].maps
