"""A library that needs no network: its backbone embeds mean colours, so that anyone can check a neighbour by eye."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import index.open_space
from index.decode_worker import Decoded, DecodeTask, Failure, decode_file, view_file
from index.job import index_folder
from index.library import Library
from index.teach import teach
from regconv.backbone import Parts
from regconv.errors import UnreadableImage
from regconv.images import Limits, Recipe
from storage.records import Batch, ContentFacts, FileStamp, Filter
from storage.shards import shard_rows

COLOURS = {
    "red": (220, 30, 30),
    "rose": (220, 60, 90),
    "green": (30, 200, 40),
    "lime": (90, 220, 40),
    "blue": (20, 40, 210),
}


class ColourBackbone:
    """stage1 is the mean colour of the picture's upper half, stage2 (the pooled part) of the whole. It has two labels."""

    batch_size = 4
    engine = "colour"
    device = "cpu"
    provenance = {"engine": "colour"}  # noqa: RUF012

    def __init__(self, description: Any) -> None:
        self.description = description
        self.embedded = 0  # pictures so far: what a test asks to know that nothing was embedded again

    def embed(self, pictures: np.ndarray) -> Parts:
        self.embedded += len(pictures)
        vectors, norms = {}, {}
        for name, half in (("stage1", pictures[:, : pictures.shape[1] // 2]), ("stage2", pictures)):
            means = half.astype(np.float32).mean(axis=(1, 2))
            norms[name] = np.linalg.norm(means, axis=1)
            vectors[name] = means / np.maximum(norms[name], 1e-12)[:, None]
        warm = vectors["stage2"][:, 0] > vectors["stage2"][:, 2]
        labels = np.where(warm[:, None], [[0, 1]], [[1, 0]])
        return Parts(("stage1", "stage2"), vectors, norms, labels, np.tile(np.float32([0.9, 0.1]), (len(pictures), 1)))


def _describe(model: str, *, digest_cache: Path | None = None) -> Any:
    return SimpleNamespace(
        name=model,
        recipe=Recipe(size=32, crop_pct=0.875, resample=2),
        parts=(("stage1", 3), ("stage2", 3)),
        pooled="stage2",
        labels={0: "warm, hot", 1: "cold"},
        preprocessing={"size": 32},
        weights_digest=f"digest of {model}",
        space=f"space of {model}",
        note=None,
        stages=(),
    )


@pytest.fixture
def open_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Library]]:
    """Opens the library in tmp_path/library, as often as it is called; all are closed at the end."""
    monkeypatch.setattr(index.open_space, "describe", _describe)
    monkeypatch.setattr(index.open_space, "load_backbone", lambda description, device: ColourBackbone(description))
    opened: list[Library] = []

    def open_one(**options: Any) -> Library:
        options = {"folder": tmp_path / "library", "model": "colours", "create": True} | options
        opened.append(Library.open(**options))
        return opened[-1]

    yield open_one
    for library in opened:
        library.close()


@pytest.fixture
def library(open_library: Callable[..., Library]) -> Library:
    """A fresh library."""
    return open_library()


def _paint(path: Path, colour: str, seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-4, 5, (48, 64, 3))
    Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)).save(path, **options)
    return path


@pytest.fixture
def paint() -> Callable[..., Path]:
    """Writes a picture of one of COLOURS; its seed makes the bytes, and hardly the colour, its own."""
    return _paint


