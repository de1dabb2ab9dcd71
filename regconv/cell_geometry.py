"""Where the cells of a map lie on the prepared picture: the centres of their receptive fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regconv.configuration import AnyConfig, RegNetConfig
from regconv.layer_plan import layer_plan, stem_plan


@dataclass(frozen=True)
class CellGrid:
    """Cell i of a row or a column looks at what is around pixel first + i * stride; pixels are counted from 0."""

    first: float
    stride: int

    def nearest(self, pixels: np.ndarray, count: int) -> np.ndarray:
        """The number, int64 (n,), of that of `count` cells whose centre is nearest to each pixel coordinate."""
        return np.clip(np.rint((pixels - self.first) / self.stride), 0, count - 1).astype(np.int64)


def cell_grids(config: AnyConfig) -> dict[str, CellGrid]:
    """The grid of the stem and every stage, by name.

    RegNet pads its odd kernels evenly, so its first cell is centred on the first pixel; ConvNeXt cuts into patches, so a cell
    is centred on its patch.
    """
    first, stride = 0.0, 1
    for conv in stem_plan(config):
        first += stride * ((conv.kernel[0] - 1) / 2 - conv.padding)
        stride *= conv.stride[0]
    grids = {"stem": CellGrid(first, stride)}
    for number, stage in enumerate(layer_plan(config), start=1):
        if not isinstance(config, RegNetConfig) and stage.has_downsampling:
            first += stride * 0.5  # of two cells side by side
        stride *= stage.stride
        grids[f"stage{number}"] = CellGrid(first, stride)
    return grids


def receptive_fields(config: AnyConfig) -> dict[str, int]:
    """How many pixels high and wide the patch is that a cell of the stem and of every stage looks at, by name.

    Squeeze-excitation and response normalisation let a little of the whole picture in besides; that is not counted.
    """
    field, jump = 1, 1
    for conv in stem_plan(config):
        field += (conv.kernel[0] - 1) * jump
        jump *= conv.stride[0]
    fields = {"stem": field}
    for number, stage in enumerate(layer_plan(config), start=1):
        if not isinstance(config, RegNetConfig) and stage.has_downsampling:
            field += (stage.stride - 1) * jump  # side by side, no overlap
            jump *= stage.stride
        for layer in stage.layers:
            kernel = 3 if isinstance(config, RegNetConfig) else 7
            field += (kernel - 1) * jump
            jump *= layer.stride
        fields[f"stage{number}"] = field
    return fields
