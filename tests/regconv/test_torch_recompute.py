"""Training that computes activations again on the way back: the same gradients and statistics as plain training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import regconv

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


def build(tiny_config: Any, family: str, *, head: bool = True, **changes: Any) -> Any:
    config = tiny_config(family, **changes)
    return getattr(regconv, config.family + ("ForImageClassification" if head else "Model"))(config)


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
