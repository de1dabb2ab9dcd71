"""New torch networks: start values, modes, what no network can be built from, unusual sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import regconv
from regconv import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextModel,
    RegNetConfig,
    RegNetForImageClassification,
    RegNetModel,
    UnsupportedConfig,
)

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


def build(tiny_config: Any, family: str, *, head: bool = True, **changes: Any) -> Any:
    config = tiny_config(family, **changes)
    return getattr(regconv, config.family + ("ForImageClassification" if head else "Model"))(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_network_is_in_training_mode(family: str, tiny_config: Any) -> None:
    network = build(tiny_config, family)
    assert network.training
    assert network.main_input_name == "pixel_values"
    assert network.dtype == torch.float32
    assert network.device.type == "cpu"


def test_regnet_start_values() -> None:
    torch.manual_seed(0)
    network = RegNetForImageClassification(RegNetConfig(hidden_sizes=[64, 128], depths=[1, 2], groups_width=16))
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.15), name
            assert module.weight.abs().max() > 2.2 * expected, "a normal distribution, neither uniform nor cut"
        if isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)
            values = (module.weight, module.bias, module.running_mean, module.running_var)
            assert [set(value.tolist()) for value in values] == [{1.0}, {0.0}, {0.0}, {1.0}]
    linear = network.classifier[1]
    bound = 128**-0.5
    assert 0.8 * bound < linear.weight.abs().max() <= bound
    assert linear.bias.abs().max() <= bound
    squeeze = network.regnet.encoder["stages"][1]["layers"][1].layer[2].attention[0]
    assert 0 < squeeze.bias.abs().max() <= 128**-0.5


def test_convnext_start_values() -> None:
    torch.manual_seed(0)
    config = ConvNextConfig(hidden_sizes=[64, 128], depths=[1, 2], num_stages=2, initializer_range=0.3, num_labels=50)
    network = ConvNextForImageClassification(config)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.3, rel=0.1), name
            assert module.weight.abs().max() > 2.2 * 0.3
            assert not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert module.eps == (1e-12 if name == "convnext.layernorm" else 1e-6), name
            assert (set(module.weight.tolist()), set(module.bias.tolist())) == ({1.0}, {0.0})
        if hasattr(module, "layer_scale_parameter"):
            assert module.layer_scale_parameter.tolist() == pytest.approx([1e-6] * len(module.layer_scale_parameter))


def test_layer_scale_of_zero_has_no_parameter() -> None:
    network = ConvNextModel(ConvNextConfig(hidden_sizes=[8], depths=[1], num_stages=1, layer_scale_init_value=0))
    assert not [name for name in network.state_dict() if "layer_scale" in name]


def test_any_layer_type_assigned_later_builds_y_layers() -> None:
    config = RegNetConfig(hidden_sizes=[8], depths=[1], groups_width=8)
    config.layer_type = "bottleneck"
    assert any("attention" in name for name in RegNetModel(config).state_dict())


def test_a_head_that_could_not_fit_is_refused() -> None:
    with pytest.raises(UnsupportedConfig, match="longer than depths"):
        RegNetForImageClassification(RegNetConfig(hidden_sizes=[8, 16], depths=[1], groups_width=8))
    with pytest.raises(TypeError, match="needs a RegNetConfig, got ConvNextConfig"):
        RegNetModel(ConvNextConfig())


def test_a_picture_of_one_pixel_goes_through_a_regnet(tiny_config: Any) -> None:
    output = build(tiny_config, "regnet-y").eval()(torch.randn(1, 3, 1, 1), output_hidden_states=True)
    assert {tuple(one.shape[2:]) for one in output.hidden_states} == {(1, 1)}


def test_a_pair_as_patch_size() -> None:
    network = ConvNextModel(ConvNextConfig(patch_size=[2, 4], hidden_sizes=[8], depths=[1], num_stages=1))
    assert network(torch.randn(1, 3, 32, 32)).last_hidden_state.shape == (1, 8, 16, 8)
