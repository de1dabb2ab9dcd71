"""The search for duplicates on a small library of photographs and their edits, with the network that comes with the project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage
from PIL import Image, ImageOps

import index.duplicates as search
from index.backup import back_up
from index.doctor import examine
from index.duplicate_decisions import decide, decisions, undo
from index.duplicate_groups import Group, undecided
from index.duplicates import find_duplicates
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.restore import restore
from storage.database import sqlite_url

DATA = Path(skimage.__file__).parent / "data"
TIME, MAKE, MODEL, EXIF = 0x9003, 0x010F, 0x0110, 0x8769


def taken(second: int) -> Image.Exif:
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = "Maker", "Model"
    exif.get_ifd(EXIF)[TIME] = f"2024:05:01 12:00:{second:02}"
    return exif


def fill(folder: Path) -> None:
    """Copies, the same pixels, edits, a burst, blank pictures, and photographs that are there once."""
    folder.mkdir()
    cat, coffee, rocket = (
        Image.open(DATA / name).convert("RGB") for name in ("chelsea.png", "coffee.png", "rocket.jpg")
    )
    cat.save(folder / "cat.png")
    shutil.copy2(folder / "cat.png", folder / "cat again.png")
    cat.save(folder / "cat.jpg", quality=85)
    grey = ImageOps.mirror(cat.convert("L").convert("RGB").resize((225, 150)))
    grey.save(folder / "cat grey.jpg", quality=85)
    coffee.save(folder / "coffee.jpg", quality=92)
    coffee.crop((150, 100, 510, 340)).save(folder / "coffee part.jpg", quality=92)
    coffee.resize((1200, 800)).save(folder / "coffee large.jpg", quality=92)
    for second in range(3):
        shot = rocket.transform((400, 300), Image.Transform.AFFINE, (1, 0, 60 + 25 * second, 0, 1, 40))
        shot.save(folder / f"rocket {second}.jpg", exif=taken(2 * second))
    rocket.crop((300, 200, 640, 427)).save(folder / "rocket later.jpg", exif=taken(50))
    for name, size in (("black", (400, 300)), ("black small", (200, 150)), ("black again", (400, 300))):
        Image.new("RGB", size).save(folder / f"{name}.{'jpg' if 'again' in name else 'png'}")
    for name in ("moon.png", "brick.png", "coins.png", "page.png"):
        shutil.copy(DATA / name, folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (1_700_000_000 + number,) * 2)


@pytest.fixture(scope="module")
def made_with_groups(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Group]]:
    """The folder of a library of those photographs, with its photos/ beside it, and what is found there."""
    folder = tmp_path_factory.mktemp("duplicates")
    fill(folder / "photos")
    with Library.open(folder / "library", model="starter", device="cpu", create=True) as library:
        run(library, folder / "photos")
        return folder, find(library)


@pytest.fixture
def made(made_with_groups: tuple[Path, list[Group]]) -> Path:
    """That folder: nobody may change it."""
    return made_with_groups[0]


@pytest.fixture
def groups(made_with_groups: tuple[Path, list[Group]]) -> list[Group]:
    """What is found in that library, and so in its copies."""
    return made_with_groups[1]


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Iterator[Library]:
    """A copy of that library of one's own; the photos stay where they are."""
    shutil.copytree(made / "library", tmp_path / "library")
    with Library.open(tmp_path / "library", device="cpu") as opened:
        yield opened


def run(library: Library, folder: Path) -> dict[str, Any]:
    *_, last = index_folder(library, [str(folder)])
    assert last.report is not None
    return last.report


def find(library: Library) -> list[Group]:
    *_, last = find_duplicates(library)
    assert last.report is not None
    return last.report["groups"]


def told(groups: list[Group]) -> set[tuple[str, tuple[str, ...]]]:
    """(kind, file names, the one to keep first)."""
    return {(one.kind, tuple(Path(member.path).name for member in one.members)) for one in groups}


def named(library: Library, *names: str) -> list[int]:
    ids = {Path(photo.path).name: photo.id for photo in library.catalog.photos_in("present", 99)}
    return [ids[name] for name in names]


def test_every_kind_is_found_and_nothing_else(groups: list[Group]) -> None:
    assert told(groups) == {
        ("same-bytes", ("cat again.png", "cat.png")),
        ("same-pixels", ("cat again.png", "cat.jpg")),
        ("same-pixels", ("black.png", "black again.jpg")),
        ("edited", ("cat again.png", "cat grey.jpg")),
        ("edited", ("coffee.jpg", "coffee large.jpg", "coffee part.jpg")),
        ("burst", ("rocket 0.jpg", "rocket 1.jpg", "rocket 2.jpg")),
    }


def test_relations_and_reasons_are_told(groups: list[Group]) -> None:
    by_keep = {(one.kind, Path(one.members[0].path).name): one for one in groups}
    cat = by_keep["edited", "cat again.png"]
    assert cat.members[1].relation == "mirrored, resized to 50%, grey"
    assert cat.why == "in colour"
    coffee = by_keep["edited", "coffee.jpg"]
    assert {Path(m.path).name: m.relation for m in coffee.members[1:]} == {
        "coffee large.jpg": "resized to 200%",
        "coffee part.jpg": "cropped to 36% of the picture",
    }
    assert "as sharp as the larger one, which is enlarged" in coffee.why
    assert "shows the whole picture" in coffee.why


