"""The design space against the published networks: widths and depths from their five numbers, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regconv.configuration import RegNetConfig
from regconv.design_space import PUBLISHED_DESIGNS, Design
from regconv.errors import UnsupportedConfig
from regconv.layer_plan import layer_plan

GOLDEN = Path(__file__).parents[1] / "golden"
TABLE = json.loads((GOLDEN / "design_space.json").read_text())
PUBLISHED = json.loads((GOLDEN / "published_variants.json").read_text())["regnet"]
Y_040 = {"depth": 22, "w_0": 96, "w_a": 31.41, "w_m": 2.24, "group_width": 64}


@pytest.mark.parametrize("name", TABLE["designs"])
def test_five_numbers_give_the_published_network(name: str) -> None:
    depths, widths, groups_width, _ = PUBLISHED[name]
    config = RegNetConfig.from_design_space(*TABLE["designs"][name], se=name.startswith("y"), num_labels=1000)
    assert config == RegNetConfig(
        depths=depths, hidden_sizes=widths, groups_width=groups_width, layer_type=name[0], num_labels=1000
    )


def test_every_published_network_has_its_design() -> None:
    assert {name.removesuffix("-in1k") for name in PUBLISHED} == set(TABLE["designs"])
    assert {f"regnet-{name}": Design(*numbers) for name, numbers in TABLE["designs"].items()} == PUBLISHED_DESIGNS


def test_the_widths_that_were_named_for_a_network_of_which_no_checkpoint_exists() -> None:
    named = TABLE["never published"]
    config = RegNetConfig.from_design_space(*named["design"])
    assert (config.depths, config.hidden_sizes) == (named["depths"], named["hidden_sizes"])
    # The first stage is narrower than a group of 848 and so is one group.
    assert [stage.layers[0].groups for stage in layer_plan(config)] == [1, 2, 3, 6]


def test_the_rule_step_by_step() -> None:
    design = Design(depth=4, w_0=8, w_a=8, w_m=2, group_width=8)
    assert design.linear_widths() == [8, 16, 24, 32]
    # log2 of 1, 2, 3, 4 is 0, 1, 1.58, 2: rounded 0, 1, 2, 2.
    assert design.block_widths() == [8, 16, 32, 32]
    assert design.stages() == ([8, 16, 32], [1, 1, 2])
    # 16 / 12 rounds to one group of 12, 32 / 12 to three; 8 is narrower than a group and stays.
    assert Design(4, 8, 8, 2, 12).stages() == ([8, 12, 36], [1, 1, 2])
    # Both stages become 24: they stay two, for the second halves the map.
    assert Design(2, 16, 16, 2, 24).stages() == ([16, 24], [1, 1])
    assert Design(3, 24, 16, 1.6, 24).stages() == ([24, 48, 72], [1, 1, 1])


@pytest.mark.parametrize(("depth", "w_a"), [(1, 50.0), (5, 0.0)])
def test_one_stage_is_a_network_too(depth: int, w_a: float) -> None:
    config = RegNetConfig.from_design_space(depth, 48, w_a, 2.5, 16)
    assert (config.hidden_sizes, config.depths, config.stage_names) == ([48], [depth], ["stem", "stage1"])
    assert len(layer_plan(config)) == 1


@given(
    depth=st.integers(1, 64),
    w_0=st.integers(1, 64).map(lambda steps: 8 * steps),
    w_a=st.floats(0, 256),
    w_m=st.floats(1.05, 4),
    group_width=st.integers(1, 300),
    se=st.booleans(),
)
def test_every_design_is_a_network_whose_groups_have_the_width_asked_for(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int, se: bool
) -> None:
    config = RegNetConfig.from_design_space(depth, w_0, w_a, w_m, group_width, se)
    design = Design(depth, w_0, w_a, w_m, group_width)
    assert sum(config.depths) == depth
    plan = layer_plan(config)  # raises where groups and width do not fit
    for stage, before in zip(plan, sorted(set(design.block_widths())), strict=True):
        assert stage.width // stage.layers[0].groups == min(group_width, before)
        assert abs(stage.width - before) <= group_width / 2
    for line, width in zip(design.linear_widths(), design.block_widths(), strict=True):
        # Drawn to the nearest power, then to the nearest multiple of 8: never further than half of both steps.
        assert line / math.sqrt(w_m) * 0.999 - 4 <= width <= line * math.sqrt(w_m) * 1.001 + 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"w_m": 1}, "w_m got 1, expected more than 1"),
        ({"w_m": math.nan}, "w_m got nan"),
        ({"w_m": math.inf}, "w_m got inf"),
        ({"w_a": -0.1}, "w_a got -0.1, expected 0 to 1000000"),
        ({"w_a": math.inf}, "w_a got inf"),
        ({"w_0": 20}, "w_0 got 20, expected a multiple of 8"),
        ({"w_0": 0}, "w_0 got 0, expected a multiple of 8"),
        ({"w_0": -8}, "w_0 got -8"),
        ({"w_0": 24.5}, "w_0 got 24.5, expected a whole number"),
        ({"w_0": math.inf}, "w_0 got inf, expected a whole number"),
        ({"w_0": "24"}, "w_0 got '24', expected a whole number"),
        ({"depth": 0}, "depth got 0, expected 1 to 1000 blocks"),
        ({"depth": 10**9}, "depth got 1000000000, expected 1 to 1000 blocks"),
        ({"depth": True}, "depth got True, expected a whole number"),
        ({"group_width": 0}, "group_width got 0, expected 1 or more"),
        ({"bottleneck_ratio": 2}, "bottleneck_ratio must be 1"),
        ({"se_ratio": 0.5}, "se_ratio must be 0.25"),
        ({"hidden_sizes": [8], "depths": [1]}, "depths, hidden_sizes: the design decides that"),
    ],
)
def test_what_makes_no_network_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedConfig, match=words.replace("[", r"\[")):
        RegNetConfig.from_design_space(**(Y_040 | change))


def test_further_keywords_are_fields_and_whole_floats_are_whole_numbers() -> None:
    config = RegNetConfig.from_design_space(
        22.0, 96.0, 31.41, 2.24, 64.0, se=False, embedding_size=16, num_labels=5, bottleneck_ratio=1
    )
    assert (config.layer_type, config.embedding_size, config.num_labels) == ("x", 16, 5)
    assert (config.groups_width, type(config.groups_width)) == (64, int)
    assert not hasattr(config, "bottleneck_ratio")
    assert RegNetConfig.from_dict(json.loads(config.to_json_string())) == config
