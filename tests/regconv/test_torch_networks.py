"""The torch networks by themselves: call forms, start values, errors, modes, recomputed activations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from regconv import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextModel,
    RegNetConfig,
    RegNetForImageClassification,
    RegNetModel,
    UnsupportedConfig,
)
from regconv.torch.activations import activation
from regconv.torch.convnext import DropPath

FAMILIES = ["regnet-x", "regnet-y", "convnext"]
HEADS = {"regnet": RegNetForImageClassification, "convnext": ConvNextForImageClassification}
BASES = {"regnet": RegNetModel, "convnext": ConvNextModel}


def build(tiny_config: Any, family: str, *, head: bool = True, **changes: Any) -> Any:
    config = tiny_config(family, **changes)
    return (HEADS if head else BASES)[config.model_type](config)


@pytest.mark.parametrize("family", FAMILIES)
class TestCallForms:
    def test_tuples_equal_mappings(self, family: str, tiny_config: Any, enlivened: Any) -> None:
        x = torch.randn(2, 3, 40, 36)
        for head in (True, False):
            network = enlivened(build(tiny_config, family, head=head))
            for wants_maps in (True, False):
                output = network(x, output_hidden_states=wants_maps)
                values = network(x, output_hidden_states=wants_maps, return_dict=False)
                assert isinstance(values, tuple)
                assert len(values) == len(output) == (1 if head else 2) + wants_maps
                for one, other in zip(values, output.to_tuple(), strict=True):
                    if isinstance(one, tuple):
                        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
                    else:
                        assert torch.equal(one, other)

    def test_labels_put_the_loss_first(self, family: str, tiny_config: Any, enlivened: Any) -> None:
        network = enlivened(build(tiny_config, family))
        x, labels = torch.randn(2, 3, 32, 32), torch.tensor([1, 3])
        loss, logits = network(x, labels, return_dict=False)
        assert loss.shape == ()
        assert logits.shape == (2, 7)
        assert loss == network(x, labels=labels).loss
        assert loss.item() == pytest.approx(nn.functional.cross_entropy(logits, labels).item())

    def test_the_configuration_sets_the_defaults(self, family: str, tiny_config: Any) -> None:
        network = build(tiny_config, family, output_hidden_states=True, return_dict=False).eval()
        x = torch.randn(1, 3, 32, 32)
        logits, maps = network(x)
        assert len(maps) == 4
        assert logits.shape == (1, 7)
        assert list(network(x, output_hidden_states=False, return_dict=True).keys()) == ["logits"]

    def test_pooled_shapes(self, family: str, tiny_config: Any) -> None:
        network = build(tiny_config, family, head=False).eval()
        output = network(torch.randn(2, 3, 48, 32))
        width = network.config.hidden_sizes[-1]
        assert output.pooler_output.shape == ((2, width) if family == "convnext" else (2, width, 1, 1))

    def test_no_labels_means_the_pooled_vector(self, family: str, tiny_config: Any, enlivened: Any) -> None:
        network = enlivened(build(tiny_config, family, num_labels=0))
        x = torch.randn(2, 3, 32, 32)
        assert torch.equal(network(x).logits, network.base_model(x).pooler_output.flatten(1))

    def test_wrong_channels_have_the_known_text(self, family: str, tiny_config: Any) -> None:
        text = "Make sure that the channel dimension of the pixel values match with the one set in the configuration."
        for head in (True, False):
            network = build(tiny_config, family, head=head)
            for shape in ((1, 4, 32, 32), (3, 32, 32)):
                with pytest.raises(ValueError) as caught:
                    network(torch.zeros(shape))
                assert str(caught.value) == text

    def test_pixels_of_none(self, family: str, tiny_config: Any) -> None:
        network = build(tiny_config, family)
        kind, text = (
            (ValueError, "^You have to specify pixel_values$") if family == "convnext" else (AttributeError, "shape")
        )
        with pytest.raises(kind, match=text):
            network(None)
        with pytest.raises(TypeError):
            network(torch.zeros(1, 3, 32, 32), head_mask=1)

    def test_one_picture_of_a_batch_comes_out_as_it_does_alone(
        self, family: str, tiny_config: Any, enlivened: Any
    ) -> None:
        network = enlivened(build(tiny_config, family))
        x = torch.randn(3, 3, 47, 65)
        with torch.no_grad():
            assert torch.allclose(network(x).logits[1:2], network(x[1:2]).logits, rtol=1e-4, atol=1e-5)

    def test_gradients_reach_the_first_map_and_every_parameter(
        self, family: str, tiny_config: Any, enlivened: Any
    ) -> None:
        network = enlivened(build(tiny_config, family)).train()
        output = network(torch.randn(4, 3, 32, 32), output_hidden_states=True)
        output.hidden_states[0].retain_grad()
        output.logits.square().sum().backward()
        assert output.hidden_states[0].grad.abs().sum() > 0
        assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
class TestRecomputedActivations:
    def run(self, network: Any, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        torch.manual_seed(3)
        loss = network(x, labels=torch.tensor([0, 1, 2, 3])).loss
        loss.backward()
        return loss.detach(), {name: p.grad.clone() for name, p in network.named_parameters()}

    def test_loss_gradients_and_statistics_are_those_of_plain_training(
        self, family: str, tiny_config: Any, enlivened: Any
    ) -> None:
        x = torch.randn(4, 3, 40, 40)
        plain = enlivened(build(tiny_config, family)).train()
        thrifty = enlivened(build(tiny_config, family)).train()
        thrifty.gradient_checkpointing_enable()
        assert all(m.is_gradient_checkpointing for m in (thrifty, thrifty.base_model))
        loss, gradients = self.run(plain, x)
        thrifty_loss, thrifty_gradients = self.run(thrifty, x)
        assert torch.equal(loss, thrifty_loss)
        for name, gradient in gradients.items():
            assert torch.allclose(gradient, thrifty_gradients[name], rtol=1e-4, atol=1e-6), name
        for name, tensor in plain.state_dict().items():
            assert torch.equal(tensor, thrifty.state_dict()[name]), name

    def test_layers_really_run_twice_and_only_while_switched_on(self, family: str, tiny_config: Any) -> None:
        network = build(tiny_config, family).train()
        runs = []
        layer = network.base_model.encoder["stages"][1]["layers"][0]
        layer.register_forward_pre_hook(lambda *_: runs.append(1))
        x = torch.randn(4, 3, 32, 32)
        network.gradient_checkpointing_enable({"use_reentrant": False})
        self.run(network, x)
        assert len(runs) == 2
        with torch.no_grad():
            network(x)
        assert len(runs) == 3
        network.gradient_checkpointing_disable()
        self.run(network, x)
        assert len(runs) == 4
        with pytest.raises(TypeError, match="preserve"):
            network.gradient_checkpointing_enable({"preserve": 1})


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


class TestDropPath:
    def test_in_training_whole_pictures_are_dropped_and_the_rest_is_scaled(self) -> None:
        torch.manual_seed(0)
        x = torch.ones(4000, 2, 3, 3)
        y = DropPath(0.3).train()(x)
        assert all(len(set(picture.flatten().tolist())) == 1 for picture in y)
        values = y[:, 0, 0, 0]
        assert sorted(set(values.tolist())) == pytest.approx([0.0, 1 / 0.7])
        assert (values == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)

    def test_in_evaluation_nothing_changes(self) -> None:
        x = torch.randn(2, 3, 4, 4)
        assert DropPath(0.9).eval()(x) is x

    def test_a_network_has_it_where_the_schedule_says(self) -> None:
        network = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8], depths=[2, 1], num_stages=2, drop_path_rate=0.4))
        rates = {name: module.rate for name, module in network.named_modules() if isinstance(module, DropPath)}
        assert list(rates.values()) == pytest.approx([0.2, 0.4])
        assert not any(name.startswith("encoder.stages.0.layers.0") for name in rates)


class TestActivations:
    def test_selu_functions_modules_and_classes_are_accepted(self) -> None:
        x = torch.linspace(-3, 3, 13)
        assert torch.equal(activation("selu")(x), nn.functional.selu(x))
        assert torch.equal(activation(torch.sin)(x), x.sin())
        assert torch.equal(activation(nn.Softsign)(x), nn.functional.softsign(x))
        shared = nn.PReLU()
        assert activation(shared) is not shared
        assert torch.equal(activation(shared)(x), shared(x))

    def test_they_work_inside_both_families(self, tiny_config: Any, enlivened: Any) -> None:
        for family in FAMILIES:
            x = torch.randn(1, 3, 32, 32)
            named = enlivened(build(tiny_config, family, hidden_act="selu"))
            given = enlivened(build(tiny_config, family, hidden_act=nn.functional.selu))
            other = enlivened(build(tiny_config, family, hidden_act="relu"))
            assert torch.equal(named(x).logits, given(x).logits)
            assert not torch.allclose(named(x).logits, other(x).logits)

    def test_unknown_names_list_the_known_ones(self) -> None:
        with pytest.raises(UnsupportedConfig, match="'gellu', expected one of gelu, gelu_10"):
            RegNetModel(RegNetConfig(hidden_act="gellu"))


class TestLosses:
    def test_an_unknown_problem_type_is_an_error_also_when_set_later(self, tiny_config: Any) -> None:
        network = build(tiny_config, "regnet-x")
        network.config.problem_type = "guessing"
        with pytest.raises(ValueError, match="problem_type got 'guessing'"):
            network(torch.randn(2, 3, 32, 32), labels=torch.tensor([0, 1]))

    def test_the_choice_stays_in_the_configuration(self, tiny_config: Any) -> None:
        network = build(tiny_config, "convnext", num_labels=3)
        x = torch.randn(2, 3, 32, 32)
        network(x, labels=torch.rand(2, 3))
        assert network.config.problem_type == "multi_label_classification"
        with pytest.raises(ValueError, match="size"):
            network(x, labels=torch.tensor([0.0, 1.0]))

    def test_int32_labels_choose_a_single_label_which_torch_then_refuses(self, tiny_config: Any) -> None:
        network = build(tiny_config, "regnet-x")
        with pytest.raises(RuntimeError):
            network(torch.randn(2, 3, 32, 32), labels=torch.tensor([0, 1], dtype=torch.int32))
        assert network.config.problem_type == "single_label_classification"


def test_the_package_imports_torch_only_when_a_name_needs_it() -> None:
    import subprocess
    import sys

    code = (
        "import sys, regconv; regconv.RegNetConfig(); regconv.describe; regconv.open_image; "
        "regconv.ConvNextImageProcessor; assert 'torch' not in sys.modules, 'too early'; "
        "regconv.RegNetModel; assert 'torch' in sys.modules; assert 'RegNetModel' in dir(regconv)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    import regconv

    with pytest.raises(AttributeError, match="no attribute 'RegNetModle'"):
        regconv.RegNetModle  # noqa: B018
    for name in regconv.__all__:
        assert getattr(regconv, name) is not None
