"""Costs counted from a configuration against the network itself, built where tensors have shapes and no values."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from regconv import torch as networks
from regconv.complexity import complexity
from regconv.configuration import AnyConfig, ConvNextConfig, ConvNextV2Config, RegNetConfig
from regconv.errors import UnsupportedConfig

GOLDEN = Path(__file__).parents[1] / "golden"
PYCLS = json.loads((GOLDEN / "design_space.json").read_text())["complexity"]
PUBLISHED = json.loads((GOLDEN / "published_variants.json").read_text())


def measured(config: AnyConfig, height: int, width: int, head: bool) -> tuple[int, int, int, list[tuple[int, ...]]]:
    """Parameters, multiply-adds, activations and the maps' shapes of the network that torch builds."""
    with torch.device("meta"):
        network = getattr(networks, config.family + ("ForImageClassification" if head else "Model"))(config).eval()
    elements = []

    def note(_module: nn.Module, _given: Any, output: Tensor) -> None:
        elements.append(output.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = network(torch.empty(1, 3, height, width, device="meta"), output_hidden_states=True)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    # torch counts a multiplication and an addition as two.
    assert counter.get_total_flops() % 2 == 0
    return (
        parameters,
        counter.get_total_flops() // 2,
        sum(elements),
        [tuple(one.shape[1:]) for one in output.hidden_states],
    )


def assert_counted_right(config: AnyConfig, height: int = 224, width: int = 224, head: bool = True) -> None:
    found = complexity(config, height, width, head)
    maps = [(part.channels, part.height, part.width) for part in found.parts[:-1]]
    assert (found.parameters, found.flops, found.activations, maps) == measured(config, height, width, head)
    for name in ("parameters", "flops", "activations"):
        assert sum(getattr(part, name) for part in found.parts) == getattr(found, name)


@pytest.mark.parametrize("name", PUBLISHED["regnet"])
def test_every_published_regnet(name: str) -> None:
    depths, widths, groups_width, parameters = PUBLISHED["regnet"][name]
    config = RegNetConfig(
        depths=depths, hidden_sizes=widths, groups_width=groups_width, layer_type=name[0], num_labels=1000
    )
    has_head = not name.endswith("-seer")
    assert complexity(config, head=has_head).parameters == parameters
    assert_counted_right(config, head=has_head)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("convnext", "convnextv2") for name in PUBLISHED.get(kind, ())],
)
def test_every_published_convnext(kind: str, name: str) -> None:
    depths, widths, labels, parameters = PUBLISHED[kind][name]
    build = ConvNextConfig if kind == "convnext" else ConvNextV2Config
    config = build(depths=depths, hidden_sizes=widths, num_labels=labels)
    assert complexity(config).parameters == parameters
    assert_counted_right(config)


@pytest.mark.parametrize("name", PYCLS)
def test_the_paper_s_own_count(name: str) -> None:
    """Its activations are ours. Its flops have one more for every bias added, which torch's counter leaves out."""
    depths, widths, groups_width, _ = PUBLISHED["regnet"][name]
    config = RegNetConfig(
        depths=depths, hidden_sizes=widths, groups_width=groups_width, layer_type=name[0], num_labels=1000
    )
    with torch.device("meta"):
        network = networks.RegNetForImageClassification(config)
    biases = sum(
        module.bias.numel()
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None
    )
    found = complexity(config)
    assert [found.activations, found.flops + biases, found.parameters] == PYCLS[name]


def test_the_figures_that_the_papers_print() -> None:
    y_040 = complexity(RegNetConfig(num_labels=1000))
    assert (round(y_040.flops / 1e9, 1), round(y_040.activations / 1e6, 1), round(y_040.parameters / 1e6, 1)) == (
        4.0,
        12.3,
        20.6,
    )
    tiny = complexity(ConvNextConfig(num_labels=1000))
    assert (round(tiny.flops / 1e9, 1), round(tiny.parameters / 1e6)) == (4.5, 29)


@pytest.mark.parametrize("size", [(33, 32), (97, 131), (224, 160)])
@pytest.mark.parametrize("family", ["regnet-x", "regnet-y", "convnext", "convnextv2"])
def test_odd_sizes_with_and_without_a_head(
    family: str, size: tuple[int, int], tiny_config: Callable[..., AnyConfig]
) -> None:
    for head in (True, False):
        assert_counted_right(tiny_config(family), *size, head)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("regnet-x", {"downsample_in_first_stage": False}),
        ("regnet-y", {"downsample_in_first_stage": False, "num_labels": 0}),
        ("regnet-y", {"embedding_size": 14, "downsample_in_first_stage": False}),  # no shortcut in the first stage
        ("regnet-x", {"depths": [0, 1, 1]}),
        ("convnext", {"patch_size": 2}),
        ("convnext", {"patch_size": [3, 5]}),
        ("convnext", {"layer_scale_init_value": 0.0}),
        ("convnext", {"num_labels": 0}),
        ("convnext", {"stem_type": "overlap"}),
        ("convnext", {"stem_type": "overlap_act", "norm_type": "rms"}),
        ("convnextv2", {"stem_type": "overlap_tiered", "norm_type": "simple"}),
        ("convnextv2", {"depths": [1, 0, 2]}),
    ],
)
def test_every_option_that_changes_the_layers(
    family: str, changes: dict[str, Any], tiny_config: Callable[..., AnyConfig]
) -> None:
    assert_counted_right(tiny_config(family, **changes), 65, 47)


def test_a_picture_of_one_pixel_is_enough_for_regnet_and_too_little_for_convnext() -> None:
    assert_counted_right(RegNetConfig(), 1, 1)
    assert_counted_right(ConvNextConfig(), 32, 32)
    with pytest.raises(ValueError, match=r"too small: stage 4 has kernels of 2 x 2 and gets a map of 1 x 4"):
        complexity(ConvNextConfig(), 31, 64)
    with pytest.raises(ValueError, match="too small: the stem"):
        complexity(ConvNextConfig(), 3, 3)
    with pytest.raises(ValueError, match="too small"):
        complexity(RegNetConfig(), 0, 224)


def test_a_configuration_without_a_network_is_refused() -> None:
    with pytest.raises(UnsupportedConfig, match="does not divide evenly"):
        complexity(RegNetConfig(hidden_sizes=[100], depths=[1], groups_width=30))


def test_counting_needs_no_framework() -> None:
    code = (
        "import sys; from regconv import RegNetConfig; from regconv.complexity import complexity; "
        "print(complexity(RegNetConfig()).parameters); "
        "print(*({'torch', 'jax', 'tensorflow', 'keras', 'flax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["19559834"]
