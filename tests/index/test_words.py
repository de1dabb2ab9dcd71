"""What photos are called: labels with their synonyms, marks, and what the marks have taught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.bounds import Bounds, filter_of, why_none
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.search import find_similar
from index.teach import teach
from index.word_search import find_named
from index.words import called, known_words, named, synonyms
from storage.records import Filter

Fill = Callable[..., list[int]]
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
LABELS = {
    0: "tabby, tabby cat", 1: "Egyptian cat", 2: "bear cat, cat bear", 3: "caterpillar", 4: "dogsled, dog sled, dog sleigh",
    5: "Eskimo dog, husky", 6: "tiger, Panthera tigris", 7: "tiger shark", 8: "punching bag, punch bag", 9: "hot-dog",
    10: "lens cap",
}  # fmt: skip


@pytest.fixture
def library(library: Library) -> Library:
    """A library whose model knows cats and dogs."""
    library.opened.space = replace(library.space, labels=LABELS)  # type: ignore[misc]
    return library


def paths(library: Library, *words: str, **options: object) -> list[str]:
    names = [named(library, word) for word in words]
    return [one.photo.path for one in find_named(library, names, **options).neighbours]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "labels"),
    [
        ("cat", (0, 1, 2)),  # each a kind of cat, if "bear cat" is; "cat bear" is another name of the same label
        ("CATS", (0, 1, 2)),
        ("tabby", (0,)),
        ("tabby cat", (0,)),
        ("dog", (5, 9)),  # what is a dog before what only has one in its name
        ("dog sleighs", (4,)),
        ("sled", (4,)),
        ("hot dog", (9,)),
        ("tiger", (6,)),
        ("panthera", (6,)),
        ("shark", (7,)),
        ("bags", (8,)),
        ("lens", (10,)),
        ("cater", (3,)),  # still typing
        ("caterpillars", (3,)),
    ],
)
def test_a_word_stands_for_the_labels_that_are_it(library: Library, word: str, labels: tuple[int, ...]) -> None:
    assert named(library, word).labels == labels


def test_a_word_that_nothing_is_called_gets_what_is_nearly(library: Library) -> None:
    with pytest.raises(LibraryError, match=r"'huskey' in it\. Nearly: husky"):
        named(library, "huskey")
    with pytest.raises(LibraryError, match="`words` lists"):
        named(library, "qqqqqq")
    for nothing in ("", "  ", ",", "..."):
        with pytest.raises(LibraryError, match=r"names nothing|in it"):
            named(library, nothing)
    with pytest.raises(LibraryError, match="a word at least"):
        find_named(library, [])
    assert synonyms(" a,, b c ,") == ["a", "b c"]


def test_taught_words_count_beside_labels(library: Library, fill: Fill) -> None:
    one, other = fill(library, {"/a.png": RED, "/b.png": BLUE})
    library.catalog.mark({"my cat": [one], "catkin": [other], "海 猫": [other]})
    assert named(library, "cat").taught == ("my cat",)
    assert named(library, "catkins").taught == ("catkin",)
    assert named(library, "猫").taught == ("海 猫",)
    assert paths(library, "cat") == ["/a.png"]


def test_photos_come_by_how_sure_they_are_what_the_words_say(library: Library, fill: Fill) -> None:
    fill(library, {"/sure.png": RED}, labels=[(0, 0.5), (1, 0.25), (5, 0.1)])
    fill(library, {"/less.png": RED, "/copy.png": BLUE}, labels=[(1, 0.5), (5, 0.3)])
    fill(library, {"/hardly.png": RED}, labels=[(5, 0.9), (2, 0.01)])
    (taught,) = fill(library, {"/mine.png": RED})
    fill(library, {"/none.png": RED})
    library.catalog.mark({"cat": [taught]})
    answer = find_named(library, [named(library, "cat")], k=9)
    assert [(one.photo.path, one.score) for one in answer.neighbours] == [
        ("/mine.png", 1.0), ("/sure.png", 0.75), ("/less.png", 0.5), ("/copy.png", 0.5), ("/hardly.png", 0.01),
    ]  # fmt: skip
    assert answer.exact
    assert paths(library, "cat", k=2) == ["/mine.png", "/sure.png"]
    assert paths(library, "cat", "dog") == ["/less.png", "/copy.png", "/sure.png", "/hardly.png"]
    assert paths(library, "cat", where=Filter(folder="/nowhere")) == []
    copy = next(one.photo for one in answer.neighbours if one.photo.path == "/copy.png")
    assert paths(library, "cat", within=[copy.id]) == ["/copy.png"]
    assert "/copy.png" not in paths(library, "cat", without=[copy.content_id])
    assert paths(library, "shark") == []


def test_only_what_is_sure_enough_passes_a_filter_beside_pictures(library: Library, fill: Fill) -> None:
    (red,) = fill(library, {"/sure.png": RED}, labels=[(0, 0.125), (1, 0.125)])
    fill(library, {"/hardly.png": RED}, labels=[(5, 0.9), (2, 0.01)])
    (marked,) = fill(library, {"/marked.png": (0.7, 0.7, 0.0)})
    fill(library, {f"/crowd/{number}.png": (1.0, number / 1e4, 0.0) for number in range(1500)})
    library.catalog.mark({"cat": [marked]})
    name = named(library, "cat")
    assert called(library, [name]).tolist() == [red, marked]
    query = example(library, red)
    for within in (None, {1, 2, 3}):
        found = find_similar(library, [query], names=[name], k=5, within=within).neighbours
        assert [one.photo.path for one in found] == ["/sure.png", "/marked.png"]
    assert find_similar(library, [query], names=[name, named(library, "dog")], k=5).neighbours == []
    bounds = Bounds(names=(name,), without=frozenset({red}))
    assert list(bounds.photos(library, [red, marked])) == [marked]


def example(library: Library, content: int) -> object:
    from index.search import example_of_photo

    (photos,) = library.catalog.photos([content], Filter(), library.space_id).values()
    return example_of_photo(library, photos[0].id)


def test_what_was_taught_is_found_in_photos_that_nobody_marked(
    library: Library, tmp_path: Path, paint: Callable[..., Path]
) -> None:
    for seed in range(8):
        for colour in ("red", "blue", "green"):
            paint(tmp_path / "photos" / f"{colour}{seed}.png", colour, seed)
    list(index_folder(library, [str(tmp_path / "photos")]))
    by_name = {Path(one.path).stem: one.content_id for one in library.catalog.photos_in("present", 99)}
    given = {
        word: [by_name[f"{colour}{seed}"] for seed in range(4)] for word, colour in (("fire", "red"), ("sea", "blue"))
    }
    assert teach(library, given) is not None
    fire = named(library, "fire")
    found = find_named(library, [fire], k=30).neighbours
    assert {Path(one.photo.path).stem for one in found} == {f"red{seed}" for seed in range(8)}
    assert [one.score for one in found[:4]] == [1.0] * 4
    assert all(0.5 <= one.score < 1 for one in found[4:])
    assert {Path(one.photo.path).stem for one in found[:4]} == {f"red{seed}" for seed in range(4)}
    assert called(library, [fire], np.array([by_name["red7"], by_name["green7"]])).tolist() == [by_name["red7"]]
    assert called(library, [fire, named(library, "sea")]).tolist() == []


def test_known_words_are_counted(library: Library, fill: Fill) -> None:
    fill(library, {"/1.png": RED, "/2.png": BLUE}, labels=[(1, 0.5), (0, 0.1)])
    (third,) = fill(library, {"/3.png": RED}, labels=[(0, 0.9)])
    library.catalog.mark({"mine": [third]})
    assert known_words(library) == [
        ("mine", 1, "taught"),
        ("Egyptian cat", 2, "label"),
        ("tabby, tabby cat", 1, "label"),
    ]
    assert known_words(library, "TABBY C") == [("tabby, tabby cat", 1, "label")]
    assert known_words(library, "x") == []


def test_a_search_that_finds_nothing_says_why(library: Library, fill: Fill) -> None:
    assert "library is empty" in why_none(library, Filter())
    fill(library, {"/p/1.png": RED}, labels=[(1, 0.5)], camera="Leica M6")
    fill(library, {"/q/2.png": BLUE}, labels=[(5, 0.5)])
    assert "none with folder /nowhere" in why_none(library, filter_of(folder="/nowhere"))
    assert "none with camera nikon" in why_none(library, filter_of(folder="/p", camera="nikon"))
    assert "surely enough called 'shark'" in why_none(library, Filter(), [named(library, "shark")])
    assert "none meets all" in why_none(library, filter_of(folder="/p"), [named(library, "dog")])
    assert why_none(library, Filter()) == "No photo was found."
    library.catalog.mark_gone(["/q"], (), seen=(), newest=library.catalog.newest_photo())
    assert "surely enough called 'dog'" in why_none(library, Filter(), [named(library, "dog")])


def test_an_empty_library_finds_nothing_by_words(library: Library) -> None:
    assert paths(library, "cat") == []
    assert known_words(library) == []
