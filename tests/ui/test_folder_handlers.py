"""Choosing folders of the computer that runs RegConv."""

import os
from pathlib import Path

import pytest

from index.library import Library
from ui.folder_handlers import folder_view, with_folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("Bäume", "猫", "archive", ".hidden", "<b>bold"):
        (tmp_path / "place" / name).mkdir(parents=True)
    (tmp_path / "place" / "one.jpg").write_bytes(b"")
    (tmp_path / "place" / "two.HEIC").write_bytes(b"")
    (tmp_path / "place" / "notes.txt").write_bytes(b"")
    (tmp_path / "place" / "link").symlink_to(tmp_path / "place" / "archive")
    (tmp_path / "place" / "nowhere").symlink_to(tmp_path / "nothing")
    os.mkdir(os.fsencode(tmp_path / "place") + b"/no\xfftext")
    return tmp_path / "place"


def test_folders_are_listed_by_name_with_the_way_up(library: Library, place: Path):
    view = folder_view(library, f"{place}/../place/")
    assert view.problem is None
    assert view.path == str(place)
    assert [name for name, _ in view.folders] == ["<b>bold", "archive", "Bäume", "link", "猫"]
    assert view.folders[-1] == ("猫", str(place / "猫"))
    assert (view.pictures, view.is_whole) == (2, True)
    assert view.above[0] == ("/", "/")
    assert view.above[-2:] == [(place.parent.name, str(place.parent)), ("place", str(place))]
    assert folder_view(library, "/").above == [("/", "/")]


@pytest.mark.parametrize("name", ["猫\u3000犬", "a\u00a0b", "\U0001f469\u200d\U0001f467"])
def test_any_line_of_text_is_a_folder(library: Library, tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    (tmp_path / "two\nlines").mkdir()
    assert [folder for folder, _ in folder_view(library, str(tmp_path)).folders] == [name]


def test_no_path_is_the_home_folder(library: Library, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(place))
    assert folder_view(library).path == str(place)


@pytest.mark.parametrize("path", ["relative", "../etc", "/no/such/folder", "/etc/passwd", "/a\0b", "/" + "x" * 5000])
def test_what_is_no_folder_is_refused_in_words(library: Library, path: str):
    view = folder_view(library, path)
    assert view.problem
    assert view.folders == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_locked_folder_says_so(library: Library, place: Path):
    (place / "archive").chmod(0)
    assert "Permission denied" in str(folder_view(library, str(place / "archive")).problem)


def test_a_huge_folder_is_not_listed_whole(library: Library, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ui.folder_handlers.SHOWN", 2)
    view = folder_view(library, str(place))
    assert (len(view.folders), view.is_whole) == (2, False)
    monkeypatch.setattr("ui.folder_handlers.LOOKED_AT", 1)
    view = folder_view(library, str(place))
    assert (len(view.folders) + view.pictures <= 1, view.is_whole) == (True, False)


def test_a_chosen_folder_becomes_a_line_once():
    assert with_folder("", "/a b") == "/a b"
    assert with_folder("/a\n\n", "/b") == "/a\n/b"
    assert with_folder("/a\n/b", "/a") == "/a\n/b"
    assert with_folder("/a", "") == "/a"
