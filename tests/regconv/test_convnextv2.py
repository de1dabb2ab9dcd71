"""ConvNeXt V2 against transformers, and the stems and norms of timm's small networks by themselves."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

import regconv
from regconv import ConvNextModel, ConvNextV2Config, ConvNextV2ForImageClassification, ConvNextV2Model
from regconv.torch.norms import ResponseNorm, channel_norm

KINDS = ["Model", "ForImageClassification"]


def drawn_case(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    stages = draw.choice([1, 2, 3, 4])
    return {
        "num_channels": draw.choice([3, 3, 1]),
        "patch_size": 2 if stages == 4 else draw.choice([2, 3, 4]),
        "num_stages": stages,
        "hidden_sizes": [draw.randint(5, 24) for _ in range(stages)],
        "depths": [draw.randint(1, 3) for _ in range(stages)],
        "hidden_act": draw.choice(["gelu", "relu", "gelu_new"]),
        "layer_norm_eps": draw.choice([1e-12, 1e-3]),
        "num_labels": draw.choice([0, 1, 2, 5]),
    }


def pair(values: dict[str, Any], kind: str, enlivened: Any) -> tuple[nn.Module, nn.Module]:
    """(ours, theirs), with the same lively weights, both in evaluation mode."""
    transformers = pytest.importorskip("transformers")
    theirs = enlivened(getattr(transformers, "ConvNextV2" + kind)(transformers.ConvNextV2Config(**values)))
    ours = getattr(regconv, "ConvNextV2" + kind)(ConvNextV2Config(**values))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours.eval(), theirs


@pytest.mark.parametrize("seed", range(6))
def test_every_output_equals_that_of_transformers(seed: int, enlivened: Any) -> None:
    values = drawn_case(seed)
    for kind in KINDS:
        ours, theirs = pair(values, kind, enlivened)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict(), strict=True)
        for size in ((32, 32), (65, 47)):
            x = torch.randn(2, values["num_channels"], *size, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                mine, reference = ours(x, output_hidden_states=True), theirs(x, output_hidden_states=True)
            assert list(mine) == list(reference)
            for one, other in zip(mine.hidden_states, reference.hidden_states, strict=True):
                assert (one - other).abs().max() <= 1e-6 * other.abs().max()
            assert mine[0].shape == reference[0].shape
            assert torch.allclose(mine[0], reference[0], rtol=0, atol=1e-5 * max(1.0, reference[0].abs().max().item()))


def test_what_is_saved_here_loads_there_and_back(enlivened: Any, tiny_config: Any, tmp_path: Any) -> None:
    transformers = pytest.importorskip("transformers")
    network = enlivened(ConvNextV2ForImageClassification(tiny_config("convnextv2")))
    network.save_pretrained(tmp_path / "ours")
    there = transformers.ConvNextV2ForImageClassification.from_pretrained(tmp_path / "ours").eval()
    x = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        assert torch.allclose(there(x).logits, network(x).logits, rtol=1e-6, atol=1e-6)
    there.save_pretrained(tmp_path / "theirs")
    back, info = ConvNextV2Model.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert info["unexpected_keys"] == ["classifier.bias", "classifier.weight"]
    assert info["missing_keys"] == info["mismatched_keys"] == []
    assert torch.equal(back(x).pooler_output, network.convnextv2(x).pooler_output)


def test_response_norm_by_its_formula() -> None:
    norm = ResponseNorm(3)
    x = torch.randn(2, 4, 5, 3)
    assert torch.equal(norm(x), x), "weight and bias start at 0"
    nn.init.constant_(norm.weight, 2.0)
    nn.init.constant_(norm.bias, 0.5)
    lengths = x.double().square().sum(dim=(1, 2)).sqrt()
    shares = lengths / (lengths.mean(dim=1, keepdim=True) + 1e-6)
    expected = 2 * x * shares[:, None, None, :] + 0.5 + x
    assert torch.allclose(norm(x).double(), expected, atol=1e-6)


def test_start_values_and_default_size() -> None:
    with torch.device("meta"):
        network = ConvNextV2Model(ConvNextV2Config())
    assert network.num_parameters() == 27_866_496
    small = ConvNextV2ForImageClassification(ConvNextV2Config(hidden_sizes=[32], depths=[2], num_stages=1))
    for name, tensor in small.state_dict().items():
        if ".grn." in name:
            assert not tensor.any(), name
        assert "layer_scale" not in name
    assert small.convnextv2.encoder["stages"][0]["layers"][1].dwconv.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_generations_do_not_take_each_others_configuration(tiny_config: Any, tiny_checkpoint: Any) -> None:
    with pytest.raises(TypeError, match="ConvNextV2Model needs a ConvNextV2Config, got ConvNextConfig"):
        ConvNextV2Model(tiny_config("convnext"))
    with pytest.raises(TypeError, match="needs a ConvNextConfig, got ConvNextV2Config"):
        ConvNextModel(tiny_config("convnextv2"))
    with pytest.raises(regconv.UnsupportedConfig, match="model_type 'convnextv2', expected 'convnext'"):
        ConvNextModel.from_pretrained(tiny_checkpoint("convnextv2"))


@pytest.mark.parametrize("norm_type", ["rms", "simple"])
def test_norms_without_bias(norm_type: str) -> None:
    x = torch.randn(2, 6, 3, 4) + 2
    norm = channel_norm(norm_type, 6, channels_first=True)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    assert [name for name, _ in norm.named_parameters()] == ["weight"]
    mean = x.mean(dim=1, keepdim=True) if norm_type == "simple" else torch.zeros(1)
    count = 5 if norm_type == "simple" else 6
    scale = ((x - mean).square().sum(dim=1, keepdim=True) / count + 1e-6).sqrt()
    assert torch.allclose(norm(x), x / scale * norm.weight[:, None, None], atol=1e-6)
    last = channel_norm(norm_type, 6)
    last.load_state_dict(norm.state_dict())
    assert torch.equal(last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm(x))


@pytest.mark.parametrize(
    ("stem_type", "names"),
    [
        ("patch", {"weight": (24, 3, 4, 4), "bias": (24,)}),
        ("overlap", {"0.weight": (24, 3, 3, 3), "0.bias": (24,), "1.weight": (24, 24, 3, 3), "1.bias": (24,)}),
        ("overlap_tiered", {"0.weight": (16, 3, 3, 3), "0.bias": (16,), "1.weight": (24, 16, 3, 3), "1.bias": (24,)}),
        ("overlap_act", {"0.weight": (24, 3, 3, 3), "0.bias": (24,), "1.weight": (24, 24, 3, 3), "1.bias": (24,)}),
    ],
)
def test_stems(stem_type: str, names: dict[str, Any], tiny_config: Any, enlivened: Any) -> None:
    config = tiny_config("convnext", stem_type=stem_type, hidden_sizes=[24, 12, 20], norm_type="rms")
    network = enlivened(ConvNextModel(config))
    stem = {name: tuple(t.shape) for name, t in network.embeddings["patch_embeddings"].state_dict().items()}
    assert stem == names
    x = torch.randn(1, 3, 47, 33)
    maps = network(x, output_hidden_states=True).hidden_states
    sides = [(11, 8), (11, 8)] if stem_type == "patch" else [(12, 9), (12, 9)]
    assert [tuple(one.shape[2:]) for one in maps[:2]] == sides
    if stem_type != "patch":
        first, second = (part for part in network.embeddings["patch_embeddings"] if isinstance(part, nn.Conv2d))
        between = nn.functional.gelu(first(x)) if stem_type == "overlap_act" else first(x)
        assert torch.equal(network.embeddings["layernorm"](second(between)), maps[0])
    assert not [name for name, _ in network.named_parameters() if "norm.bias" in name]
