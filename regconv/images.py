"""A file becomes an upright RGB picture, and the picture becomes a network's input, both without torch.

Nothing here trusts the file: pixels and bytes are limited before anything is decoded, a file that ends early is an error
and never a half grey picture, and the reason is said in words. JPEGs may be decoded at a reduced scale that libjpeg
computes in its transform, several times faster; how much is left is part of the Recipe, because it changes the pixels.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO

import numpy as np
import PIL
from PIL import Image, ImageFile

from regconv.errors import UnreadableImage
from regconv.image_colours import to_rgb
from regconv.image_exif import camera, is_sideways, orientation, taken_at, turned, turned_box
from regconv.image_formats import HEAD_BYTES, decoder_of, format_of, looks_like_image
from regconv.image_geometry import Box, resize_and_crop, resized_size

__all__ = ["FileBytes", "Limits", "Picture", "Recipe", "looks_like_image", "open_image", "open_picture", "prepare",
           "prepared", "read_file"]  # fmt: skip

Source = str | os.PathLike[str] | bytes | IO[bytes]
Size = tuple[int, int]  # width, height

_ENDS_EARLY = re.compile("truncated|end of file|unexpected end|not enough|requires a buffer", re.IGNORECASE)
_RULES = 1  # to be raised when the same file would give other pixels than before


@dataclass(frozen=True)
class Recipe:
    """How a file becomes a prepared picture: part of a space's identity.

    `draft_factor` is how many times larger than the resize target, on both sides, a JPEG that is decoded at reduced scale
    must stay; 0 decodes fully.
    """

    size: int
    crop_pct: float
    resample: int
    draft_factor: int = 2

    def as_dict(self) -> dict[str, int | float | str]:
        """JSON-able and canonical: equal exactly where the same file gives the same pixels."""
        # int and float: a Resampling enum or 1 for 1.0 must not make another space.
        return {
            "size": int(self.size),
            "crop_pct": float(self.crop_pct),
            "resample": int(self.resample),
            "draft_factor": int(self.draft_factor),
            "exif": "upright",
            "rules": _RULES,
            "pillow": ".".join(PIL.__version__.split(".")[:2]),  # a bug-fix release does not resize otherwise
        }

    def resized(self, size: Size) -> Size:
        """(width, height) to which a picture of this size is resized before the crop."""
        return resized_size(size[1], size[0], self.size, self.crop_pct)[::-1]


@dataclass(frozen=True)
class Limits:
    """What is refused unseen. The pixels are Pillow's own hard limit, 512 MiB of them in 24 bit."""

    max_pixels: int = 178_956_970
    max_bytes: int = 512 << 20


@dataclass(frozen=True)
class FileBytes:
    """A whole file, with the stamp that belongs to exactly these bytes."""

    data: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Picture:
    """Upright RGB pixels and what the file says about itself.

    `width` and `height` are the upright original's; `image` may be smaller (a JPEG decoded at reduced scale), and the
    original then covers `box` of it. `icc_profile` is an RGB profile that was not applied.
    """

    image: Image.Image
    box: Box
    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    icc_profile: bytes | None


def open_image(source: Source, *, limits: Limits = Limits(), draft: Size | None = None) -> Image.Image:
    """The picture upright in RGB; with `draft` a JPEG may come smaller, but at least this (width, height) on both sides.

    Raises UnreadableImage. May be called from several threads.
    """
    return open_picture(source, limits=limits, at_least=(lambda _size: draft) if draft else None).image


def prepare(path: str | os.PathLike[str], recipe: Recipe, *, limits: Limits = Limits()) -> np.ndarray:
    """A network's input before normalisation, uint8 (size, size, 3). Raises UnreadableImage."""
    return prepared(open_picture(path, limits=limits, at_least=draft_size(recipe)), recipe)


def prepared(picture: Picture, recipe: Recipe) -> np.ndarray:
    """uint8 (size, size, 3) of an opened picture, by the processor's own geometry."""
    original = (picture.width, picture.height)
    box = picture.box if picture.image.size != original else None
    fitted = resize_and_crop(picture.image, recipe.size, recipe.crop_pct, recipe.resample, original, box)
    return np.array(fitted)


def draft_size(recipe: Recipe) -> Callable[[Size], Size] | None:
    """For `open_picture`: original (width, height) -> the least that a reduced JPEG must keep; None decodes fully."""
    if recipe.draft_factor < 1:
        return None

    def least(size: Size) -> Size:
        width, height = recipe.resized(size)
        return recipe.draft_factor * width, recipe.draft_factor * height

    return least


