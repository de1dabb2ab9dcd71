"""find_similar on vectors that anyone can check by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.errors import LibraryError
from index.library import Library
from index.look import Example
from index.search import example_of_file, example_of_photo, find_similar, like, stage_weights
from regconv.errors import UnreadableImage
from storage.records import Batch, FileStamp, Filter

Fill = Callable[..., list[int]]
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def example(vector: Sequence[float], stage1: Sequence[float] | None = None) -> Example:
    """A query; its stage1 is its stage2 unless said."""
    units = {}
    for part, values in (("stage1", stage1 or vector), ("stage2", vector)):
        array = np.array(values, np.float32)
        units[part] = array / max(float(np.linalg.norm(array)), 1e-12)
    return Example(units)


def paths(library: Library, *plus: Example, **options: Any) -> list[str]:
    return [neighbour.photo.path for neighbour in find_similar(library, list(plus), **options).neighbours]


@pytest.fixture
def colours(library: Library, fill: Fill) -> Library:
    """A library of six photos between red, green and blue."""
    vectors = {
        "/p/red.png": RED,
        "/p/orange.png": (0.9, 0.43, 0.0),
        "/p/yellow.png": (0.7, 0.71, 0.0),
        "/p/green.png": GREEN,
        "/p/cyan.png": (0.0, 0.7, 0.71),
        "/p/blue.png": BLUE,
    }
    fill(library, vectors)
    return library


def test_the_nearest_come_first_with_their_cosine(colours: Library) -> None:
    answer = find_similar(colours, [example(RED)], k=4)
    names = [os.path.basename(neighbour.photo.path) for neighbour in answer.neighbours]
    assert names[:3] == ["red.png", "orange.png", "yellow.png"]
    expected = [1.0, 0.9 / np.hypot(0.9, 0.43), 0.7 / np.hypot(0.7, 0.71), 0.0]
    assert [neighbour.score for neighbour in answer.neighbours] == pytest.approx(expected, abs=1e-3)
    assert answer.exact
    assert paths(colours, example((3.0, 0.0, 0.0)), k=2) == paths(colours, example(RED), k=2)


def test_several_pictures_ask_for_what_is_between_them(colours: Library) -> None:
    assert paths(colours, example(RED), example(GREEN), k=1) == ["/p/yellow.png"]
    assert paths(colours, example(GREEN), example(BLUE), k=1) == ["/p/cyan.png"]


def test_a_picture_to_be_unlike_takes_its_share_away(colours: Library) -> None:
    between = example((0.7, 0.71, 0.0))
    assert find_similar(colours, [between], k=1).neighbours[0].photo.path == "/p/yellow.png"
    away = find_similar(colours, [between], [example(GREEN)], k=6).neighbours
    assert away[0].photo.path == "/p/red.png"
    assert away[-1].photo.path in ("/p/green.png", "/p/cyan.png")
    assert away[-1].score < 0


def test_a_picture_counts_by_its_weight(colours: Library) -> None:
    red, green = example(RED), example(GREEN)
    assert paths(colours, red, replace(green, weight=3.0), k=1) == ["/p/green.png"]
    assert paths(colours, replace(red, weight=3.0), green, k=1) == ["/p/orange.png"]
    scores = [one.score for one in find_similar(colours, [replace(red, weight=0.5), green], k=6).neighbours]
    again = [one.score for one in find_similar(colours, [red, replace(green, weight=2.0)], k=6).neighbours]
    assert scores == pytest.approx(again, abs=1e-6)
    away = find_similar(colours, [red], [replace(green, weight=0.1)], k=1).neighbours[0]
    assert away.score == pytest.approx(1 / np.hypot(1, 0.1), abs=1e-3)
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(LibraryError, match="above zero"):
            find_similar(colours, [replace(red, weight=weight)])


def test_weights_decide_which_part_counts(library: Library, fill: Fill) -> None:
    first, second = {"stage1": RED, "stage2": GREEN}, {"stage1": BLUE, "stage2": RED}
    third = {"stage1": (1.0, 0.0, 0.9), "stage2": (1.0, 0.5, 0.0)}
    fill(library, {"/first.png": first, "/second.png": second, "/both.png": third})
    query = example(RED)
    assert paths(library, query, k=1) == ["/second.png"]  # the pooled part alone, unless said
    assert paths(library, query, k=1, weights={"stage1": 1.0}) == ["/first.png"]
    assert paths(library, query, k=1, weights={"stage2": 5.0}) == ["/second.png"]
    answer = find_similar(library, [query], k=3, weights={"stage1": 1.0, "stage2": 3.0})
    by_path = {neighbour.photo.path: neighbour.score for neighbour in answer.neighbours}
    third1, third2 = 1 / np.hypot(1, 0.9), 1 / np.hypot(1, 0.5)
    expected = {"/both.png": 0.25 * third1 + 0.75 * third2, "/second.png": 0.75, "/first.png": 0.25}
    assert by_path == pytest.approx(expected, abs=1e-3)
    assert list(by_path) == ["/both.png", "/second.png", "/first.png"]
    assert answer.exact


def test_weighted_scores_do_not_depend_on_how_large_the_weights_are(colours: Library) -> None:
    small = find_similar(colours, [example(RED)], weights={"stage1": 0.01, "stage2": 0.03}).neighbours
    large = find_similar(colours, [example(RED)], weights={"stage1": 100.0, "stage2": 300.0}).neighbours
    assert [n.photo.path for n in small] == [n.photo.path for n in large]
    assert [n.score for n in small] == pytest.approx([n.score for n in large], abs=1e-6)


def test_presets_go_from_the_first_stage_to_the_pooled_part(library: Library) -> None:
    assert like(library, "colour") == {"stage1": 1.0}
    assert like(library, "subject") == {"stage2": 1.0}
    parts = tuple((name, 3) for name in ("stage1", "stage2", "stage3", "stage4", "pooled"))
    library.opened.space = replace(library.space, parts=parts, pooled="pooled")  # type: ignore[misc]
    assert [like(library, kind) for kind in ("colour", "pattern", "parts", "subject")] == [
        {"stage1": 1.0}, {"stage2": 1.0}, {"stage3": 1.0}, {"pooled": 1.0},
    ]  # fmt: skip


@pytest.mark.parametrize("numbers", [[1], [1, 2, 3], [], [-1, 2], [float("nan"), 1], [float("inf"), 1]])
def test_weights_that_do_not_fit_are_refused_in_words(library: Library, numbers: list[float]) -> None:
    with pytest.raises(LibraryError, match="Expected 2 weights, for stage1, stage2"):
        stage_weights(library, numbers)
    with pytest.raises(LibraryError, match="nothing to compare: let one of them count"):
        stage_weights(library, [0, 0])


def test_weights_of_zero_are_left_out(library: Library) -> None:
    assert stage_weights(library, [0, 2]) == {"stage2": 2}
    assert stage_weights(library, [1, 2]) == {"stage1": 1, "stage2": 2}


def test_filters_reach_into_the_search(library: Library, fill: Fill) -> None:
    crowd = {f"/crowd/{number:03}.png": (1.0, number / 1000, 0.0) for number in range(300)}
    fill(library, crowd)
    fill(library, {"/far/2020.png": (0.1, 1.0, 0.0)}, taken_at=datetime(2020, 5, 5), camera="Nikon D3")
    fill(library, {"/far/2021.png": (0.0, 1.0, 0.2)}, taken_at=datetime(2021, 5, 5), camera="Leica M6")
    query = example(RED)
    assert all(path.startswith("/crowd") for path in paths(library, query, k=50))
    for where, expected in [
        (Filter(folder="/far"), ["/far/2020.png", "/far/2021.png"]),
        (Filter(camera="leica"), ["/far/2021.png"]),
        (Filter(before=datetime(2021, 1, 1)), ["/far/2020.png"]),
        (Filter(after=datetime(2021, 1, 1), folder="/crowd"), []),
    ]:
        assert paths(library, query, k=5, where=where) == expected
        assert paths(library, query, k=5, where=where, weights={"stage1": 1.0, "stage2": 1.0}) == expected


@pytest.mark.parametrize("weights", [None, {"stage1": 1.0, "stage2": 1.0}])
def test_gone_photos_are_not_found_however_many_of_the_nearest_they_are(
    library: Library, fill: Fill, weights: dict[str, float] | None
) -> None:
    fill(library, {f"/gone/{number:04}.png": (1.0, number / 10_000, 0.0) for number in range(1500)})
    fill(library, {f"/kept/{number}.png": (0.1, 1.0, number / 10) for number in range(6)})
    assert library.catalog.mark_gone(["/gone"], [], set(), library.catalog.newest_photo()) == 1500
    found = paths(library, example(RED), k=4, weights=weights)
    assert found == [f"/kept/{number}.png" for number in range(4)]
    assert len(paths(library, example(RED), k=100, weights=weights)) == 6


def test_copies_of_one_content_follow_each_other(library: Library, fill: Fill) -> None:
    copies = {"/a/copy.png": "/z/red.png", "/m/copy.png": "/z/red.png"}
    fill(library, {"/z/red.png": RED, "/b/orange.png": (0.9, 0.43, 0.0)}, copies)
    answer = find_similar(library, [example(RED)], k=4)
    assert [n.photo.path for n in answer.neighbours] == ["/a/copy.png", "/m/copy.png", "/z/red.png", "/b/orange.png"]
    assert len({n.score for n in answer.neighbours[:3]}) == 1
    assert paths(library, example(RED), k=2) == ["/a/copy.png", "/m/copy.png"]
    assert paths(library, example(RED), k=4, where=Filter(folder="/z")) == ["/z/red.png"]


def test_contents_can_be_left_out(library: Library, fill: Fill) -> None:
    red, orange = fill(library, {"/red.png": RED, "/orange.png": (0.9, 0.43, 0.0), "/green.png": GREEN})[:2]
    assert paths(library, example(RED), k=2, without=[red]) == ["/orange.png", "/green.png"]
    assert paths(library, example(RED), k=2, without={red, orange}) == ["/green.png"]


def test_only_photos_of_a_set_are_found_however_far_they_are(library: Library, fill: Fill) -> None:
    fill(library, {f"/near/{number:04}.png": (1.0, number / 10_000, 0.0) for number in range(1200)})
    fill(library, {"/far/a.png": BLUE, "/far/b.png": GREEN}, {"/copy/of-b.png": "/far/b.png"})
    ids = {photo.path: photo.id for photo in library.catalog.photos_in("present", 2000)}
    far = [ids["/far/a.png"], ids["/far/b.png"]]
    assert paths(library, example((0.1, 0.9, 0.0)), within=far) == ["/far/b.png", "/far/a.png"]
    assert paths(library, example(RED), k=2, within=[*far, ids["/near/0007.png"]])[0] == "/near/0007.png"
    assert paths(library, example(GREEN), within=far, where=Filter(folder="/copy")) == []
    assert paths(library, example(GREEN), within=[ids["/copy/of-b.png"]]) == ["/copy/of-b.png"]
    assert paths(library, example(GREEN), within=[]) == []
    assert paths(library, example(GREEN), within=[10**9]) == []


def test_equal_scores_come_in_a_fixed_order(library: Library, fill: Fill) -> None:
    fill(library, {f"/{name}.png": RED for name in "cab"})
    once = paths(library, example(RED))
    assert sorted(once) == ["/a.png", "/b.png", "/c.png"]
    assert paths(library, example(RED)) == once
    assert paths(library, example(RED), weights={"stage1": 1.0, "stage2": 1.0}) == once


def test_a_picture_that_shows_nothing_is_stored_and_found_last(library: Library, fill: Fill) -> None:
    fill(library, {"/black.png": (0.0, 0.0, 0.0), "/red.png": RED, "/anti.png": (-1.0, 0.0, 0.0)})
    for weights in (None, {"stage1": 1.0, "stage2": 2.0}):
        answer = find_similar(library, [example(RED)], weights=weights)
        assert [n.photo.path for n in answer.neighbours] == ["/red.png", "/black.png", "/anti.png"]
        assert [n.score for n in answer.neighbours] == pytest.approx([1, 0, -1], abs=1e-6)


def test_nothing_to_search_for_is_said_in_words(colours: Library) -> None:
    with pytest.raises(LibraryError, match="Nothing is left to search for: the pictures cancel each other"):
        find_similar(colours, [example((0.0, 0.0, 0.0))])
    with pytest.raises(LibraryError, match="cancel each other"):
        find_similar(colours, [example(RED)], [example(RED)])
    with pytest.raises(LibraryError, match="at least one picture to be like"):
        find_similar(colours, [], [example(RED)])


def test_an_empty_library_has_no_neighbours(library: Library) -> None:
    for weights in (None, {"stage1": 1.0, "stage2": 1.0}):
        answer = find_similar(library, [example(RED)], weights=weights)
        assert answer.neighbours == []
        assert answer.exact


def test_a_score_is_never_above_one(library: Library, fill: Fill) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 3))
    fill(library, {f"/{number}.png": vector for number, vector in enumerate(vectors)})
    for number in range(0, 200, 7):
        photo = library.catalog.photos_in("present", 1, number)[0]
        for weights in (None, {"stage1": 0.3, "stage2": 0.7}):
            answer = find_similar(library, [example_of_photo(library, photo.id)], k=1, weights=weights)
            assert answer.neighbours[0].photo.id == photo.id
            assert 1 - 1e-5 < answer.neighbours[0].score <= 1


def test_a_photo_of_the_library_is_a_query_without_its_file(colours: Library) -> None:
    ids = {photo.path: photo.id for photo in colours.catalog.photos_in("present", 9)}
    asked = example_of_photo(colours, ids["/p/cyan.png"])
    assert asked.content_id == colours.catalog.photo(ids["/p/cyan.png"]).content_id  # type: ignore[union-attr]
    assert paths(colours, asked, k=1) == ["/p/cyan.png"]
    assert "decoder" not in vars(colours)


def test_photos_that_cannot_be_asked_with_say_why(colours: Library) -> None:
    with pytest.raises(LibraryError, match="no photo with the id 999"):
        example_of_photo(colours, 999)
    colours.catalog.store(Batch(failures=[(FileStamp("/p/bad.png", 1, 1), "is damaged")]), colours.space_id)
    bad = colours.catalog.photos_in("unreadable", 1)[0]
    with pytest.raises(UnreadableImage, match="is damaged"):
        example_of_photo(colours, bad.id)
    photo = colours.catalog.photos_in("present", 1)[0]
    colours.catalog.drop_vectors([photo.content_id or 0], colours.space_id)
    with pytest.raises(LibraryError, match="has no vector yet"):
        example_of_photo(colours, photo.id)


def test_what_was_given_up_meanwhile_elsewhere_does_not_end_a_weighted_search(
    colours: Library, open_library: Callable[..., Library]
) -> None:
    weights = {"stage1": 1.0, "stage2": 1.0}
    assert paths(colours, example(RED), k=1, weights=weights) == ["/p/red.png"]
    red = colours.catalog.photos_in("present", 1)[0]
    open_library().catalog.drop_vectors([red.content_id or 0], colours.space_id)
    assert paths(colours, example(RED), k=1, weights=weights) == ["/p/orange.png"]


def test_a_query_from_a_file_finds_the_file(library: Library, photos: Path, run: Callable[..., Any]) -> None:
    run(library, photos)
    query = example_of_file(library, str(photos / "lime.png"))
    assert [os.path.basename(path) for path in paths(library, query, k=2)] == ["lime.png", "green.png"]
    with pytest.raises(UnreadableImage):
        example_of_file(library, str(photos / "nowhere.png"))


@pytest.mark.usefixtures("inline_decoder")
def test_a_file_whose_bytes_the_library_has_needs_no_network(
    open_library: Callable[..., Library], photos: Path, run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    library = open_library()
    run(library, photos)
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes((photos / "red.png").read_bytes())
    fresh = open_library()
    query = example_of_file(fresh, str(copy))
    assert "backbone" not in fresh.opened.__dict__
    assert (query.content_id, query.space) == (None, fresh.space.key)
    found = find_similar(fresh, [query], k=2).neighbours
    assert [Path(one.photo.path).name for one in found] == ["red.png", "rose.png"]
    assert found[0].score == pytest.approx(1, abs=1e-6)
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert example_of_file(fresh, str(copy)).vectors["stage2"] == pytest.approx(query.vectors["stage2"], abs=1e-3)
    assert "backbone" in fresh.opened.__dict__
