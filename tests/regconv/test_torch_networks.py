"""The torch networks' calls: tuples and mappings, labels, defaults, errors, gradients; and the package's names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import regconv

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


def build(tiny_config: Any, family: str, *, head: bool = True, **changes: Any) -> Any:
    config = tiny_config(family, **changes)
    return getattr(regconv, config.family + ("ForImageClassification" if head else "Model"))(config)


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
        assert output.pooler_output.shape == ((2, width) if family.startswith("convnext") else (2, width, 1, 1))

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
            (ValueError, "^You have to specify pixel_values$")
            if family.startswith("convnext")
            else (AttributeError, "shape")
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