def test_decisions_hide_groups_and_outlive_moves_scans_and_backups(
    library: Library, groups: list[Group], made: Path, tmp_path: Path
) -> None:
    decide(library, "keep-both", named(library, "cat again.png", "cat.png"), groups)
    decide(library, "keep-both", named(library, "coffee.jpg", "coffee part.jpg", "coffee large.jpg"), groups)
    decide(library, "not-duplicate", named(library, "cat again.png", "cat grey.jpg"), groups)
    decide(library, "not-duplicate", named(library, "cat again.png", "cat grey.jpg"), [])  # said again
    assert len(decisions(library)) == 3
    photos = shutil.copytree(made / "photos", tmp_path / "moved")
    (photos / "coffee part.jpg").rename(photos / "anything.jpg")
    library.catalog.mark_gone([str(made)], (), set(), library.catalog.newest_photo())
    report = run(library, photos)
    assert (report["embedded"], report["moved"]) == (0, report["seen"])
    left = {(kind, names[0]) for kind, names in told(undecided(find(library), library.catalog.decisions()))}
    assert left == {("same-pixels", "cat again.png"), ("same-pixels", "black.png"), ("burst", "rocket 0.jpg")}
    assert examine(library)["ok"], examine(library)["checks"]
    list(back_up(library, tmp_path / "backup"))
    list(restore(tmp_path / "backup", tmp_path / "again"))
    with Library.open(tmp_path / "again", device="cpu") as restored:
        assert decisions(restored) == decisions(library)


def test_a_new_member_brings_a_decided_group_back(
    library: Library, groups: list[Group], made: Path, tmp_path: Path
) -> None:
    decide(library, "keep-both", named(library, "cat again.png", "cat.png"), groups)
    decide(library, "keep-both", named(library, "cat again.png", "cat.jpg"), groups)
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(made / "photos" / "cat.png", more / "third.png")
    Image.open(made / "photos" / "cat.png").save(more / "cat.webp", quality=90)
    run(library, more)
    left = {
        one.kind: one for one in undecided(find(library), library.catalog.decisions()) if "cat" in one.members[0].path
    }
    assert len(left["same-bytes"].members) == 3
    assert len(left["same-pixels"].members) == 3


def test_undo_brings_the_group_back(library: Library, groups: list[Group]) -> None:
    pair = named(library, "cat again.png", "cat.jpg")
    decide(library, "keep-both", pair, groups)
    before = undecided(groups, library.catalog.decisions())
    assert undo(library, pair) == 1
    assert len(undecided(groups, library.catalog.decisions())) == len(before) + 1
    with pytest.raises(LibraryError, match="Nothing was decided about photos"):
        undo(library, pair)


def test_what_can_not_be_decided_is_said(library: Library, groups: list[Group]) -> None:
    one, two, grey, coffee = named(library, "cat again.png", "cat.png", "cat grey.jpg", "coffee.jpg")
    for verdict, photos, words in (
        ("keep", [one, grey], "'keep' is no decision"),
        ("keep-both", [one, 99_999], "no photo with the id 99999"),
        ("keep-both", [one, one], "two photos or more"),
        ("keep-both", [one, coffee], "not of one group"),
        ("not-duplicate", [one, two], "equal byte for byte"),
    ):
        with pytest.raises(LibraryError, match=words):
            decide(library, verdict, photos, groups)
    assert decisions(library) == []


def test_fingerprints_are_made_once_and_a_stopped_search_keeps_them(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with library.catalog.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM fingerprint")
    monkeypatch.setattr(search, "BATCH", 4)
    steps = find_duplicates(library)
    for _ in range(3):
        assert next(steps).phase == search.READING
    steps.close()
    assert library.catalog.fingerprint_count(1)[1] == 8
    assert len(find(library)) >= 5
    monkeypatch.setattr(search, "fingerprint", lambda _: pytest.fail("made again"))
    find(library)


def test_a_content_without_thumbnail_is_left_out_and_counted(library: Library, made: Path) -> None:
    with library.catalog.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM fingerprint")
    digests = {Path(one.path).name: one.digest for one in library.catalog.photos_in("present", 99)}
    library.thumbnails.path(digests["cat.jpg"] or "").unlink()
    half = library.thumbnails.path(digests["cat grey.jpg"] or "")
    half.write_bytes(half.read_bytes()[:300] + b"\xff\xd9")
    *_, last = find_duplicates(library)
    assert last.report is not None
    assert last.report["without_thumbnail"] >= 1
    assert not {"cat.jpg", "cat grey.jpg"} & {name for _, names in told(last.report["groups"]) for name in names}


def test_an_empty_library_and_one_photo_have_none(open_library: Callable[..., Library], photos: Path) -> None:
    library = open_library()
    assert find(library) == []
    for path in sorted(photos.iterdir())[1:]:
        path.unlink()
    run(library, photos)
    assert find(library) == []


GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "first_library"


@pytest.mark.usefixtures("inline_decoder")
def test_a_library_of_the_first_schema_looks_for_duplicates_without_asking_the_network(
    open_library: Callable[..., Library], tmp_path: Path
) -> None:
    shutil.copytree(GOLDEN / "library", tmp_path / "library")
    library = open_library(create=False)
    assert find(library) == []
    assert library.catalog.fingerprint_count(1) == (5, 5)
    assert library.catalog.decide("keep-both", {1: 1, 2: 1}) == 1
    assert "backbone" not in library.__dict__
    library.close()
    assert open_library(
        create=False, database=str(sqlite_url(tmp_path / "library" / "catalog.sqlite"))
    ).catalog.decisions()