@pytest.fixture
def photos(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    """A folder with one photo of each colour."""
    for colour in COLOURS:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    return tmp_path / "photos"


@pytest.fixture
def run() -> Callable[..., dict[str, Any]]:
    """Runs an index job to its end and returns its report."""

    def run_one(library: Library, *folders: Path, **options: Any) -> dict[str, Any]:
        *_, last = index_folder(library, [str(folder) for folder in folders], **options)
        assert last.report is not None
        report = last.report
        assert report["seen"] == report["embedded"] + report["unchanged"] + report["moved"] + len(report["failed"])
        return report

    return run_one


@pytest.fixture
def fill() -> Callable[..., list[int]]:
    """(library, {path: vector of stage2 or {part: vector}}, **facts) -> content ids, in order: one shard, no pictures.

    Files that `path` repeats in `copies` share its content.
    """

    def fill_one(
        library: Library, vectors: dict[str, Any], copies: dict[str, str] | None = None, **facts: Any
    ) -> list[int]:
        by_part = [
            vector if isinstance(vector, dict) else {"stage1": vector, "stage2": vector} for vector in vectors.values()
        ]
        arrays = {part: np.array([one[part] for one in by_part], np.float32) for part in ("stage1", "stage2")}
        norms = {part: np.linalg.norm(array, axis=1) for part, array in arrays.items()}
        units = {part: array / np.maximum(norms[part], 1e-12)[:, None] for part, array in arrays.items()}
        digests = [hashlib.blake2b(os.fsencode(path), digest_size=32).hexdigest() for path in vectors]
        shard = library.shards.write(shard_rows(library.space.parts, units, norms, digests))
        known = {"taken_at": None, "camera": None} | facts
        contents = [ContentFacts(digest, 100, 4, 3, "PNG", **known) for digest in digests]
        links = dict(zip(vectors, digests, strict=True))
        links |= {copy: links[path] for copy, path in (copies or {}).items()}
        photos = [(FileStamp(path, 100, 7), digest) for path, digest in links.items()]
        library.catalog.store(Batch(contents, shard, {}, photos), library.space_id)
        paths = {
            photo.path: photo.content_id or 0
            for of_content in library.catalog.photos(range(1, 10_000), Filter(), library.space_id).values()
            for photo in of_content
        }
        return [paths[path] for path in vectors]

    return fill_one


class InlineDecoder:
    """The decoder's work without its processes: they are tested elsewhere, and take their time to start."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def decode(self, tasks: Iterable[DecodeTask]) -> Generator[Any, None, None]:
        for task in tasks:
            yield decode_file(task, self.recipe, Limits())

    def with_recipe(self, recipe: Recipe) -> InlineDecoder:
        return type(self)(recipe)

    def picture(self, path: str) -> Decoded:
        result = decode_file(DecodeTask(path), self.recipe, Limits())
        if isinstance(result, Failure):
            raise UnreadableImage(path, result.reason)
        assert isinstance(result, Decoded)
        return result

    def view(self, path: str, max_side: int | None = None, quality: int = 90) -> bytes:
        result = view_file(path, Limits(), max_side, quality)
        assert isinstance(result, bytes)
        return result

    def close(self) -> None:
        pass


@pytest.fixture
def inline_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that are opened in the test decode without worker processes."""
    monkeypatch.setattr(index.open_space, "Decoder", InlineDecoder)


@pytest.fixture
def two_models(open_library: Callable[..., Library], inline_decoder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries of the test know the models of two_models.py too."""
    from tests.index import two_models as models

    monkeypatch.setattr(index.open_space, "describe", models.describe)
    monkeypatch.setattr(index.open_space, "load_backbone", models.load_backbone)


@pytest.fixture
def filled(two_models: None, library: Library, photos: Path, run: Callable[..., dict[str, Any]]) -> Library:
    """A library of five photos with the colours' vectors, which can be switched to GREY of two_models.py."""
    run(library, photos)
    return library


@pytest.fixture(scope="session")
def _lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with library/ and photos/, made once: see lived_in."""
    folder = tmp_path_factory.mktemp("lived-in")
    photos = folder / "photos"
    for colour in COLOURS:
        _paint(photos / f"{colour}.png", colour)
    _paint(photos / "lost.png", "rose", seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index.open_space, "describe", _describe)
        patch.setattr(index.open_space, "load_backbone", lambda description, device: ColourBackbone(description))
        patch.setattr(index.open_space, "Decoder", InlineDecoder)
        with Library.open(folder / "library", model="colours", create=True) as library:
            list(index_folder(library, [str(photos)]))
            (photos / "lost.png").unlink()
            _paint_odd_ones(photos)
            list(index_folder(library, [str(photos)]))
            named = {Path(photo.path).stem: photo.content_id or 0 for photo in library.catalog.photos_in("present", 99)}
            teach(library, {"warm": [named["red"], named["rose"]], "cold \u2744": [named["blue"]]})
    return folder


def _paint_odd_ones(photos: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 7"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    _paint(photos / "with\na line and \u00fc.png", "lime", seed=6, exif=exif)
    _paint(photos / os.fsdecode(b"no-utf8-\xff\xfe.png"), "blue", seed=7)
    _paint(photos / f"{'x' * 251}.png", "green", seed=8)
    shutil.copy2(photos / "red.png", photos / "the same as red.png")
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")


@pytest.fixture
def lived_in(_lived_in: Path, tmp_path: Path, photos: Path, open_library: Callable[..., Library]) -> Library:
    """A library with all that one can have: odd names, a copy, a gone and an unreadable photo, EXIF, taught words, two shards.

    A copy that lies in tmp_path with its photos, and knows it.
    """
    shutil.copytree(_lived_in / "library", tmp_path / "library")
    shutil.copytree(_lived_in / "photos", photos, dirs_exist_ok=True)  # with their times
    before, after = os.fsencode(_lived_in), os.fsencode(tmp_path)
    with closing(sqlite3.connect(tmp_path / "library" / "catalog.sqlite")) as connection:
        paths = connection.execute("SELECT path, id FROM photo").fetchall()
        moved = [(after + path.removeprefix(before), photo) for path, photo in paths]
        connection.executemany("UPDATE photo SET path = ? WHERE id = ?", moved)
        connection.commit()
    return open_library()
