"""Where one small picture lies in another as a part of it, upright or mirrored: all sizes and places at once. Pure.

What a picture brings to every search is computed once for it: its transform as the picture that is looked into, and those of
itself at every size as what is looked for. A pair then costs one product and one transform back for each of its two directions.
A part lies within the picture, so that the transforms need no room beyond that: nothing wraps around.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil, floor, log

import numpy as np
from scipy import fft  # type: ignore[import-untyped]

from index.align import Fit, shrunk

SEARCHED_PX = 40  # long side of the picture that is looked into
LEAST_PART = 0.4  # of the other's long or short side, whichever it would fill: the smallest part that is looked for
PART_STEP = 1.07  # from one size to the next
SMALLEST_PX = 6  # of a part's short side
SHAPES = 4  # proportions of parts for which a picture keeps what it needs


class Searchable:
    """A small grey picture, float32 (h, w), ready to be looked into and to be looked for."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.shape = pixels.shape
        self.zoom = SEARCHED_PX / max(pixels.shape)
        self._field = shrunk(pixels, self.zoom)
        self._field_waves = fft.rfft2(self._field, (SEARCHED_PX, SEARCHED_PX))
        self._sums = [np.pad(self._field.astype(np.float64) ** n, ((1, 0), (1, 0))).cumsum(0).cumsum(1) for n in (1, 2)]
        once = shrunk(pixels, min(1.0, 2 * self.zoom))
        steps = floor(log(min(self._field.shape) / SMALLEST_PX) / log(PART_STEP)) if min(self._field.shape) >= 6 else -1
        # Of its long side, all of SEARCHED_PX and less.
        self.sizes = [self.zoom / PART_STEP**n for n in range(steps + 1)]
        height, width = self._field.shape  # rounding may have made a part a pixel too large
        parts = [shrunk(once, size * self.shape[0] / once.shape[0])[:height, :width] for size in self.sizes]
        self.parts = [part.shape for part in parts]
        self._part_waves = _waves(parts)
        self._spreads: OrderedDict[tuple[tuple[int, ...], ...], np.ndarray] = OrderedDict()

    def holds(self, other: Searchable) -> list[tuple[Fit, bool]]:
        """Roughly where it holds the other as a part, and whether mirrored: the best place of either kind, if any.

        The fit maps the other's pixels, or those of its mirror image, into this picture's; its score is the plain correlation.
        """
        within = [n for n, part in enumerate(other.parts) if _fits(part, self._field.shape)]
        if not within:
            return []
        # Down to LEAST_PART of the largest that fits.
        first = within[0]
        last = min(within[-1], first + ceil(log(1 / LEAST_PART) / log(PART_STEP))) + 1
        waves = self._field_waves * other._part_waves[:, first:last]
        found = fft.irfft2(waves, (SEARCHED_PX, SEARCHED_PX)) * self._spread(tuple(other.parts[first:last]))
        best = []
        for mirrored, one in enumerate(found):
            size, down, across = (int(place) for place in np.unravel_index(int(one.argmax()), one.shape))
            scale = other.sizes[first + size]
            shift = (np.array([across, down]) + 0.5) / self.zoom - 0.5 + 0.5 * (scale / self.zoom) - 0.5 / self.zoom
            fit = Fit(np.eye(2) * scale / self.zoom, shift, float(one[size, down, across]), 1.0)
            best.append((fit, bool(mirrored)))
        return best

    def _spread(self, parts: tuple[tuple[int, ...], ...]) -> np.ndarray:
        """1 / the norm of what lies under a part at each place, float32 (parts, h, w); 0 where the part would stick out."""
        if parts not in self._spreads:
            self._spreads[parts] = np.zeros((len(parts), SEARCHED_PX, SEARCHED_PX), np.float32)
            for room, (h, w) in zip(self._spreads[parts], parts, strict=True):
                total, square = (s[h:, w:] - s[:-h, w:] - s[h:, :-w] + s[:-h, :-w] for s in self._sums)
                # A grey level at least.
                spread = np.sqrt(np.maximum(square - total**2 / (h * w), h * w))
                room[: spread.shape[0], : spread.shape[1]] = 1 / spread
            if len(self._spreads) > SHAPES:
                self._spreads.popitem(last=False)
        self._spreads.move_to_end(parts)
        return self._spreads[parts]


def _waves(parts: list[np.ndarray]) -> np.ndarray:
    """The conjugate transforms of parts of norm 1, complex64 (2, parts, h, w): as they are, and mirrored."""
    flat = np.zeros((2, len(parts), SEARCHED_PX, SEARCHED_PX), np.float32)
    for number, part in enumerate(parts):
        centred = part - part.mean()
        if part.std() > 1:  # one colour lies everywhere
            centred /= np.linalg.norm(centred)
            height, width = part.shape
            flat[0, number, :height, :width] = centred
            flat[1, number, :height, :width] = centred[:, ::-1]
    return np.conj(fft.rfft2(flat)) if parts else np.zeros((2, 0, SEARCHED_PX, SEARCHED_PX // 2 + 1), np.complex64)


def _fits(part: tuple[int, ...], field: tuple[int, ...]) -> bool:
    return part[0] <= field[0] and part[1] <= field[1]
