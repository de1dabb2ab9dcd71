"""How library/ and photos/ beside this file were made, by the code of the first schema (commit 4c75da7):

git worktree add OLD 4c75da7; cd OLD; python .../made_by.py NEW_FOLDER

Five photos, one file that is no picture, one photo that is gone, words. Absolute paths are cut down to what lies in NEW_FOLDER.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, "")

import index.open_space
from index.job import index_folder
from index.library import Library

MTIME_NS = 1_700_000_000 * 10**9
MAKER, MODEL, EXIF, TAKEN = 0x010F, 0x0110, 0x8769, 0x9003


def colours() -> dict[str, tuple[int, int, int]]:
    """The tests' colours; libraries have the tests' colour backbone from now on."""
    spec = importlib.util.spec_from_file_location("conftest", "tests/index/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    index.open_space.describe = conftest._describe
    index.open_space.load_backbone = lambda description, device: conftest.ColourBackbone(description)
    return conftest.COLOURS


def paint(photos: Path) -> None:
    """A picture of each colour, one to be lost, one that is none; all of one moment."""
    photos.mkdir(parents=True)
    for number, (name, colour) in enumerate(colours().items()):
        pixels = np.tile(np.uint8(colour), (6, 8, 1))
        exif = Image.Exif()
        exif[MAKER], exif[MODEL] = "Maker", "Model"
        exif.get_ifd(EXIF)[TAKEN] = f"2020:0{number + 1}:02 03:04:05"
        Image.fromarray(pixels).save(photos / f"{name}.png", exif=exif)
    Image.fromarray(np.full((6, 8, 3), 99, np.uint8)).save(photos / "lost.png")
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    for path in photos.iterdir():
        os.utime(path, ns=(MTIME_NS, MTIME_NS))


def main(out: Path) -> None:
    """Make the library."""
    photos = out / "photos"
    paint(photos)
    with Library.open(out / "library", model="colours", create=True) as library:
        list(index_folder(library, [str(photos)]))
        (photos / "lost.png").unlink()
        list(index_folder(library, [str(photos)]))
        found = {Path(photo.path).name: photo.content_id for photo in library.catalog.photos_in("present", 99)}
        library.catalog.mark({"warm": [found["red.png"], found["rose.png"]], "cold": [found["blue.png"]]})
    catalog = sqlite3.connect(out / "library" / "catalog.sqlite")
    for column in ("folders", "progress", "report"):
        catalog.execute(f"UPDATE job SET {column} = replace({column}, ?, '')", (str(out),))
    catalog.execute("UPDATE job SET host = 'elsewhere'")
    catalog.execute("UPDATE photo SET path = CAST(replace(CAST(path AS TEXT), ?, '') AS BLOB)", (str(out),))
    catalog.commit()
    for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA page_size=512", "VACUUM"):  # small, and one file
        catalog.execute(statement)
    catalog.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
