"""A library in a folder that can't be written to: looked at and searched, not changed, and said so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from index.doctor import examine
from index.job import index_folder
from index.library import Library
from index.mend import mend
from index.search import example_of_file, example_of_photo, find_similar
from storage import database
from storage.errors import CatalogError, ReadOnly

Run = Callable[..., dict[str, Any]]
Open = Callable[..., Library]
SAID = r"library can't be written to: the library in it can be looked at and searched, not changed\. Make the folder writable"

pytestmark = pytest.mark.usefixtures("inline_decoder")


def freeze(folder: Path, *, writable: bool = False) -> None:
    """Take the right to write from everything in the folder, or give it back."""
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            if os.path.exists(path):
                os.chmod(path, (os.stat(path).st_mode & ~0o222) | (0o200 if writable else 0))


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Makes the library's folder read-only. The rights on the files count for root too, who could write none the less."""

    def access(path: Any, mode: int, **_: Any) -> bool:
        return os.path.exists(path) and (mode != os.W_OK or bool(os.stat(path).st_mode & 0o200))

    def freeze_it() -> None:
        monkeypatch.setattr(os, "access", access)
        freeze(tmp_path / "library")

    yield freeze_it
    freeze(tmp_path / "library", writable=True)


@pytest.fixture
def closed(open_library: Open, photos: Path, run: Run) -> None:
    """A library of five photos that nobody has open."""
    library = open_library()
    run(library, photos)
    library.close()


def held(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.usefixtures("closed")
def test_it_is_looked_at_and_searched_and_left_as_it_is(
    open_library: Open, photos: Path, tmp_path: Path, frozen: Callable[[], None]
) -> None:
    frozen()
    before = held(tmp_path / "library")
    library = open_library(create=False)
    by_path = {photo.path: photo for photo in library.catalog.photos_in("present", 10)}
    assert len(by_path) == 5
    for colour, other in (("red", "rose"), ("green", "lime")):
        path = str(photos / f"{colour}.png")
        for example in (example_of_photo(library, by_path[path].id), example_of_file(library, path)):
            found = find_similar(library, [example], k=2).neighbours
            assert [Path(each.photo.path).stem for each in found] == [colour, other]
    health = examine(library)
    assert health["ok"], health["checks"]
    library.close()
    assert held(tmp_path / "library") == before


@pytest.mark.usefixtures("closed")
def test_what_would_change_it_is_refused_in_words(
    open_library: Open, photos: Path, tmp_path: Path, frozen: Callable[[], None]
) -> None:
    frozen()
    before = held(tmp_path / "library")
    library = open_library(create=False)
    writing: list[Callable[[], Any]] = [
        lambda: list(index_folder(library, [str(photos)])),
        lambda: list(mend(library)),
        lambda: library.catalog.mark({"a word": [1]}),
        lambda: library.catalog.remember("a", "b"),
    ]
    for write in writing:
        with pytest.raises(ReadOnly, match=SAID):
            write()
    library.close()
    assert held(tmp_path / "library") == before


@pytest.mark.usefixtures("closed")
def test_the_commands_say_it(
    photos: Path, tmp_path: Path, frozen: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    frozen()
    where = ["--library", str(tmp_path / "library"), "--json"]
    assert app.main(["search", str(photos / "red.png"), "-k", "2", *where]) == 0
    found = json.loads(capsys.readouterr().out)["neighbours"]
    assert [Path(each["path"]).name for each in found] == ["red.png", "rose.png"]
    assert app.main(["index", str(photos), *where]) == 1
    said = capsys.readouterr()
    assert "can't be written to: the library in it can be looked at and searched, not changed" in said.err
    assert "\n" not in said.err.strip()


@pytest.mark.usefixtures("closed")
def test_what_is_saved_nowhere_is_built_for_the_moment(
    open_library: Open, photos: Path, tmp_path: Path, frozen: Callable[[], None]
) -> None:
    shutil.rmtree(tmp_path / "library" / "cache")
    frozen()
    library = open_library(create=False)
    found = find_similar(library, [example_of_file(library, str(photos / "blue.png"))], k=1).neighbours
    assert [Path(each.photo.path).name for each in found] == ["blue.png"]
    assert list((tmp_path / "library").glob("cache/*")) == []


def test_what_another_process_writes_meanwhile_is_seen(
    open_library: Open, photos: Path, tmp_path: Path, run: Run, paint: Callable[..., Path], frozen: Callable[[], None]
) -> None:
    writer = open_library()  # it may write, and began before
    run(writer, photos)
    frozen()
    reader = open_library(create=False)
    assert len(reader.index("stage2")) == 5
    freeze(tmp_path / "library", writable=True)
    paint(photos / "more.png", "blue", seed=9)
    run(writer, photos)
    assert len(reader.index("stage2")) == 6
    with pytest.raises(ReadOnly, match=SAID):
        reader.catalog.remember("a", "b")


def test_one_that_was_not_closed_says_what_to_do(
    open_library: Open, photos: Path, tmp_path: Path, run: Run, frozen: Callable[[], None]
) -> None:
    library = open_library()
    run(library, photos)
    file = tmp_path / "library" / "catalog.sqlite"
    shutil.copy(f"{file}-wal", tmp_path / "wal")
    library.close()
    shutil.copy(tmp_path / "wal", f"{file}-wal")  # as in a copy of the folder on a disk that is then mounted read-only
    os.symlink(tmp_path / "nowhere" / "shm", f"{file}-shm")  # rights would not keep root from making it
    frozen()
    with pytest.raises(CatalogError, match=r"was not closed by the program that wrote it.*where it can be written to"):
        open_library(create=False)


@pytest.mark.usefixtures("closed")
def test_one_of_an_older_schema_is_not_migrated(
    open_library: Open, frozen: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen()
    monkeypatch.setattr(database, "SCHEMA_VERSION", "9999")
    with pytest.raises(ReadOnly, match=SAID):
        open_library(create=False)
