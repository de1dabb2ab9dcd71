"""Where cells lie: the centre of what a cell depends on, found by following its gradient back to the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from regconv import describe
from regconv.cell_geometry import CellGrid, cell_grids, receptive_fields


@pytest.mark.parametrize(
    ("family", "changes", "size"),
    [
        ("regnet-x", {}, 256),
        ("regnet-x", {"downsample_in_first_stage": False}, 256),
        ("convnext", {}, 512),
        ("convnext", {"patch_size": 6, "stem_type": "patch"}, 768),
        ("convnext", {"stem_type": "overlap_act", "norm_type": "rms"}, 512),
    ],
)
def test_a_cell_depends_on_what_lies_evenly_around_its_centre(
    family: str, changes: Any, size: int, tiny_config: Any, enlivened: Any
) -> None:
    from regconv import torch as networks

    config = tiny_config(family, **changes)
    network = enlivened(getattr(networks, config.family + "Model")(config)).double()
    # No two pixels alike, but for the other side, which the network need not see.
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, size, size))).requires_grad_()
    maps = network(pixels, output_hidden_states=True).hidden_states
    grids = cell_grids(config)
    assert list(grids) == ["stem", *(f"stage{number}" for number in range(1, len(maps)))]
    fields = receptive_fields(config)
    for (name, grid), one in zip(grids.items(), maps, strict=True):
        middle = one.shape[2] // 2
        (gradient,) = torch.autograd.grad(one[0, :, middle, middle].square().sum(), pixels, retain_graph=True)
        for axis in (2, 3):
            seen = np.flatnonzero(gradient.abs().amax(dim=(0, 1, 5 - axis)).numpy())
            assert 0 < seen[0] < seen[-1] < size - 1, "the picture is too small to see the whole field"
            assert (seen[0] + seen[-1]) / 2 == grid.first + middle * grid.stride
            assert seen[-1] - seen[0] + 1 == fields[name]


def test_strides_are_the_descriptions(tiny_checkpoint: Any) -> None:
    for family in ("regnet-y", "convnextv2"):
        description = describe(tiny_checkpoint(family))
        grids = cell_grids(description.config)
        assert {info.name: info.stride for info in description.stages} == {
            name: grid.stride for name, grid in grids.items()
        }


def test_every_pixel_belongs_to_the_nearest_cell() -> None:
    pixels = np.arange(12)
    assert CellGrid(0.0, 4).nearest(pixels, 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert CellGrid(1.5, 4).nearest(pixels, 3).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
