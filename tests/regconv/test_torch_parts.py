"""Drop path, activations and losses by themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import regconv
from regconv import ConvNextConfig, ConvNextModel, RegNetConfig, RegNetModel, UnsupportedConfig
from regconv.torch.activations import activation
from regconv.torch.convnext import DropPath

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


def build(tiny_config: Any, family: str, *, head: bool = True, **changes: Any) -> Any:
    config = tiny_config(family, **changes)
    return getattr(regconv, config.family + ("ForImageClassification" if head else "Model"))(config)


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
