"""Why two pictures are alike: their cosine as a sum over the cells of either picture's map (derivation: docs/why.md).

Plain algebra in float64: a pooled vector is a sum over the cells of a map and, where a norm follows the mean, a constant
for the norm's bias; so the dot product of two such vectors is one too. Nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
_ZEROS = "one of the maps has a pooled vector of zeros, which is like nothing"


@dataclass(frozen=True)
class Pooling:
    """The norm that makes a pooled vector of the mean of a map: gain (c,), bias (c,) and eps.

    kind, as configurations have it: "layer" (the mean taken away, divided by the deviation), "rms" (divided by the root of
    the mean square) or "simple" (divided by the sample's deviation, nothing taken away).
    """

    gain: Doubles
    bias: Doubles
    eps: float
    kind: str = "layer"


@dataclass(frozen=True)
class Turn:
    """What a search may do to pooled vectors of unit length before it compares them: mean (c,) is taken away, and the rest
    multiplied by matrix (c, d)."""

    mean: np.ndarray
    matrix: np.ndarray


@dataclass(frozen=True)
class SimilarityMaps:
    """A cosine, and how much of it every cell of the first and of the second picture adds.

    `first` float64 (h, w) and constants[0] sum to the cosine; so do `second` (h', w') and constants[1].
    """

    cosine: float
    first: Doubles
    second: Doubles
    constants: tuple[float, float]


@dataclass(frozen=True)
class PairMap:
    """What one cell of the first picture adds to the cosine, over the cells of the second, float64 (h', w').

    `cells` and `constant` sum to `share`, the cell's own value in SimilarityMaps.first.
    """

    share: float
    cells: Doubles
    constant: float


def similarity_maps(
    x: np.ndarray, y: np.ndarray, pooling: Pooling | None = None, turn: Turn | None = None
) -> SimilarityMaps:
    """The cosine of the pooled, and with `turn` turned, vectors of maps x (c, h, w) and y (c, h', w'), cell by cell.

    pooling None is the plain mean. Raises ValueError where the maps have no vector to compare: other numbers of channels,
    or a vector of zeros.
    """
    (first, first_constant), (second, second_constant) = _both(x, y, pooling, turn)
    one, other = _summed(first, first_constant), _summed(second, second_constant)
    scale = _scale(one, other)
    return SimilarityMaps(
        cosine=float(one @ other) * scale,
        first=np.tensordot(other, first, axes=1) * scale,
        second=np.tensordot(one, second, axes=1) * scale,
        constants=(float(first_constant @ other) * scale, float(second_constant @ one) * scale),
    )


def pair_map(
    x: np.ndarray, y: np.ndarray, cell: tuple[int, int], pooling: Pooling | None = None, turn: Turn | None = None
) -> PairMap:
    """What cell (row, column) of x has in common with every cell of y; maps and errors as `similarity_maps`.

    Raises IndexError where x has no such cell.
    """
    rows, columns = x.shape[1:]
    if not (0 <= cell[0] < rows and 0 <= cell[1] < columns):
        raise IndexError(f"cell got {cell}, expected rows 0 to {rows - 1} and columns 0 to {columns - 1}")
    (first, first_constant), (second, second_constant) = _both(x, y, pooling, turn)
    one, other = _summed(first, first_constant), _summed(second, second_constant)
    scale = _scale(one, other)
    chosen = first[:, cell[0], cell[1]]
    return PairMap(
        share=float(chosen @ other) * scale,
        cells=np.tensordot(chosen, second, axes=1) * scale,
        constant=float(chosen @ second_constant) * scale,
    )


def contributions(x: np.ndarray, pooling: Pooling | None = None) -> tuple[Doubles, Doubles]:
    """What every cell of a map (c, h, w) adds to its pooled vector, float64 (c, h, w), and what no cell does, (c,)."""
    cells = x.astype(np.float64) / (x.shape[1] * x.shape[2])
    if pooling is None:
        return cells, np.zeros(len(x))
    mean = cells.sum(axis=(1, 2))
    if pooling.kind == "layer":
        # The mean over channels is linear: what is taken from the sum is taken from every cell.
        cells -= cells.mean(axis=0)
    square = {
        "layer": lambda: np.mean((mean - mean.mean()) ** 2),
        "rms": lambda: np.mean(mean**2),
        "simple": lambda: mean.var(ddof=1),
    }[pooling.kind]()
    factor = pooling.gain.astype(np.float64) / np.sqrt(square + pooling.eps)
    return cells * factor[:, None, None], pooling.bias.astype(np.float64)


def turned(cells: Doubles, constant: Doubles, turn: Turn) -> tuple[Doubles, Doubles]:
    """What `contributions` gave, (c, h, w) and (c,), of the turned vector: (d, h, w) and (d,).

    Every cell bears its part of the mean that is taken away. Raises ValueError for a vector of zeros.
    """
    length = float(np.linalg.norm(_summed(cells, constant)))
    if length == 0:
        raise ValueError(_ZEROS)
    centred = cells / length - turn.mean.astype(np.float64)[:, None, None] / cells[0].size
    matrix = turn.matrix.astype(np.float64)
    return np.tensordot(matrix.T, centred, axes=1), constant / length @ matrix


def _both(x: np.ndarray, y: np.ndarray, pooling: Pooling | None, turn: Turn | None) -> list[tuple[Doubles, Doubles]]:
    if x.ndim != 3 or y.ndim != 3 or len(x) != len(y):
        raise ValueError(f"maps are {x.shape} and {y.shape}, expected (c, h, w) and (c, h', w')")
    both = [contributions(one, pooling) for one in (x, y)]
    return both if turn is None else [turned(*one, turn) for one in both]


def _summed(cells: Doubles, constant: Doubles) -> Doubles:
    return cells.sum(axis=(1, 2)) + constant


def _scale(one: Doubles, other: Doubles) -> float:
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if lengths == 0:
        raise ValueError(_ZEROS)
    return 1 / lengths
