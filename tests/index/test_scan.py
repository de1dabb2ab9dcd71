"""Scanning: which files are seen, in which order, and what is said of what can't be listed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import index.scan
from index.classes import class_folders
from index.scan import Unlisted, is_empty, roots, scan
from storage.records import FileStamp

PNG = b"\x89PNG\r\n\x1a\n and so on"
Paint = Callable[..., Path]


def names(folder: Path, **options: Any) -> list[str]:
    """Paths of the stamps, relative to the folder."""
    return [
        os.path.relpath(stamp.path, folder) for stamp in scan(str(folder), **options) if isinstance(stamp, FileStamp)
    ]


def write(path: Path, data: bytes = PNG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_images_by_their_bytes_or_their_name_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "no-ending")
    write(tmp_path / "wrong.txt")
    write(tmp_path / "claims.JPG", b"not a picture")
    write(tmp_path / "empty.jpeg", b"")
    write(tmp_path / "notes.txt", b"words")
    write(tmp_path / "nothing", b"")
    write(tmp_path / "film.mov", b"\0\0\0\x14ftypqt  ")
    assert names(tmp_path) == ["a.png", "claims.JPG", "empty.jpeg", "no-ending", "wrong.txt"]


def test_a_stamp_is_the_files_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    assert list(scan(str(tmp_path))) == [FileStamp(str(path), len(PNG), 1_234_567_890_123_456_789)]


def test_the_order_is_the_names_and_folders_come_after_their_files(tmp_path: Path) -> None:
    for name in ("z.png", "b/2.png", "b/1.png", "B.png", "a/x/deep.png", "a/1.png"):
        write(tmp_path / name)
    assert names(tmp_path) == ["B.png", "z.png", "a/1.png", "a/x/deep.png", "b/1.png", "b/2.png"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    target = write(tmp_path / "elsewhere" / "real.png")
    photos.mkdir()
    (photos / "link.png").symlink_to(target)
    (photos / "folder").symlink_to(tmp_path / "elsewhere")
    (photos / "loop").symlink_to(photos)
    (photos / "itself.png").symlink_to(photos / "itself.png")
    (photos / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (photos / "broken").symlink_to(tmp_path / "nowhere")
    stamps = {os.path.basename(stamp.path): stamp for stamp in scan(str(photos)) if isinstance(stamp, FileStamp)}
    assert sorted(stamps) == ["broken.jpg", "itself.png", "link.png"]
    assert stamps["link.png"].size == len(PNG)
    assert stamps["broken.jpg"] == FileStamp(str(photos / "broken.jpg"), 0, 0)  # to be told as unreadable


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path / "a.png")
    assert names(tmp_path) == ["a.png"]


def test_the_library_inside_is_left_out_by_whatever_way_it_is_reached(tmp_path: Path) -> None:
    write(tmp_path / "real" / "library" / "thumb.jpg")
    write(tmp_path / "real" / "a.png")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    skip = {os.path.realpath(tmp_path / "real" / "library")}
    assert names(tmp_path / "real", skip=skip) == ["a.png"]
    assert names(tmp_path / "alias", skip=skip) == ["a.png"]


@pytest.mark.parametrize("mark", ["catalog.sqlite", "backup.json", "backup.lock"])
@pytest.mark.parametrize("place", ["2024/library", "."])
def test_what_another_library_or_a_backup_keeps_is_left_out_and_photos_beside_it_are_seen(
    tmp_path: Path, mark: str, place: str
) -> None:
    other = tmp_path / place
    write(other / mark, b"marks it")
    for name in (
        "thumbnails/ab/thumb.jpg",
        "shards/odd.png",
        "cache/odd.png",
        "a.png",
        "sample-photos/thumbnails/b.png",
    ):
        write(other / name)
    write(tmp_path / "z" / "c.png")
    expected = {"a.png", "sample-photos/thumbnails/b.png"}
    assert {os.path.relpath(tmp_path / name, other) for name in names(tmp_path)} == expected | {
        os.path.relpath(tmp_path / "z" / "c.png", other)
    }


def test_a_folder_of_photos_may_have_the_name_of_what_a_library_keeps(tmp_path: Path) -> None:
    write(tmp_path / "thumbnails" / "a.png")
    write(tmp_path / "one" / "catalog.sqlite", b"somebody else's")
    write(tmp_path / "one" / "cache" / "b.png")
    assert names(tmp_path) == ["one/cache/b.png", "thumbnails/a.png"]


def test_classes_are_not_what_a_library_among_them_keeps(tmp_path: Path) -> None:
    for name in ("cat/a.png", "catalog.sqlite", "thumbnails/ab/b.jpg", "shards/c.npy", "cache/d.faiss"):
        write(tmp_path / name)
    write(tmp_path / "cat" / "library" / "catalog.sqlite", b"marks it")
    write(tmp_path / "cat" / "library" / "thumbnails" / "ab" / "b.jpg")
    (found,) = class_folders(str(tmp_path))
    assert (found.name, found.files()) == ("cat", [str(tmp_path / "cat" / "a.png")])


def test_folders_that_cannot_be_listed_are_said_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "locked/2.png", "z/3.png"):
        write(tmp_path / name)
    real = os.scandir

    def scandir(folder: str) -> Any:  # the tests may run as root, for whom no folder is locked
        if folder == str(tmp_path / "locked"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert names(tmp_path) == ["a/1.png", "z/3.png"]
    unlisted = [entry for entry in scan(str(tmp_path)) if isinstance(entry, Unlisted)]
    assert unlisted == [Unlisted(str(tmp_path / "locked"), "The folder can't be listed: Permission denied.")]
    assert list(scan(str(tmp_path / "nowhere"))) == [
        Unlisted(str(tmp_path / "nowhere"), "The folder can't be listed: No such file or directory.")
    ]


def test_an_entry_whose_kind_cannot_be_asked_is_taken_for_a_folder_that_cannot_be_listed() -> None:
    def fail(**_: bool) -> bool:
        raise OSError(5, "Input/output error")

    assert index.scan._is_folder(SimpleNamespace(is_dir=fail))  # type: ignore[arg-type]


def test_a_file_that_vanishes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "stays.png")
    gone = write(tmp_path / "goes")
    real = index.scan.looks_like_image

    def looks(name: str, head: bytes) -> bool:
        gone.unlink(missing_ok=True)
        return real(name, head)

    monkeypatch.setattr(index.scan, "looks_like_image", looks)
    assert names(tmp_path) == ["stays.png"]


def test_odd_names_are_seen(tmp_path: Path) -> None:
    odd = [b"line\nbreak.png", b"\xff\xfe.png", "雪.png".encode(), b"q" * 251 + b".png"]
    for name in odd:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(PNG)
    assert sorted(os.fsencode(name) for name in names(tmp_path)) == sorted(odd)


def test_emptiness(tmp_path: Path) -> None:
    assert is_empty(str(tmp_path))
    write(tmp_path / ".hidden", b"")
    assert not is_empty(str(tmp_path))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["/a", "/a"], ["/a"]),
        (["/a/", "/a"], ["/a"]),
        (["/a", "/a/b"], ["/a"]),
        (["/a/b", "/a"], ["/a"]),
        (["/a", "/a-b", "/a/c"], ["/a-b", "/a"]),  # "-" sorts before "/"
        (["/a", "/ab"], ["/a", "/ab"]),
        (["/", "/a"], ["/"]),
        (["/a/../b"], ["/b"]),
    ],
)
def test_roots_are_the_outermost_folders_each_once(given: list[str], expected: list[str]) -> None:
    assert sorted(roots(given)) == sorted(expected)


def test_roots_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert roots(["photos", "~/pictures"]) == [str(tmp_path / "home" / "pictures"), str(tmp_path / "photos")]
