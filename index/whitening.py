"""Partial whitening: what the photos of one library have in common counts less, and its rarer differences count more.

A library's vectors of unit length are centred, turned onto the principal components that vary most, and each component is
multiplied by (its variance + the mean variance) ** -1/4: half of the way to whitening (Jegou and Chum 2012, "Negative evidences
and co-occurences in image retrieval"), shrunk so that few photos do not blow up noise. Fitted without labels. What it gains
over the plain cosine, beside what was tried and left out: bench/RESULTS.md, "Better neighbours" (bench/craft.py).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

DIMS = 128
EXPONENT = 0.25  # 0.5 would be full whitening, which made every network's neighbours worse
LEAST = 100  # vectors to fit on
ENOUGH = 20_000  # more change nothing
NUMBERS = ENOUGH * 512
NO_VARIANCE = 1e-8
SLICE = 4096  # vectors that are copied at a time


@dataclass(frozen=True)
class Whitening:
    """mean: float32 (d,); turn: float32 (d, dims); count: how many vectors the library had then."""

    mean: np.ndarray
    turn: np.ndarray
    count: int

    @cached_property
    def digest(self) -> str:
        """Names it: 12 hex digits."""
        return hashlib.blake2b(self.mean.tobytes() + self.turn.tobytes(), digest_size=6).hexdigest()

    @property
    def dims(self) -> int:
        """Numbers of a whitened vector."""
        return self.turn.shape[1]

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """Whitened vectors, float32 (n, dims) of unit length, of vectors (n, d) of any length; zeros stay zeros."""
        whitened = np.empty((len(vectors), self.dims), np.float32)
        for start in range(0, len(vectors), SLICE):
            rows = vectors[start : start + SLICE]
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            turned = (rows / np.where(lengths > 0, lengths, 1) - self.mean) @ self.turn
            scale = np.linalg.norm(turned, axis=1, keepdims=True)
            whitened[start : start + SLICE] = turned * ((lengths > 0) / np.where(scale > 0, scale, 1))
        return whitened

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads back to the last bit."""
        return {"count": self.count, "mean": _text(self.mean), "turn": _text(self.turn), "dims": self.dims}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Whitening:
        """The whitening that was saved."""
        return cls(_numbers(saved["mean"]), _numbers(saved["turn"]).reshape(-1, saved["dims"]), saved["count"])

    def is_outgrown(self, count: int) -> bool:
        """Whether a library that has so many vectors now should fit anew: half or twice as many, up to what is enough."""
        here, now = min(self.count, ENOUGH), min(count, ENOUGH)
        return now >= LEAST and not here / 2 < now < here * 2


def is_worth_it(width: int, count: int) -> bool:
    """Whether a library of so many vectors of this width is searched by whitened ones."""
    return width > DIMS and count >= LEAST


def enough(width: int) -> int:
    """How many vectors of this width to fit on: no more numbers than fit into a moment and 80 MB."""
    return max(1000, min(ENOUGH, NUMBERS // width))


def fit(vectors: np.ndarray, dims: int = DIMS, count: int | None = None) -> Whitening | None:
    """The whitening of a library of `count` vectors (as many as are given, by default) by some of them, (n, d).

    Vectors of zeros tell nothing. None where there are fewer than LEAST others, or all are alike: then the plain cosine is all
    there is.
    """
    found = _by_columns(vectors) if vectors.shape[1] <= len(vectors) else _by_rows(vectors)
    if found is None:
        return None
    mean, values, axes, number = found
    if values.sum() < NO_VARIANCE:
        return None
    kept = slice(0, min(dims, number - 1, len(values)))
    turn = axes[:, kept] * (values[kept] + values.sum() / len(mean)) ** -EXPONENT
    return Whitening(mean.astype(np.float32), turn.astype(np.float32), len(vectors) if count is None else count)


_Axes = tuple[
    np.ndarray, np.ndarray, np.ndarray, int
]  # mean (d,), variances descending, axes (d, of them), vectors that count


def _by_columns(vectors: np.ndarray) -> _Axes | None:
    width = vectors.shape[1]
    count, total, products = 0, np.zeros(width), np.zeros((width, width))
    for start in range(0, len(vectors), SLICE):
        rows = _units(vectors[start : start + SLICE])
        count, total, products = count + len(rows), total + rows.sum(axis=0), products + rows.T @ rows
    if count < LEAST:
        return None
    mean = total / count
    values, axes = np.linalg.eigh((products - count * np.outer(mean, mean)) / (count - 1))
    return mean, np.maximum(values[::-1], 0), axes[:, ::-1], count


def _by_rows(vectors: np.ndarray) -> _Axes | None:
    """The same from the products of rows, where those are fewer: a matrix of 3,712 columns would take 13 s."""
    rows = _units(vectors)
    if len(rows) < LEAST:
        return None
    mean = rows.mean(axis=0)
    rows -= mean
    values, left = np.linalg.eigh(rows @ rows.T / (len(rows) - 1))
    axes = rows.T @ left[:, ::-1]
    axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
    return mean, np.maximum(values[::-1], 0), axes, len(rows)


def _units(vectors: np.ndarray) -> np.ndarray:
    """Float64, of unit length, without those of zeros."""
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]


def _text(numbers: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode()


def _numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")
