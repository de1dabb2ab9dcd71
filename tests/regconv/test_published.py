"""Every published RegNet and ConvNeXt: its number of parameters and the shapes of its maps, from one table.

Built on torch's meta device, where tensors have shapes and no values: ten billion parameters cost nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import regconv
from regconv import ConvNextConfig, ConvNextModel, ConvNextV2Config, ConvNextV2Model, RegNetConfig, RegNetModel
from regconv.layer_plan import layer_plan
from regconv.published import PUBLISHED

TABLE = json.loads((Path(__file__).parents[1] / "golden" / "published_variants.json").read_text())
FAMILIES = {"regnet": "RegNet", "convnext": "ConvNext", "convnextv2": "ConvNextV2"}
ROWS = [(model_type, name) for model_type in FAMILIES for name in TABLE[model_type]]


def fields(model_type: str, name: str) -> dict[str, Any]:
    """The configuration of a row of the table."""
    depths, widths, third, _ = TABLE[model_type][name]
    shared = {"depths": depths, "hidden_sizes": widths}
    if model_type == "regnet":
        return shared | {"groups_width": third, "layer_type": name[0], "num_labels": 1000}
    return shared | {"num_labels": third}


def class_name(model_type: str, name: str) -> str:
    return FAMILIES[model_type] + ("Model" if name.endswith("-seer") else "ForImageClassification")


def on_meta(kind: Any, config: Any) -> Any:
    with torch.device("meta"):
        return kind(config).eval()


def map_shapes(network: Any, side: int) -> list[tuple[int, ...]]:
    with torch.no_grad():
        maps = network(torch.empty(1, 3, side, side, device="meta"), output_hidden_states=True).hidden_states
    return [tuple(one.shape[1:]) for one in maps]


@pytest.mark.parametrize(("model_type", "name"), ROWS)
def test_parameters_and_maps(model_type: str, name: str) -> None:
    _, widths, _, parameters = TABLE[model_type][name]
    config = regconv.AutoConfig.for_model(model_type, **fields(model_type, name))
    network = on_meta(getattr(regconv, class_name(model_type, name)), config)
    assert network.num_parameters() == parameters
    stem, strides = (32, [2, 4, 8, 16, 32]) if model_type == "regnet" else (widths[0], [4, 4, 8, 16, 32])
    expected = [(width, 224 // s, 224 // s) for width, s in zip([stem, *widths], strides, strict=True)]
    assert map_shapes(network, 224) == expected


@pytest.mark.parametrize(("model_type", "name"), ROWS)
def test_transformers_has_the_same_names_and_shapes(model_type: str, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    kind, values = class_name(model_type, name), fields(model_type, name)
    theirs = on_meta(getattr(transformers, kind), getattr(transformers, FAMILIES[model_type] + "Config")(**values))
    ours = on_meta(getattr(regconv, kind), regconv.AutoConfig.for_model(model_type, **values))
    shapes = [[(name, tuple(t.shape)) for name, t in network.state_dict().items()] for network in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_every_published_name_has_its_row() -> None:
    rows = {model_type: set(TABLE[model_type]) for model_type in FAMILIES}
    for name, model_type in PUBLISHED.items():
        variant = name.removeprefix("facebook/").removeprefix(model_type).lstrip("-")
        if model_type == "regnet":
            assert variant in TABLE["regnet"], name
            rows["regnet"].discard(variant)
            continue
        size, _, rest = variant.partition("-")
        labels = 21841 if model_type == "convnext" and rest.endswith("22k") else 1000
        found = [row for row in TABLE[model_type] if row.split("-")[0] == size and TABLE[model_type][row][2] == labels]
        assert len(found) == 1, name
        rows[model_type].discard(found[0])
    assert not any(rows.values()), "rows that no published name uses"
    assert len(PUBLISHED) == 32 + 15 + 18


@pytest.mark.parametrize(
    ("kind", "config"),
    [(RegNetModel, RegNetConfig()), (ConvNextModel, ConvNextConfig()), (ConvNextV2Model, ConvNextV2Config())],
)
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