def open_picture(
    source: Source,
    *,
    limits: Limits = Limits(),
    at_least: Callable[[Size], Size] | None = None,
    name: str | None = None,
) -> Picture:
    """The picture in a path, in bytes, or in a binary file. Raises UnreadableImage(`name` or the path, reason)."""
    data, name = _bytes_of(source, limits, name)
    if not data:
        raise UnreadableImage(name, "is empty")
    kind = format_of(data[:HEAD_BYTES])
    if kind is None:
        raise UnreadableImage(name, "is not a picture, or of a kind that is not read here")
    if kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):  # its decoder does not say why it fails
        raise UnreadableImage(name, "the file ends early")
    try:
        with _quiet_pillow(), decoder_of(kind)(io.BytesIO(data), "") as image:
            pixels = image.width * image.height
            if pixels > limits.max_pixels:
                raise UnreadableImage(name, f"has {pixels:,} pixels, the limit is {limits.max_pixels:,}")
            return _decoded(image, at_least)
    except UnreadableImage:
        raise
    except (Exception, Image.DecompressionBombError) as error:  # Pillow's plugins raise whatever the damage leads to
        raise UnreadableImage(name, _reason(error, limits)) from error


def _decoded(image: ImageFile.ImageFile, at_least: Callable[[Size], Size] | None) -> Picture:
    reduces = at_least is not None and image.format in ("JPEG", "MPO")
    covered: tuple[float, float] | None = None
    full = image.size
    if reduces and at_least is not None:
        sideways = is_sideways(orientation(image))
        least = at_least(full[::-1] if sideways else full)
        drafted = image.draft("RGB", least[::-1] if sideways else least)
        covered = drafted[1][2:] if drafted else None
    image.load()
    turn = orientation(image)
    if covered is None:
        full = image.size  # only now: Pillow swaps a TIFF's sides while loading it
    facts = taken_at(image), camera(image)
    icc_profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    upright = turned(to_rgb(image), turn)
    if isinstance(upright, ImageFile.ImageFile):
        upright = upright.copy()  # the pixels alone: a file's object carries its comments and segments along
    box = turned_box(covered or image.size, upright.size, turn)
    width, height = full[::-1] if is_sideways(turn) else full
    return Picture(upright, box, width, height, image.format or "", *facts, icc_profile)


def read_file(path: str | os.PathLike[str], limits: Limits = Limits()) -> FileBytes:
    """A regular file's bytes. Raises UnreadableImage, also where the file is no file or changes while being read."""
    # Not to wait for the writer of a pipe: neither flag exists on Windows, which has no such files.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a socket cannot even be opened, a device should not be
            raise UnreadableImage(path, "is not a regular file")
        with open(os.open(path, flags), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise UnreadableImage(path, "is not a regular file")
            if before.st_size > limits.max_bytes:
                raise UnreadableImage(path, f"has {before.st_size:,} bytes, the limit is {limits.max_bytes:,}")
            data = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableImage(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if len(data) != before.st_size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UnreadableImage(path, "changed while it was being read")
    return FileBytes(data, before.st_size, before.st_mtime_ns)


def _bytes_of(source: Source, limits: Limits, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, str | os.PathLike):
        return read_file(source, limits).data, name or os.fspath(source)
    name = name or str(getattr(source, "name", None) or "the picture")
    data = source if isinstance(source, bytes) else source.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise UnreadableImage(name, f"has more than {limits.max_bytes:,} bytes, the limit")
    return data, name


def _reason(error: BaseException, limits: Limits) -> str:
    """Why Pillow gave up, in words for a person."""
    said = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError):
        pixels = re.search(r"\((\d+) pixels\)", said)
        return f"has {int(pixels[1]):,} pixels, the limit is {limits.max_pixels:,}" if pixels else "has too many pixels"
    if isinstance(error, MemoryError):
        return "needs more memory to decode than one picture is allowed"
    if isinstance(error, EOFError) or _ENDS_EARLY.search(said):
        return "the file ends early"
    return f"is damaged ({said[:200] or type(error).__name__})"


_quiet_lock = threading.Lock()
_quiet_depth = 0


@contextlib.contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow's warnings about a file's oddities are not shown while any thread decodes.

    warnings.catch_warnings would put back a stale list of filters when two threads overlap; this adds one entry that
    concerns Pillow's modules only and takes the same entry away again.
    """
    global _quiet_depth
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            warnings.filterwarnings("ignore", module=_QUIET_MODULES)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                for entry in [entry for entry in warnings.filters if _is_quiet(entry)]:
                    warnings.filters.remove(entry)  # type: ignore[attr-defined]


_QUIET_MODULES = r"PIL\.|pillow_heif"


def _is_quiet(entry: tuple) -> bool:
    return getattr(entry[3], "pattern", None) == _QUIET_MODULES
