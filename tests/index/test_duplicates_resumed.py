"""A search for duplicates goes on from what an earlier one found out, and ends with the groups of one that began anew."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skimage
from PIL import Image, ImageOps

import index.duplicate_pairs as pairs
import index.duplicates as duplicates
import index.open_space
from index.doctor import examine
from index.duplicate_decisions import decide, undo
from index.duplicate_groups import undecided
from index.duplicates import COMPARING, find_duplicates
from index.library import Library
from storage.errors import ReadOnly
from tests.index import two_models

DATA = Path(skimage.__file__).parent / "data"
ROOT = Path(__file__).parents[2]
NAMES = ("chelsea.png", "coffee.png", "rocket.jpg", "moon.png")
# A search that is killed before its third transaction of comparisons.
PROGRAM = """
import os, signal, sys
import index.duplicate_pairs
from index.duplicates import find_duplicates
from index.library import Library
from storage.catalog import Catalog
from tests.index.colour_program import without_torch
without_torch()
index.duplicate_pairs.BLOCK = 3
store, calls = Catalog.store_compared, []

def killed(*given):
    calls.append(given)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    store(*given)

Catalog.store_compared = killed
with Library.open(sys.argv[1]) as library:
    list(find_duplicates(library))
"""
Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
Told = set[tuple[str, tuple[tuple[str, str], ...], str]]

pytestmark = pytest.mark.usefixtures("inline_decoder")


def fill(folder: Path) -> None:
    """Four photographs, an edit or two of each, and three pictures of a burst."""
    folder.mkdir()
    for number, name in enumerate(NAMES):
        picture = Image.open(DATA / name).convert("RGB")
        picture.thumbnail((320, 320))
        stem = Path(name).stem
        picture.save(folder / f"{stem}.png")
        edits = [picture.resize((picture.width // 2, picture.height // 2)), ImageOps.mirror(picture)]
        edits += [picture.crop((20, 10, picture.width - 30, picture.height - 20)), picture]
        for edit in range(2):
            edits[(number + 2 * edit) % 4].save(folder / f"{stem}-{edit}.png", compress_level=1)
    brick = Image.open(DATA / "brick.png").convert("RGB")
    for second in range(3):
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = "Maker", "Model"
        exif.get_ifd(0x8769)[0x9003] = f"2024:05:01 12:00:{second:02}"
        brick.crop((25 * second, 0, 300 + 25 * second, 200)).save(folder / f"brick {second}.jpg", exif=exif)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Those pictures."""
    fill(tmp_path / "pictures")
    return tmp_path / "pictures"


