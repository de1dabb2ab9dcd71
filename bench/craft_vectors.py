"""Vectors of a network for the benches of neighbours and scores, extracted once and kept in a folder outside the repository.

Per picture and its mirror image: the mean of every stage's map, the pooled vector, and generalised means of the last map.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from index.sample import FINISHED, make_sample
from regconv.backbone import Backbone, load_backbone
from regconv.errors import UnreadableImage
from regconv.images import open_image, prepare

POWERS = (2, 3, 4)  # of generalised means
BATCH = 32
EDITED = 60  # photographs whose edited versions are made
EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "turned": lambda one: one.transpose(Image.Transpose.ROTATE_90),
    "grey": lambda one: one.convert("L").convert("RGB"),
    "small": lambda one: one.resize((one.width // 3, one.height // 3), Image.Resampling.LANCZOS),
    "brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.4),
    "crop": lambda one: one.crop((one.width // 5, one.height // 10, one.width * 9 // 10, one.height * 8 // 10)),
}


@dataclass(frozen=True)
class Vectors:
    """Raw (not of unit length) vectors by kind, float32 (n, d), of n pictures and of their mirror images; what shows what."""

    plain: dict[str, np.ndarray]
    mirrored: dict[str, np.ndarray]
    groups: np.ndarray  # str (n,): class, or the picture that it is a version of
    paths: np.ndarray  # str (n,)
    pooled: str

    def parts(self) -> dict[str, np.ndarray]:
        """What the library stores, as it stores it: unit vectors by part, rounded to float16."""
        named = {name: rows for name, rows in self.plain.items() if not name.startswith("gem")}
        return {name: unit(rows).astype(np.float16).astype(np.float32) for name, rows in named.items()}


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) scaled to length 1; zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def data() -> Path:
    """The folder of photographs. Raises click.UsageError where REGCONV_DATA is not set."""
    if "REGCONV_DATA" not in os.environ:
        raise click.UsageError("REGCONV_DATA is not set: it names the folder that holds caltech101/ and photos/.")
    return Path(os.environ["REGCONV_DATA"])


def extracted(model: str, name: str, cache: Path) -> Vectors:
    """The vectors of "train", "test", "photos", "sample" or "versions" (of pictures, among photos), from the cache or new."""
    label = re.sub(r"\W+", "-", model).strip("-")
    file = cache / f"{label}.{name}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        paths, groups = _listed(name, cache)
        vectors = _embedded(load_backbone(model), paths, groups)
        rows = {f"plain.{kind}": array for kind, array in vectors.plain.items()}
        rows |= {f"mirrored.{kind}": array for kind, array in vectors.mirrored.items()}
        with file.with_suffix(".tmp").open("wb") as whole:
            rows |= {"groups": vectors.groups, "paths": vectors.paths, "pooled": np.array(vectors.pooled)}
            np.savez(whole, allow_pickle=False, **rows)
        file.with_suffix(".tmp").rename(file)
    with np.load(file) as saved:
        rows = {key: saved[key] for key in saved.files}
    plain, mirrored = (
        {key.partition(".")[2]: array for key, array in rows.items() if key.startswith(start)}
        for start in ("plain.", "mirrored.")
    )
    return Vectors(plain, mirrored, rows["groups"], rows["paths"], str(rows["pooled"]))


def _listed(name: str, cache: Path) -> tuple[list[Path], list[str]]:
    if name in ("train", "test"):
        paths = sorted((data() / "caltech101" / name).glob("*/*.jpg"))
        return paths, [path.parent.name for path in paths]
    if name == "sample":
        make_sample(cache / "sample")
        paths = sorted(path for path in (cache / "sample").iterdir() if path.name != FINISHED)
        return paths, [re.split(r"[-.]", path.name)[0] for path in paths]
    photos = sorted((data() / "photos").glob("*.JPEG"))
    if name == "photos":
        return photos, [path.stem for path in photos]
    seen: dict[bytes, Path] = {}  # equal bytes are one content
    for path in sorted((data() / "near_duplicates").rglob("*.*")):
        seen.setdefault(path.read_bytes(), path)
    near = [path for path in seen.values() if path.is_file()]
    edits = _edited(photos[:: len(photos) // EDITED][:EDITED], cache / "edits")
    paths = [*near, *photos, *edits]
    groups = [match[0] if (match := re.match(r"ukbench\d+", path.stem)) else path.stem for path in near]
    return paths, groups + [path.stem for path in photos] + [path.stem.partition("+")[0] for path in edits]


def _edited(photos: Sequence[Path], folder: Path) -> list[Path]:
    """Files of every edit of every photograph, named PHOTO+EDIT.jpg."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for photo in photos:
        picture = open_image(photo)
        for edit, change in EDITS.items():
            files.append(folder / f"{photo.stem}+{edit}.jpg")
            change(picture).save(files[-1], quality=85)
    return files


def _embedded(backbone: Backbone, paths: Sequence[Path], groups: Sequence[str]) -> Vectors:
    read: list[tuple[Path, str]] = []
    both: tuple[list[dict[str, np.ndarray]], ...] = ([], [])
    for start in range(0, len(paths), BATCH):
        pictures = []
        for path, group in zip(paths[start : start + BATCH], groups[start : start + BATCH], strict=True):
            try:
                pictures.append(prepare(path, backbone.description.recipe))
                read.append((path, group))
            except UnreadableImage as error:
                click.echo(f"left out: {error}", err=True)
        if pictures:
            batch = np.stack(pictures)
            for found, turned in zip(both, (batch, batch[:, :, ::-1]), strict=True):
                found.append(_kinds(backbone, turned))
    plain, mirrored = ({kind: np.concatenate([one[kind] for one in found]) for kind in found[0]} for found in both)
    groups = [group for _, group in read]
    return Vectors(
        plain, mirrored, np.array(groups), np.array([str(path) for path, _ in read]), backbone.description.pooled
    )


def _kinds(backbone: Backbone, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Raw vectors (n, d) of prepared pictures by kind: each part's name, and gem2, gem3, … of the last map."""
    seen = backbone.features(np.ascontiguousarray(pictures))
    found = {f"stage{number}": maps.mean(axis=(2, 3)) for number, maps in enumerate(seen.stages, start=1)}
    if backbone.description.pooled == "pooled":
        found["pooled"] = seen.pooled
    last = np.maximum(seen.stages[-1], 1e-6)
    return found | {f"gem{power}": (last**power).mean(axis=(2, 3)) ** (1 / power) for power in POWERS}
