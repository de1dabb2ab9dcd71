"""The library as a map: alike pictures close together, the same map each time, kept whole, and stable when photos come."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import atlas
from index.atlas import Atlas, contents_to_show, draw, load, photos_of, save
from index.library import Library
from index.projection import components, project

Fill = Callable[..., list[int]]
GROUPS, EACH = 4, 30


def grouped(count: int = EACH, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(vectors float32 (n, 16) of unit length in GROUPS groups, the group of each)."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(9).normal(size=(GROUPS, 16))
    group = np.arange(GROUPS * count) % GROUPS
    vectors = middles[group] + random.normal(scale=0.25, size=(len(group), 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), group


def projected(vectors: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    *_, (share, places) = project(vectors, known)
    assert share == 1
    assert places is not None
    return places


def drawn(library: Library, old: Atlas | None = None) -> Atlas:
    *_, (progress, found) = draw(library, old)
    assert (progress.done, progress.total) == (100, 100)
    assert found is not None
    return found


def test_what_is_alike_lies_together_and_the_map_is_the_same_each_time() -> None:
    vectors, group = grouped()
    places = projected(vectors)
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(far, np.inf)
    nearest = np.argsort(far, axis=1)[:, :10]
    assert (group[nearest] == group[:, None]).mean() > 0.95
    np.testing.assert_array_equal(places, projected(vectors))


def test_new_vectors_come_into_their_group_and_move_the_others_little() -> None:
    vectors, group = grouped()
    is_new = np.arange(len(vectors)) >= len(vectors) * 9 // 10
    first = projected(vectors[~is_new])
    known = np.full((len(vectors), 2), np.nan, np.float32)
    known[~is_new] = first
    places = projected(vectors, known)
    middles = np.stack([first[group[~is_new] == one].mean(axis=0) for one in range(GROUPS)])
    nearest = np.linalg.norm(places[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.95
    width = np.ptp(first, axis=0).max()
    moved = np.median(np.linalg.norm(places[~is_new] - first, axis=1))
    afresh = np.median(np.linalg.norm(projected(vectors)[~is_new] - first, axis=1))
    assert moved < 0.25 * width
    assert moved < afresh


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 10, 11, 14, 30, 120])
def test_few_vectors_have_places_too(count: int) -> None:
    vectors = grouped()[0][:count]
    places = projected(vectors)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == count
    assert count < 2 or np.ptp(places, axis=0).max() > 0.1  # and not all in one place


def test_vectors_that_are_all_the_same_or_of_one_number_have_places() -> None:
    assert np.isfinite(projected(np.ones((40, 1), np.float32))).all()
    assert np.isfinite(projected(np.tile(np.float32([0.6, 0.8]), (40, 1)))).all()


def test_components_are_those_of_a_singular_value_decomposition_with_one_sign() -> None:
    vectors = grouped()[0]
    found = components(vectors)
    left, values, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :2] * values[:2]), atol=1e-4)
    np.testing.assert_array_equal(found, components(vectors))


def library_of(library: Library, fill: Fill, count: int, **facts: Any) -> list[int]:
    random = np.random.default_rng(count)
    return fill(library, {f"/p/{n:03}.jpg": random.uniform(0.1, 1, 3) for n in range(count)}, **facts)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 30, 130])
def test_a_library_of_any_size_has_a_map_of_its_contents(library: Library, fill: Fill, count: int) -> None:
    contents = library_of(library, fill, count) if count else []
    found = drawn(library)
    assert sorted(found.contents.tolist()) == sorted(contents)
    assert found.places.shape == (count, 2)
    assert load(library) is None
    assert not list(library.cache.glob("map-*"))
    save(library, found)
    again = load(library)
    assert again is not None
    np.testing.assert_array_equal(again.places, found.places)
    np.testing.assert_array_equal(again.contents, found.contents)
    assert again.stamp == found.stamp
    assert [path.name for path in library.cache.glob("map-*")] == [f"map-{library.space_id}.npz"]


def test_copies_are_one_picture_and_what_is_gone_is_none(
    open_library: Callable[..., Library], photos: Path, paint: Callable[..., Path], run: Callable[..., Any]
) -> None:
    library = open_library()
    (photos / "copy.png").write_bytes((photos / "red.png").read_bytes())
    run(library, photos)
    found = drawn(library)
    assert len(found.contents) == 5
    names = {Path(photo.path).name for photo in photos_of(library, found.contents.tolist()).values()}
    assert names == {"copy.png", "rose.png", "green.png", "lime.png", "blue.png"}
    (photos / "blue.png").unlink()
    run(library, photos)
    assert len(contents_to_show(library)) == 4
    assert "blue.png" not in {Path(one.path).name for one in photos_of(library, found.contents.tolist()).values()}


def test_above_the_most_the_sample_is_fair_and_stays(
    library: Library, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas, "MOST", 20)
    library_of(library, fill, 100)
    before = contents_to_show(library)
    assert len(before) == len(set(before.tolist())) == 20
    digests = library.catalog.digests(range(1, 101))
    assert set(before.tolist()) == set(sorted(digests, key=digests.__getitem__)[:20])
    fill(library, {f"/q/{n}.jpg": np.random.default_rng(n).uniform(0.1, 1, 3) for n in range(10)})
    assert len(set(before.tolist()) & set(contents_to_show(library).tolist())) >= 10


def test_a_map_goes_on_from_the_one_before_unless_most_is_new(
    library: Library, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    library_of(library, fill, 60)
    old = drawn(library)
    given: list[np.ndarray | None] = []

    def noted(vectors: np.ndarray, known: np.ndarray | None) -> Any:
        given.append(known)
        yield 1.0, np.zeros((len(vectors), 2), np.float32)

    monkeypatch.setattr(atlas, "project", noted)
    fill(library, {f"/q/{n}.jpg": np.random.default_rng(n).uniform(0.1, 1, 3) for n in range(10)})
    found = drawn(library, old)
    assert given[-1] is not None
    expected = dict(zip(old.contents.tolist(), old.places.tolist(), strict=True))
    for content, place in zip(found.contents.tolist(), given[-1].tolist(), strict=True):
        assert place == expected[content] if content in expected else np.isnan(place).all()
    fill(library, {f"/r/{n}.jpg": np.random.default_rng(n + 50).uniform(0.1, 1, 3) for n in range(90)})
    drawn(library, old)
    assert given[-1] is None


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other space", "not a number", "no array"])
def test_a_file_that_is_not_whole_or_of_this_library_is_no_map(library: Library, fill: Fill, harm: str) -> None:
    library_of(library, fill, 12)
    found = drawn(library)
    save(library, found)
    (file,) = library.cache.glob("map-*")
    content = file.read_bytes()
    if harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "flipped":
        at = content.index(found.places.tobytes())
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif harm == "empty":
        file.write_bytes(b"")
    elif harm == "no array":
        np.savez(file, contents=found.contents)
    else:
        places = np.full_like(found.places, np.nan) if harm == "not a number" else found.places
        about = "another library" if harm == "other space" else np.load(file)["about"]
        np.savez(file, contents=found.contents, places=places, about=np.array(about))
    assert load(library) is None


def test_what_a_kill_left_and_maps_of_spaces_given_up_are_swept(
    library: Library, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    library_of(library, fill, 3)
    library.cache.mkdir(exist_ok=True)
    for name in ("map-77.npz", "map-1.npz-aaaaaaaa-half", "stage2-x.faiss"):
        (library.cache / name).write_bytes(b"x")
    save(library, drawn(library))
    assert {path.name for path in library.cache.glob("*")} >= {"map-1.npz-aaaaaaaa-half", "stage2-x.faiss"}
    assert not (library.cache / "map-77.npz").exists()
    monkeypatch.setattr(atlas, "OLD_S", -1.0)
    save(library, drawn(library))
    assert not (library.cache / "map-1.npz-aaaaaaaa-half").exists()


def test_places_of_contents_that_are_not_on_it_are_not_known() -> None:
    found = Atlas(np.array([7, 3, 5]), np.float32([[1, 1], [2, 2], [3, 3]]))
    places = found.places_of(np.array([3, 4, 7, 99]))
    np.testing.assert_array_equal(places, np.float32([[2, 2], [np.nan] * 2, [1, 1], [np.nan] * 2]))
    assert np.isnan(Atlas(np.empty(0, np.int64), np.empty((0, 2), np.float32)).places_of(np.array([1]))).all()


def test_neither_library_is_loaded_before_a_map_is_drawn() -> None:
    code = "import sys, index.atlas, ui.api.map; print(*sorted({'openTSNE', 'sklearn', 'plotly'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
