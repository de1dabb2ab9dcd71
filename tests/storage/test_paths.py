"""Paths of any bytes, folders as ranges of them, and words that a file may say of itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from storage.catalog import Catalog
from storage.records import Batch, FileStamp, Filter

Make = Callable[..., Batch]
EVERYTHING = Filter()


def found(catalog: Catalog, space: int, where: Filter = EVERYTHING) -> list[str]:
    """The paths that a search with this filter may show, by way of the contents."""
    contents = catalog.matching(where).tolist()
    photos = catalog.photos(contents, where, space)
    return sorted(photo.path for of_content in photos.values() for photo in of_content)


NAMES = [
    b"/p/\xff\xfe.png",
    b"/p/line\nbreak.png",
    b"/p/'); DROP TABLE photo;--.png",
    b'/p/"%_\\*?[x].png',
    "/p/雪.png".encode(),
]


def test_paths_of_any_bytes_come_back_as_they_were(catalog: Catalog, space: int, batch_of: Make) -> None:
    paths = [os.fsdecode(name) for name in NAMES]
    catalog.store(batch_of(paths), space)
    assert sorted(map(os.fsencode, found(catalog, space))) == sorted(NAMES)
    assert all(seen.unchanged for seen in catalog.changed([FileStamp(path, 100, 7) for path in paths], space))
    for path in paths:
        assert found(catalog, space, Filter(folder=path)) == []  # a file is no folder, whatever LIKE would say
    assert catalog.counts(space)["embedded"] == len(NAMES)


def test_words_that_no_database_takes_are_stored_as_escapes(catalog: Catalog, space: int, batch_of: Make) -> None:
    batch = batch_of(["/a.png"], camera="Zero\0Cam \udcff")
    batch.failures.append((FileStamp("/b.png", 1, 1), "no such file: '\udce4.png'\0"))
    catalog.store(batch, space)
    assert catalog.photos_in("unreadable", 9)[0].reason == r"no such file: '\udce4.png'\x00"
    assert catalog.photos_in("present", 9)[0].camera == r"Zero\x00Cam \udcff"


@pytest.mark.parametrize("mtime_ns", [15_032_385_535 * 10**9, -(2**70), 2**63 - 1, 0])
def test_a_file_of_another_century_is_a_file_like_others(
    catalog: Catalog, space: int, batch_of: Make, mtime_ns: int
) -> None:
    batch = batch_of(["/a.png"])
    stamp = FileStamp("/a.png", 100, mtime_ns)
    catalog.store(replace(batch, photos=[(stamp, batch.contents[0].digest)]), space)
    assert catalog.changed([FileStamp("/a.png", 100, mtime_ns)], space)[0].unchanged
    assert not catalog.changed([FileStamp("/a.png", 100, 5)], space)[0].unchanged


FOLDERS = [
    "/photos/a.png",
    "/photos/2/b.png",
    "/photos-2/c.png",
    "/photos0/d.png",
    "/photos.png",
    "/Photos/e.png",
    "/f.png",
]


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("/photos", {"/photos/a.png", "/photos/2/b.png"}),
        ("/photos/", {"/photos/a.png", "/photos/2/b.png"}),
        ("/photos/2", {"/photos/2/b.png"}),
        ("/photos-2", {"/photos-2/c.png"}),
        ("/photo", set()),
        ("/photos_2", set()),
        ("/%", set()),
        ("/photos/a.png", set()),
        ("/", set(FOLDERS)),
    ],
)
def test_a_folder_is_what_lies_below_it(
    catalog: Catalog, space: int, batch_of: Make, folder: str, inside: set[str]
) -> None:
    catalog.store(batch_of(FOLDERS), space)
    assert set(found(catalog, space, Filter(folder=folder))) == inside
    assert catalog.mark_gone([folder], [], set(), catalog.newest_photo()) == len(inside)
    assert set(found(catalog, space)) == set(FOLDERS) - inside


def test_a_folder_whose_name_is_not_utf8_has_its_photos(catalog: Catalog, space: int, batch_of: Make) -> None:
    names = [b"/\xff/a.png", b"/\xff\xff/b.png", b"/\xfe/c.png"]
    catalog.store(batch_of([os.fsdecode(name) for name in names]), space)
    assert found(catalog, space, Filter(folder=os.fsdecode(b"/\xff"))) == [os.fsdecode(names[0])]
