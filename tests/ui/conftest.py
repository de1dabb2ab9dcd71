"""A small library, indexed once for all tests of the page, and one that is empty."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage
from PIL import Image

from index.job import index_folder
from index.library import Library

PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "retina.jpg", "moon.png")
HOSTILE = "<img src=x onerror=alert(1)> \"quoted\" 'n' ${1+1} {{x}} Bär 猫.jpg"
SIDEWAYS = 6  # EXIF: to be turned clockwise


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs with a re-encoded copy each, one that lies on its side and carries a position, one with a hostile name."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in PHOTOGRAPHS:
        picture = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        picture.thumbnail((320, 320))
        picture.save(folder / f"{Path(name).stem}.jpg", quality=90)
        picture.save(folder / f"{Path(name).stem}-again.jpg", quality=60)
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    exif.get_ifd(0x8825)[1] = "N"  # the hemisphere of a position
    lying = Image.open(folder / "rocket.jpg").transpose(Image.Transpose.ROTATE_90)
    lying.save(folder / "lying.jpg", exif=exif, comment=b"a secret note")
    Image.open(folder / "coffee.jpg").rotate(3).save(folder / HOSTILE, quality=80)
    (folder / "broken.jpg").write_bytes((folder / "moon.jpg").read_bytes()[:900])
    return folder


@pytest.fixture(scope="session")
def library_folder(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an indexed library."""
    folder = tmp_path_factory.mktemp("indexed")
    with Library.open(folder, model="starter", device="cpu", create=True) as library:
        for _ in index_folder(library, [str(photo_folder)]):
            pass
    return folder


@pytest.fixture(scope="session")
def library(library_folder: Path) -> Iterator[Library]:
    """The indexed library, open. Nobody may change it."""
    with Library.open(library_folder, device="cpu") as library:
        yield library


@pytest.fixture
def empty_library(tmp_path: Path) -> Iterator[Library]:
    """A library without photos."""
    with Library.open(tmp_path / "empty", model="starter", device="cpu", create=True) as library:
        yield library


@pytest.fixture(scope="session")
def photo_ids(library: Library) -> dict[str, int]:
    """Photo ids by file name."""
    states = ("present", "unreadable")
    photos = [photo for state in states for photo in library.catalog.photos_in(state, 100)]
    return {os.path.basename(photo.path): photo.id for photo in photos}
