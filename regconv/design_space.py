"""RegNet's design space (Radosavovic et al. 2020, arXiv 2003.13678, section 3.3): a network from five numbers.

Widths grow along a line over the blocks, u_j = w_0 + w_a * j, and are drawn to the nearest w_0 * w_m ** s for a whole s,
in steps of 8. Blocks of one width are a stage. Arithmetic only: `RegNetConfig.from_design_space` makes the configuration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from numbers import Real
from typing import Any

from regconv.errors import UnsupportedConfig

_STEP = 8  # every width's, and so w_0's
_DEEPEST, _WIDEST = 1000, 1_000_000  # blocks and channels; the paper's space ends at 64 and 512


@dataclass(frozen=True)
class Design:
    """One point of the design space: depth in blocks, first width, slope, step between stages, width of a group.

    Raises UnsupportedConfig for numbers from which the rule makes no network.
    """

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group_width: int

    def __post_init__(self) -> None:
        for name in ("depth", "w_0", "group_width"):
            value: Any = getattr(self, name)
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number or not float(value).is_integer():
                raise UnsupportedConfig(f"{name} got {value!r}, expected a whole number")
            object.__setattr__(self, name, int(value))  # also of 24.0
        _check("depth", self.depth, 1 <= self.depth <= _DEEPEST, f"1 to {_DEEPEST} blocks")
        is_step = self.w_0 % _STEP == 0 and _STEP <= self.w_0 <= _WIDEST
        _check("w_0", self.w_0, is_step, f"a multiple of {_STEP}, up to {_WIDEST} channels")
        is_slope = 0 <= self.w_a <= _WIDEST
        _check("w_a", self.w_a, is_slope, f"0 to {_WIDEST} channels a block: widths never shrink along the network")
        _check(
            "w_m", self.w_m, 1 < self.w_m < math.inf, "more than 1: it is the factor between the widths of two stages"
        )
        _check("group_width", self.group_width, self.group_width >= 1, "1 or more")

    def linear_widths(self) -> list[float]:
        """u_j of every block: the line that the widths follow."""
        return [self.w_0 + self.w_a * block for block in range(self.depth)]

    def block_widths(self) -> list[int]:
        """w_j of every block, before groups are fitted in."""
        # In this order and in float64, halves to even: the published widths come from exactly this rounding.
        powers = [round(math.log(width / self.w_0) / math.log(self.w_m)) for width in self.linear_widths()]
        return [round(self.w_0 * self.w_m**power / _STEP) * _STEP for power in powers]

    def stages(self) -> tuple[list[int], list[int]]:
        """(hidden_sizes, depths): a stage's width is the multiple of the group width nearest to its blocks'.

        A stage that is narrower than a group becomes one group and keeps its width. Two stages that meet in one width
        stay two.
        """
        blocks = [(width, len(list(run))) for width, run in groupby(self.block_widths())]
        return [self._fitted(width) for width, _ in blocks], [depth for _, depth in blocks]

    def _fitted(self, width: int) -> int:
        group = min(self.group_width, width)
        return round(width / group) * group


def _check(name: str, value: float, is_good: bool, expected: str) -> None:
    if not is_good:
        raise UnsupportedConfig(f"{name} got {value}, expected {expected}")


# Source: pycls' configs (dds_baselines) and, for SEER, VISSL's; checked against the published widths by tests.
PUBLISHED_DESIGNS: dict[str, Design] = {
    "regnet-x-002": Design(13, 24, 36.44, 2.49, 8),
    "regnet-x-004": Design(22, 24, 24.48, 2.54, 16),
    "regnet-x-006": Design(16, 48, 36.97, 2.24, 24),
    "regnet-x-008": Design(16, 56, 35.73, 2.28, 16),
    "regnet-x-016": Design(18, 80, 34.01, 2.25, 24),
    "regnet-x-032": Design(25, 88, 26.31, 2.25, 48),
    "regnet-x-040": Design(23, 96, 38.65, 2.43, 40),
    "regnet-x-064": Design(17, 184, 60.83, 2.07, 56),
    "regnet-x-080": Design(23, 80, 49.56, 2.88, 120),
    "regnet-x-120": Design(19, 168, 73.36, 2.37, 112),
    "regnet-x-160": Design(22, 216, 55.59, 2.1, 128),
    "regnet-x-320": Design(23, 320, 69.86, 2.0, 168),
    "regnet-y-002": Design(13, 24, 36.44, 2.49, 8),
    "regnet-y-004": Design(16, 48, 27.89, 2.09, 8),
    "regnet-y-006": Design(15, 48, 32.54, 2.32, 16),
    "regnet-y-008": Design(14, 56, 38.84, 2.4, 16),
    "regnet-y-016": Design(27, 48, 20.71, 2.65, 24),
    "regnet-y-032": Design(21, 80, 42.63, 2.66, 24),
    "regnet-y-040": Design(22, 96, 31.41, 2.24, 64),
    "regnet-y-064": Design(25, 112, 33.22, 2.27, 72),
    "regnet-y-080": Design(17, 192, 76.82, 2.19, 56),
    "regnet-y-120": Design(19, 168, 73.36, 2.37, 112),
    "regnet-y-160": Design(18, 200, 106.23, 2.48, 112),
    "regnet-y-320": Design(20, 232, 115.89, 2.53, 232),
    "regnet-y-320-seer": Design(20, 232, 115.89, 2.53, 232),
    "regnet-y-640-seer": Design(20, 352, 147.48, 2.4, 328),
    "regnet-y-1280-seer": Design(27, 456, 160.83, 2.52, 264),
    "regnet-y-10b-seer": Design(27, 1744, 620.83, 2.52, 1010),
}
