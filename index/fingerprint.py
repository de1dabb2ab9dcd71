"""A small picture's fingerprint: 63 bits of its lowest frequencies, and three figures. Pure: arrays in, numbers out.

A bit is the sign of one coefficient of the discrete cosine transform of the picture, grey and squeezed to 32 x 32. Mirroring a
picture only changes the signs of odd coefficients and turning it on its side swaps rows and columns, so that the hashes of all
eight orientations come from one hash. (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, has
the transform; he compares with the median, where zero says the same but for that symmetry.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

VERSION = 1
SIDE = 32
LOW = 8  # coefficients a side
BLANK = 2.0  # grey levels of contrast below which a picture shows nothing to know it by
GREY = 3.0  # levels between the colour channels, on average, below which a picture is grey
# The eight orientations: whether rows and columns are swapped first, then mirrored left to right, then top to bottom.
ORIENTATIONS = tuple((swap, left, top) for swap in (False, True) for left in (False, True) for top in (False, True))


@dataclass(frozen=True)
class Fingerprint:
    """`hash` has bit 8 v + u for the coefficient of v half waves down and u across; the others are in grey levels."""

    hash: int
    contrast: float  # standard deviation
    sharpness: float  # root mean square of the Laplacian
    colour: float  # mean difference between the channels


def _cosines() -> np.ndarray:
    across = (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
    return np.cos(np.arange(LOW)[:, None] * across).astype(np.float32)


_COSINES = _cosines()
_BITS = np.uint64(1) << np.arange(LOW * LOW, dtype=np.uint64)
_PLACES = np.arange(LOW * LOW).reshape(LOW, LOW)


def fingerprint(picture: Image.Image) -> Fingerprint:
    """The fingerprint of an upright RGB picture of about 100 to 400 pixels a side."""
    grey = picture.convert("L")
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    pixels = np.asarray(grey, np.float32)
    contrast = float(pixels.std())
    waves = _COSINES @ (small - small.mean()) @ _COSINES.T
    bits = (waves > 0).ravel()
    bits[0] = False  # the mean
    code = int(_BITS[bits].sum()) if contrast >= BLANK else 0
    return Fingerprint(code, contrast, _sharpness(pixels), _colour(picture))


def in_orientation(hashes: np.ndarray, swap: bool, left: bool, top: bool) -> np.ndarray:
    """The hashes, uint64 (n,), of the same pictures in another orientation."""
    if swap:
        turned = np.zeros_like(hashes)
        for place, swapped in zip(_PLACES.ravel(), _PLACES.T.ravel(), strict=True):
            turned |= ((hashes >> np.uint64(place)) & np.uint64(1)) << np.uint64(swapped)
        hashes = turned
    # A zero coefficient has no sign to change, but hardly any is zero.
    odd = (_PLACES % LOW % 2 == 1) & left ^ (_PLACES // LOW % 2 == 1) & top
    return np.where(hashes == 0, hashes, hashes ^ _BITS[odd.ravel()].sum(dtype=np.uint64))


def oriented(pixels: np.ndarray, swap: bool, left: bool, top: bool) -> np.ndarray:
    """Pixels (h, w, ...) in another orientation; a view."""
    if swap:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if top else 1, :: -1 if left else 1]


def _sharpness(grey: np.ndarray) -> float:
    if min(grey.shape) < 3:
        return 0.0
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(np.sqrt(np.mean(inner**2)))


def _colour(picture: Image.Image) -> float:
    small = picture.copy()
    small.thumbnail((96, 96), Image.Resampling.BOX)
    channels = np.asarray(small, np.int16)
    return float(np.mean(channels.max(axis=2) - channels.min(axis=2)))
