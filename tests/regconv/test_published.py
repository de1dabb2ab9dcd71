"""Every published RegNet and ConvNeXt: its number of parameters and the shapes of its maps, from one table.

Built on torch's meta device, where tensors have shapes and no values: ten billion parameters cost nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from regconv import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextModel,
    RegNetConfig,
    RegNetForImageClassification,
    RegNetModel,
)
from regconv.layer_plan import layer_plan

TABLE = json.loads((Path(__file__).parents[1] / "golden" / "published_variants.json").read_text())


def on_meta(kind: Any, config: Any) -> Any:
    with torch.device("meta"):
        return kind(config).eval()


def map_shapes(network: Any, side: int) -> list[tuple[int, ...]]:
    with torch.no_grad():
        maps = network(torch.empty(1, 3, side, side, device="meta"), output_hidden_states=True).hidden_states
    return [tuple(one.shape[1:]) for one in maps]


@pytest.mark.parametrize("name", TABLE["regnet"])
def test_regnet(name: str) -> None:
    depths, widths, groups_width, parameters = TABLE["regnet"][name]
    config = RegNetConfig(
        depths=depths, hidden_sizes=widths, groups_width=groups_width, layer_type=name[0], num_labels=1000
    )
    is_bare = name.endswith("-seer")
    network = on_meta(RegNetModel if is_bare else RegNetForImageClassification, config)
    assert network.num_parameters() == parameters
    expected = [
        (width, 224 // stride, 224 // stride) for width, stride in zip([32, *widths], [2, 4, 8, 16, 32], strict=True)
    ]
    assert map_shapes(network, 224) == expected


@pytest.mark.parametrize("name", TABLE["convnext"])
def test_convnext(name: str) -> None:
    depths, widths, labels, parameters = TABLE["convnext"][name]
    network = on_meta(
        ConvNextForImageClassification, ConvNextConfig(depths=depths, hidden_sizes=widths, num_labels=labels)
    )
    assert network.num_parameters() == parameters
    expected = [(width, 224 // s, 224 // s) for width, s in zip([widths[0], *widths], [4, 4, 8, 16, 32], strict=True)]
    assert map_shapes(network, 224) == expected


@pytest.mark.parametrize(("kind", "config"), [(RegNetModel, RegNetConfig()), (ConvNextModel, ConvNextConfig())])
def test_default_configurations(kind: Any, config: Any) -> None:
    assert on_meta(kind, config).num_parameters() == TABLE["bare defaults"][config.model_type]


@pytest.mark.parametrize(
    ("kind", "config", "sizes"),
    [
        (RegNetModel, RegNetConfig(), [(49, 66), (25, 33), (13, 17), (7, 9), (4, 5)]),
        (RegNetModel, RegNetConfig(downsample_in_first_stage=False), [(49, 66), (49, 66), (25, 33), (13, 17), (7, 9)]),
        (ConvNextModel, ConvNextConfig(), [(24, 32), (24, 32), (12, 16), (6, 8), (3, 4)]),
    ],
)
def test_odd_sizes_round_up_in_regnet_and_down_in_convnext(kind: Any, config: Any, sizes: list[Any]) -> None:
    with torch.no_grad():
        output = on_meta(kind, config)(torch.empty(1, 3, 97, 131, device="meta"), output_hidden_states=True)
    assert [tuple(one.shape[2:]) for one in output.hidden_states] == sizes


def test_squeeze_widths_of_the_largest_network() -> None:
    config = RegNetConfig(depths=[2, 7, 17, 1], hidden_sizes=[2020, 4040, 11110, 28280], groups_width=1010)
    # The first layer of a stage sees the stage before: 8, 505, 1010, and 11110 / 4 = 2777.5, which rounds to even.
    assert [stage.layers[0].squeeze_width for stage in layer_plan(config)] == [8, 505, 1010, 2778]