@pytest.fixture
def library(open_library: Open, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library of them, compared three at a time."""
    monkeypatch.setattr(pairs, "BLOCK", 3)
    opened = open_library()
    run(opened, folder)
    return opened


def find(library: Library) -> tuple[Told, int]:
    """(the groups by their files' names, how many pairs were compared)."""
    *_, last = find_duplicates(library)
    assert last.report is not None
    groups = {
        (one.kind, tuple((Path(member.path).name, member.relation) for member in one.members), one.why)
        for one in last.report["groups"]
    }
    return groups, last.report["compared"]


def anew(library: Library) -> tuple[Told, int]:
    """The same of a search that knows nothing."""
    with library.catalog.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM relation")
        connection.exec_driver_sql("DELETE FROM fingerprint")
    return find(library)


def closed_at(library: Library, steps: int) -> None:
    search = find_duplicates(library)
    compared = 0
    for progress in search:
        compared += progress.phase == COMPARING
        if compared == steps:
            break
    search.close()


def test_a_second_search_compares_nothing(library: Library) -> None:
    groups, compared = find(library)
    assert {"same-pixels", "edited", "burst"} == {kind for kind, _, _ in groups}
    assert compared > 15
    assert find(library) == (groups, 0)


@pytest.mark.parametrize("steps", [3, 8])
def test_a_closed_search_goes_on_from_there(library: Library, steps: int) -> None:
    closed_at(library, steps)
    groups, rest = find(library)
    assert find(library) == (groups, 0)
    whole, compared = anew(library)
    assert groups == whole
    assert 0 < rest < compared


@pytest.mark.slow
def test_a_killed_search_goes_on_from_there(library: Library, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "library")], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    groups, rest = find(library)
    whole, compared = anew(library)
    assert groups == whole
    assert 0 < rest < compared
    assert examine(library)["ok"], examine(library)["checks"]


def test_a_new_photo_compares_its_own_pairs_alone(library: Library, folder: Path, run: Run) -> None:
    before, compared = find(library)
    picture = Image.open(folder / "chelsea.png")
    picture.resize((picture.width, picture.height // 2)).save(folder / "new.png")
    run(library, folder)
    groups, few = find(library)
    assert 0 < few < compared / 3
    assert "new.png" in {name for _, members, _ in groups - before for name, _ in members}
    assert anew(library)[0] == groups


def test_another_version_compares_all_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(library)
    another = duplicates.VERSION + 1
    for module in ("index.duplicates", "index.duplicate_search"):
        monkeypatch.setattr(f"{module}.VERSION", another)
    assert find(library) == found


def test_what_is_gone_takes_its_links_along_and_returns(
    library: Library, folder: Path, run: Run, tmp_path: Path
) -> None:
    whole, _ = find(library)
    for name in ("chelsea.png", "coffee-0.png", "brick 1.jpg"):
        (folder / name).rename(tmp_path / name)
    run(library, folder)
    left, compared = find(library)
    assert compared
    assert not {"chelsea.png", "coffee-0.png", "brick 1.jpg"} & {name for _, members, _ in left for name, _ in members}
    assert find(library) == (left, 0)
    assert anew(library)[0] == left
    for name in ("chelsea.png", "coffee-0.png", "brick 1.jpg"):
        (tmp_path / name).rename(folder / name)
    run(library, folder)
    assert find(library)[0] == whole


def test_a_decision_that_is_taken_back_is_compared_again(library: Library) -> None:
    whole, _ = find(library)
    photos = {Path(photo.path).name: photo for photo in library.catalog.photos_in("present", 99)}
    pair = [photos["chelsea.png"].id, photos["chelsea-0.png"].id]
    contents = library.catalog.contents_of(pair).tolist()
    library.catalog.decide("not-duplicate", dict.fromkeys(contents, 1))
    apart, _ = find(library)
    assert apart != whole
    assert find(library) == (apart, 0)
    assert anew(library)[0] == apart
    undo(library, pair)
    groups, compared = find(library)
    assert groups == whole
    assert compared


def test_another_model_compares_by_its_vectors_alone(
    library: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, _ = find(library)
    decided = list(find_duplicates(library))[-1].report["groups"][0]
    decide(library, "keep-both", [member.photo_id for member in decided.members], [decided])
    monkeypatch.setattr(index.open_space, "describe", two_models.describe)
    monkeypatch.setattr(index.open_space, "load_backbone", two_models.load_backbone)
    first = library.space_id
    two_models.switch(library)
    library.close()
    switched = open_library(create=False, model=None)
    assert switched.space_id != first
    monkeypatch.setattr("index.duplicate_pairs.in_orientation", lambda *_: pytest.fail("hashes compared again"))
    assert find(switched)[0] >= {one for one in groups if one[0] == "same-pixels"}
    assert find(switched)[1] == 0
    assert set(switched.catalog.fingerprints(duplicates.VERSION)["compared_in"]) == {switched.space_id}
    found = list(find_duplicates(switched))[-1].report["groups"]
    assert len(undecided(found, switched.catalog.decisions())) == len(found) - 1, "what was decided outlives the model"


def test_where_nothing_can_be_kept_the_answer_is_the_same(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ReadOnly("can be read only")

    with monkeypatch.context() as frozen:
        frozen.setattr("storage.read_only.refuse", refuse)
        found = find(library)
        assert find(library) == found
        assert library.catalog.fingerprint_count(duplicates.VERSION)[1] == 0
    assert find(library) == found


def test_a_lost_thumbnail_is_compared_once_it_is_there_again(library: Library) -> None:
    list(duplicates.fingerprints(library))
    photos = {Path(photo.path).name: photo.digest or "" for photo in library.catalog.photos_in("present", 99)}
    path = library.thumbnails.path(photos["chelsea.png"])
    held = path.read_bytes()
    path.unlink()
    without, _ = find(library)
    assert "chelsea.png" not in {name for _, members, _ in without for name, _ in members}
    path.write_bytes(held)
    groups, compared = find(library)
    assert compared
    assert groups == anew(library)[0]


def test_workers_find_the_same(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = find(library)
    monkeypatch.setattr("index.duplicate_compare.MANY", 2)
    monkeypatch.setattr("index.duplicate_compare.AT_ONCE", 2)
    assert anew(library) == alone
