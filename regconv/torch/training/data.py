"""From a folder of class folders to pictures in memory: listed, split, decoded once.

Training pictures are kept as squares of bytes with their width by height beside them; the pictures that measure are
prepared exactly as they will be when the network is used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from regconv.errors import TrainingError, UnreadableImage
from regconv.image_formats import HEAD_BYTES
from regconv.images import Recipe, looks_like_image, open_image, prepare

_ROOM = 1.5  # how much larger than the network's input a stored picture is, so that crops are not enlarged
_SLICE = 256


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """Class names in order, and every picture's file with the number of its class."""

    classes: tuple[str, ...]
    files: tuple[tuple[Path, int], ...]


@dataclass(frozen=True)
class TrainingPictures:
    """uint8 (n, 3, side, side), whatever their shape was; aspects: width by height (n,); labels (n,)."""

    pixels: Tensor
    aspects: Tensor
    labels: Tensor

    def at(self, size: int) -> TrainingPictures:
        """The same pictures with no more pixels than training at this size needs."""
        side = _side(size)
        if side >= self.pixels.shape[-1]:
            return self
        smaller = [
            F.interpolate(part, (side, side), mode="bilinear", antialias=True) for part in self.pixels.split(_SLICE)
        ]
        return TrainingPictures(torch.cat(smaller), self.aspects, self.labels)


@dataclass(frozen=True)
class MeasuringPictures:
    """uint8 (n, size, size, 3) as the finished network takes them, and labels (n,)."""

    pixels: Tensor
    labels: Tensor


def list_classes(folder: str | os.PathLike[str], classes: Sequence[str] | None = None) -> Listing:
    """The pictures of a folder whose subfolders are classes; `classes` fixes names and order.

    Raises TrainingError: no folder, fewer than two classes, a class without pictures, a class that is not in `classes`.
    """
    root = Path(folder)
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder: give one whose subfolders are classes, with pictures in each")
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if classes is not None and (unknown := [name for name in found if name not in classes]):
        raise TrainingError(f"{root} has classes that the training folder has not: {', '.join(unknown)}")
    if len(found) < (2 if classes is None else 1):
        has = f"one class folder ({found[0]})" if found else "no class folders"
        raise TrainingError(f"{root} has {has}: training needs two or more subfolders, a class each")
    names = tuple(found if classes is None else classes)
    files: list[tuple[Path, int]] = []
    for name in found:
        inside = sorted(path for path in _below(root / name) if _is_candidate(path))
        if not inside:
            raise TrainingError(f"the class folder {root / name} has no pictures: put some in, or remove it")
        files += [(path, names.index(name)) for path in inside]
    return Listing(names, tuple(files))


def split(listing: Listing, share: float, seed: int) -> tuple[Listing, Listing]:
    """(to train on, to measure on): about `share` of every class's files is measured on, the same for the same seed.

    A file's place depends on its name alone, so new files move no others. Raises TrainingError for a class of one file.
    """
    train: list[tuple[Path, int]] = []
    held: list[tuple[Path, int]] = []
    for number, name in enumerate(listing.classes):
        inside = [path for path, label in listing.files if label == number]
        if len(inside) < 2:
            raise TrainingError(f"the class {name} has one picture: put more in, or give the pictures to measure on")
        inside.sort(key=lambda path: hashlib.sha256(f"{seed}/{name}/{path.name}".encode()).digest())
        count = min(max(1, round(share * len(inside))), len(inside) - 1)
        held += [(path, number) for path in inside[:count]]
        train += [(path, number) for path in inside[count:]]
    return Listing(listing.classes, tuple(sorted(train))), Listing(listing.classes, tuple(sorted(held)))


def read_training(listing: Listing, size: int, failures: list[Failure]) -> Generator[int, None, TrainingPictures]:
    """Yields how many files were read so far, returns the pictures; unreadable files go to `failures`.

    Raises TrainingError where memory is too small or nothing of a class can be read.
    """
    side = _side(size)
    _check_room(len(listing.files) * 3 * side * side)
    pixels = np.empty((len(listing.files), 3, side, side), np.uint8)
    aspects: list[float] = []

    def read(path: Path, row: int) -> None:
        image = open_image(path, draft=(2 * side, 2 * side))
        square = image.resize((side, side), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(square).transpose(2, 0, 1)
        aspects.append(image.width / image.height)

    labels = yield from _read_each(listing, read, failures)
    kept = torch.from_numpy(pixels[: len(labels)])
    return TrainingPictures(kept, torch.tensor(aspects), torch.tensor(labels))


def read_measuring(
    listing: Listing, recipe: Recipe, failures: list[Failure]
) -> Generator[int, None, MeasuringPictures]:
    """As read_training, of the pictures to measure on."""
    _check_room(len(listing.files) * 3 * recipe.size**2)
    pixels = np.empty((len(listing.files), recipe.size, recipe.size, 3), np.uint8)

    def read(path: Path, row: int) -> None:
        pixels[row] = prepare(path, recipe)

    labels = yield from _read_each(listing, read, failures)
    return MeasuringPictures(torch.from_numpy(pixels[: len(labels)]), torch.tensor(labels))


def _read_each(
    listing: Listing, read: Callable[[Path, int], None], failures: list[Failure]
) -> Generator[int, None, list[int]]:
    """Counts the files read; returns the labels of those that could be read."""
    labels: list[int] = []
    for done, (path, label) in enumerate(listing.files, start=1):
        try:
            read(path, len(labels))
            labels.append(label)
        except UnreadableImage as error:
            failures.append(Failure(str(path), error.reason))
        yield done
    wanted = {label for _, label in listing.files}
    if lost := sorted(wanted - set(labels)):
        names = ", ".join(listing.classes[label] for label in lost)
        raise TrainingError(f"no picture could be read of: {names}; the first failure: {_first(failures)}")
    return labels


def _first(failures: list[Failure]) -> str:
    return f"{failures[0].path} {failures[0].reason}"


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in names if not name.startswith("."))


def _is_candidate(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_image(path.name, file.read(HEAD_BYTES))
    except OSError:
        return True  # reading it will say what is wrong


def _side(size: int) -> int:
    return round(_ROOM * size)


def _check_room(needed: int) -> None:
    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise TrainingError(
            f"the pictures need {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free: "
            "train on fewer pictures, or with a smaller --size"
        )
