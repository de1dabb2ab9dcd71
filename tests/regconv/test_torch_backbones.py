"""Backbones: the maps of chosen stages, their norms, and a detector's neck that trains on top of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import regconv
from regconv import BackboneOutput, ConvNextBackbone, RegNetBackbone, RegNetModel, UnsupportedConfig, WeightsMismatch

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]
STAGES = ["stem", "stage1", "stage2", "stage3"]
NORMED = ["ConvNext", "ConvNextV2"]
VALUES: dict[str, Any] = {"hidden_sizes": [8, 12, 20], "depths": [1, 2, 1], "num_stages": 3}


def backbone(config: Any, **options: Any) -> Any:
    return getattr(regconv, config.family + "Backbone")(config, **options)


@pytest.mark.parametrize("family", FAMILIES)
class TestMaps:
    def test_they_are_the_feature_extractors(self, family: str, tiny_config: Any, enlivened: Any) -> None:
        config = tiny_config(family, out_features=["stem", "stage2"])
        network = enlivened(backbone(config))
        extractor = getattr(regconv, config.family + "Model")(config).eval()
        extractor.load_state_dict(network.state_dict(), strict=False)
        x = torch.randn(2, 3, 47, 64)
        output = network(x, output_hidden_states=True)
        expected = extractor(x, output_hidden_states=True).hidden_states
        assert isinstance(output, BackboneOutput)
        assert all(torch.equal(a, b) for a, b in zip(output.hidden_states, expected, strict=True))
        assert all(torch.equal(output.feature_maps[i], expected[j]) for i, j in enumerate([0, 2]))
        assert len(output.feature_maps) == 2
        assert [one.shape[1] for one in output.feature_maps] == network.channels

    def test_call_forms(self, family: str, tiny_config: Any, enlivened: Any) -> None:
        network = enlivened(backbone(tiny_config(family)))
        x = torch.randn(1, 3, 32, 32)
        assert list(network(x)) == ["feature_maps"]
        assert network(x).attentions is None
        (maps,) = network(x, return_dict=False)
        assert torch.equal(maps[0], network(x).feature_maps[0])
        maps, states = network(x, output_hidden_states=True, return_dict=False)
        assert (len(maps), len(states)) == (1, 4)
        with pytest.raises(ValueError, match="channel dimension of the pixel values"):
            network(torch.zeros(1, 4, 32, 32))

    def test_attributes(self, family: str, tiny_config: Any) -> None:
        network = backbone(tiny_config(family, out_indices=[-3, -1]))
        widths = [network.config.embedding_size if "regnet" in family else network.config.hidden_sizes[0]]
        widths += network.config.hidden_sizes
        assert network.stage_names == STAGES
        assert network.out_features == ["stage1", "stage3"]
        assert network.out_indices == [-3, -1]
        assert network.num_features == widths
        assert network.channels == [widths[1], widths[3]]
        assert network.out_feature_channels == dict(zip(STAGES, widths, strict=True))
        assert backbone(tiny_config(family)).out_features == ["stage3"]

    def test_a_classifiers_checkpoint_fills_it_without_norms(self, family: str, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint(family)
        config = regconv.AutoConfig.from_pretrained(folder)
        kind = getattr(regconv, config.family + "Backbone")
        network, info = kind.from_pretrained(folder, out_features=STAGES, output_loading_info=True)
        assert not network.has_stage_norms
        assert not network.training
        assert info["missing_keys"] == info["mismatched_keys"] == []
        beginnings = {name.split(".")[-2] for name in info["unexpected_keys"]}
        assert beginnings == ({"1"} if "regnet" in family else {"classifier", "layernorm"})
        extractor = getattr(regconv, config.family + "Model").from_pretrained(folder)
        x = torch.randn(1, 3, 64, 64)
        expected = extractor(x, output_hidden_states=True).hidden_states
        assert all(torch.equal(a, b) for a, b in zip(network(x).feature_maps, expected, strict=True))

    def test_saved_and_loaded_again(self, family: str, tiny_config: Any, enlivened: Any, tmp_path: Any) -> None:
        x = torch.randn(1, 3, 32, 32)
        for stage_norms in (False, True):
            network = enlivened(
                backbone(tiny_config(family, out_features=["stage1", "stage3"]), stage_norms=stage_norms)
            )
            network.save_pretrained(tmp_path)
            again = type(network).from_pretrained(tmp_path)
            assert again.has_stage_norms is stage_norms
            assert again.out_features == ["stage1", "stage3"]
            assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(network).__name__]
            assert all(torch.equal(a, b) for a, b in zip(again(x)[0], network(x)[0], strict=True))


@pytest.mark.parametrize("family", NORMED)
class TestStageNorms:
    def pair(self, family: str, enlivened: Any, **changes: Any) -> tuple[Any, Any]:
        transformers = pytest.importorskip("transformers")
        theirs = getattr(transformers, family + "Backbone")(
            getattr(transformers, family + "Config")(**VALUES, **changes)
        )
        ours = backbone(getattr(regconv, family + "Config")(**VALUES, **changes), stage_norms=True)
        ours.load_state_dict(enlivened(theirs).state_dict(), strict=True)
        return ours.eval(), theirs

    @pytest.mark.parametrize("chosen", [None, ["stage1"], ["stem", "stage2", "stage3"]])
    def test_maps_equal_those_of_transformers(self, family: str, chosen: list[str] | None, enlivened: Any) -> None:
        ours, theirs = self.pair(family, enlivened, out_features=chosen)
        assert (ours.channels, ours.num_features, ours.out_features) == (
            theirs.channels, theirs.num_features, theirs.out_features,
        )  # fmt: skip
        for size in ((32, 32), (65, 47)):
            x = torch.randn(2, 3, *size)
            with torch.no_grad():
                mine, reference = ours(x, output_hidden_states=True), theirs(x, output_hidden_states=True)
            for name in ("feature_maps", "hidden_states"):
                for one, other in zip(mine[name], reference[name], strict=True):
                    assert (one - other).abs().max() <= 1e-6 * other.abs().max()

    def test_a_backbones_checkpoint_is_known_by_its_names(self, family: str, enlivened: Any, tmp_path: Any) -> None:
        ours, theirs = self.pair(family, enlivened, out_features=["stage1", "stage3"])
        theirs.save_pretrained(tmp_path)
        x = torch.randn(1, 3, 40, 40)
        loaded, info = type(ours).from_pretrained(tmp_path, output_loading_info=True)
        assert loaded.has_stage_norms
        assert info["missing_keys"] == info["unexpected_keys"] == []
        assert all(torch.equal(a, b) for a, b in zip(loaded(x)[0], ours(x)[0], strict=True))
        one = type(ours).from_pretrained(tmp_path, out_features=["stage3"])
        assert torch.equal(one(x)[0][0], ours(x)[0][1])
        raw = type(ours).from_pretrained(tmp_path, stage_norms=False)
        assert torch.equal(raw(x)[0][1], ours(x, output_hidden_states=True).hidden_states[3])
        with pytest.raises(UnsupportedConfig, match=r"norms for \['stage1', 'stage3'\] alone"):
            type(ours).from_pretrained(tmp_path, out_features=["stage2", "stage3"])

    def test_what_is_saved_here_loads_there(self, family: str, enlivened: Any, tmp_path: Any) -> None:
        ours, theirs = self.pair(family, enlivened, out_features=["stage2", "stage3"])
        ours.save_pretrained(tmp_path)
        there = type(theirs).from_pretrained(tmp_path).eval()
        x = torch.randn(1, 3, 40, 40)
        with torch.no_grad():
            assert all(torch.equal(a, b) for a, b in zip(there(x).feature_maps, theirs(x).feature_maps, strict=True))

    def test_untrained_norms_come_only_when_asked_for_and_are_reported(self, family: str, tiny_checkpoint: Any) -> None:
        kind = getattr(regconv, family + "Backbone")
        folder = tiny_checkpoint(family.lower())
        asked, info = kind.from_pretrained(folder, stage_norms=True, output_loading_info=True)
        assert info["missing_keys"] == ["hidden_states_norms.stage3.bias", "hidden_states_norms.stage3.weight"]
        assert asked.hidden_states_norms["stage3"].weight.tolist() == [1.0] * 20
        features = asked(torch.randn(1, 3, 64, 64)).feature_maps[0]
        assert features.mean(dim=1).abs().max() < 1e-5


def test_what_does_not_fit_is_still_an_error(tiny_checkpoint: Any) -> None:
    with pytest.raises(WeightsMismatch, match="size mismatch"):
        RegNetBackbone.from_pretrained(tiny_checkpoint("regnet-y"), embedding_size=12)
    with pytest.raises(TypeError, match="no field stage_norm"):
        ConvNextBackbone.from_pretrained(tiny_checkpoint("convnext"), stage_norm=True)
    with pytest.raises(TypeError, match="no field stage_norms"):
        RegNetModel.from_pretrained(tiny_checkpoint("regnet-y"), stage_norms=True)


def test_a_stage_that_is_not_built_cannot_be_chosen() -> None:
    config = regconv.ConvNextConfig(hidden_sizes=[8], depths=[1, 1], num_stages=1)
    with pytest.raises(UnsupportedConfig, match=r"\['stage2'\], but the network has only \['stem', 'stage1'\]"):
        ConvNextBackbone(config)


class Pyramid(nn.Module):
    """A small feature pyramid (Lin et al. 2017, arXiv 1612.03144) with one score per place of every level."""

    def __init__(self, trunk: nn.Module, width: int = 16) -> None:
        super().__init__()
        self.trunk = trunk
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in trunk.channels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in trunk.channels)
        self.score = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        levels = [conv(feature) for conv, feature in zip(self.lateral, self.trunk(x).feature_maps, strict=True)]
        for finer in range(len(levels) - 2, -1, -1):
            size = levels[finer].shape[2:]
            levels[finer] = levels[finer] + nn.functional.interpolate(levels[finer + 1], size, mode="nearest")
        return [self.score(conv(level)) for conv, level in zip(self.smooth, levels, strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_pyramid_trains_on_top(family: str, is_frozen: bool, tiny_config: Any) -> None:
    torch.manual_seed(0)
    config = tiny_config(family, out_features=["stage1", "stage2", "stage3"])
    trunk = backbone(config, stage_norms=family.startswith("convnext"))
    stem_name = "embedder" if "regnet" in family else "embeddings"
    stem = trunk.get_submodule(stem_name)
    if is_frozen:
        stem.requires_grad_(False)
    network = Pyramid(trunk).train()
    if is_frozen:
        stem.eval()
    # Bright squares on noise: the score of a place is whether it lies in the square.
    x = 0.1 * torch.randn(4, 3, 64, 64)
    for picture, left in zip(x, (0, 16, 32, 40), strict=True):
        picture[:, 8:32, left : left + 24] += 2.0
    inside = (x.mean(dim=1, keepdim=True) > 1).float()
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=5e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = sum(
            nn.functional.binary_cross_entropy_with_logits(
                scores, nn.functional.adaptive_avg_pool2d(inside, scores.shape[2:])
            )
            for scores in network(x)
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0], losses
    stem_gradients = [parameter.grad for parameter in stem.parameters()]
    if is_frozen:
        assert stem_gradients == [None] * len(stem_gradients)
    else:
        assert all(gradient.abs().sum() > 0 for gradient in stem_gradients)
    moved = {name for name, tensor in trunk.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("encoder.") for name in moved)
    assert any(name.startswith(stem_name) for name in moved) is not is_frozen
