"""What a search can be narrowed by, counted once until the library changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from index.facets import cameras_of, folders_of, words_of
from index.library import Library
from index.teach import teach
from storage.catalog import Catalog
from storage.named import NamedRows

Fill = Callable[..., list[int]]


def test_folders_have_what_lies_below_them_too(library: Library, fill: Fill) -> None:
    fill(library, {"/home/me/a/1.jpg": (1, 0, 0), "/home/me/a/b/2.jpg": (0, 1, 0), "/home/me/Bär 猫/3.jpg": (0, 0, 1)})
    found = folders_of(library)
    assert found == [("/home/me", 3), ("/home/me/Bär 猫", 1), ("/home/me/a", 2), ("/home/me/a/b", 1)]


def test_a_folder_that_is_no_text_and_the_root_are_folders(library: Library, fill: Fill) -> None:
    fill(library, {"/1.jpg": (1, 0, 0), "/\udcff/2.jpg": (0, 1, 0)})
    assert folders_of(library) == [("/", 2), ("/\udcff", 1)]


def test_cameras_come_by_how_much_they_took(library: Library, fill: Fill) -> None:
    fill(library, {"/p/1.jpg": (1, 0, 0)}, camera="Nikon")
    fill(library, {"/p/2.jpg": (0, 1, 0), "/p/3.jpg": (0, 0, 1)}, camera="Leica Ä")
    fill(library, {"/p/4.jpg": (1, 1, 0)})
    assert cameras_of(library) == [("Leica Ä", 2), ("Nikon", 1)]


def test_an_empty_library_has_none(library: Library) -> None:
    assert (folders_of(library), cameras_of(library), words_of(library)) == ([], [], [])


def test_words_are_counted_again_only_when_something_changed(
    library: Library, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    count = NamedRows.label_counts
    monkeypatch.setattr(Catalog, "label_counts", lambda *arguments: counted.append(1) or count(*arguments))
    red, blue = fill(library, {"/p/red.jpg": (1, 0, 0), "/p/blue.jpg": (0, 0, 1)})
    assert words_of(library) == words_of(library) == []
    assert len(counted) == 1
    teach(library, {"cherry": [red]})
    assert words_of(library) == [("cherry", 1, "taught")]
    teach(library, {"sea": [blue]})
    assert [word for word, _, _ in words_of(library)] == ["cherry", "sea"]
    assert len(counted) == 3
    fill(library, {"/p/more.jpg": (0, 1, 0)})
    words_of(library)
    assert len(counted) == 4
