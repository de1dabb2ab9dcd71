"""A sample library: photographs that the package scikit-image carries, and what people do to photographs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from regconv.images import open_image

# Natural photographs of skimage.data; what is left out are diagrams, text, masks and stereo pairs.
PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "cameraman": "camera.png",
    "cat": "chelsea.png",
    "cells": "ihc.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "galaxies": "hubble_deep_field.jpg",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
LONG_SIDE = 640  # pixels
ON_ITS_SIDE = "-on-its-side.jpg"
UPRIGHT, ROTATED_90 = 1, 6  # EXIF orientations; the second is to be turned clockwise for viewing
ORIENTATION, DETAILS, TAKEN = 0x0112, 0x8769, 0x9003  # EXIF tags
FINISHED = "finished.txt"


def make_sample(folder: Path) -> int:
    """How many pictures the sample library in `folder` has; they are written where they are not there yet.

    Each photograph becomes eleven files: itself, re-encoded, lying on its side with an EXIF note, mirrored, turned, brighter,
    small, and four crops. What was made of one photograph keeps its date, which is ours, not the photographer's. The same
    bytes every time.
    """
    count = len(PHOTOGRAPHS) * len(VARIANTS)
    if (folder / FINISHED).exists():
        return count
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(_skimage_data())
    for day, (name, file) in enumerate(PHOTOGRAPHS.items(), start=1):
        photograph = open_image(source / file)
        photograph.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        for ending, picture, options in _variants(photograph, seed=sum(name.encode())):
            exif = _exif(f"2024:05:{day:02} 12:00:00", ROTATED_90 if ending == ON_ITS_SIDE else UPRIGHT)
            picture.save(folder / f"{name}{ending}", exif=exif, **options)
    (folder / FINISHED).write_text(f"{count} pictures made from the photographs of scikit-image.\n")
    return count


VARIANTS = (
    ".jpg", "-again.jpg", ON_ITS_SIDE, "-mirrored.jpg", "-turned.png", "-brighter.webp", "-small.jpg",
    "-crop-1.jpg", "-crop-2.jpg", "-crop-3.jpg", "-crop-4.webp",
)  # fmt: skip


def photographs() -> list[str]:
    """The paths of the sample's photographs as scikit-image has them."""
    return [os.path.join(_skimage_data(), file) for file in PHOTOGRAPHS.values()]


def _variants(photograph: Image.Image, seed: int) -> Iterator[tuple[str, Image.Image, dict]]:
    """(end of the file name, picture, how to save it)."""
    width, height = photograph.size
    pictures: dict[str, tuple[Image.Image, dict]] = {
        ".jpg": (photograph, {"quality": 92}),
        "-again.jpg": (photograph, {"quality": 80}),
        ON_ITS_SIDE: (photograph.transpose(Image.Transpose.ROTATE_90), {"quality": 92}),
        "-mirrored.jpg": (ImageOps.mirror(photograph), {"quality": 92}),
        "-turned.png": (photograph.transpose(Image.Transpose.ROTATE_180), {}),
        "-brighter.webp": (ImageEnhance.Brightness(photograph).enhance(1.4), {"quality": 85}),
        "-small.jpg": (photograph.resize((width // 3, height // 3), Image.Resampling.LANCZOS), {"quality": 88}),
    }
    random = np.random.default_rng(seed)
    for ending in VARIANTS[len(pictures) :]:
        share = random.uniform(0.55, 0.8)
        left, top = random.uniform(0, 1 - share, 2)
        box = (int(left * width), int(top * height), int((left + share) * width), int((top + share) * height))
        pictures[ending] = (photograph.crop(box), {"quality": 88})
    for ending in VARIANTS:
        picture, options = pictures[ending]
        yield ending, picture, options


def _exif(taken: str, orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(DETAILS)[TAKEN] = taken
    return exif


def _skimage_data() -> str:
    import skimage

    return os.path.join(os.path.dirname(skimage.__file__), "data")
