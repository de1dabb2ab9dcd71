"""What scripts written for older versions of transformers expect of the classes here, beyond running and loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

import regconv
from regconv import AutoImageProcessor, ConvNextConfig, ConvNextImageProcessor, RegNetConfig

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_goes_to_a_json_file_and_back(family: str, tiny_config: Any, tmp_path: Path) -> None:
    config = tiny_config(family, problem_type="regression", an_extra_key=[1, 2])
    config.to_json_file(tmp_path / "short.json")
    config.to_json_file(str(tmp_path / "whole.json"), use_diff=False)
    short, whole = (json.loads((tmp_path / name).read_text()) for name in ("short.json", "whole.json"))
    assert short.items() <= whole.items()
    assert "return_dict" in whole
    assert "return_dict" not in short
    for name in ("short.json", "whole.json"):
        assert type(config).from_json_file(tmp_path / name) == config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["short.json", "whole.json"]


def test_a_processor_goes_to_a_json_file_and_back(tmp_path: Path) -> None:
    processor = ConvNextImageProcessor(size=42, crop_pct=0.9, image_mean=(0.1, 0.2, 0.3))
    processor.to_json_file(tmp_path / "any name.json")
    again = ConvNextImageProcessor.from_json_file(tmp_path / "any name.json")
    assert again.to_dict() == processor.to_dict()
    assert again.size == {"shortest_edge": 42}


@pytest.mark.parametrize("kind", [RegNetConfig, ConvNextConfig])
def test_a_configuration_says_what_it_is_not(kind: Any) -> None:
    assert kind.is_composition is False
    assert kind().is_encoder_decoder is False
    assert {"is_composition", "is_encoder_decoder"}.isdisjoint(kind().to_dict())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_can_ask_for_gradient_checkpointing(family: str, tiny_config: Any, enlivened: Any) -> None:
    gradients = []
    for asked in (False, True):
        config = tiny_config(family, gradient_checkpointing=asked, drop_path_rate=0.0)
        network = enlivened(getattr(regconv, f"{config.family}ForImageClassification")(config)).train()
        assert network.is_gradient_checkpointing is network.base_model.is_gradient_checkpointing is asked
        saved = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal saved
            saved += 1
            return tensor

        pixels = torch.randn(2, 3, 40, 32, generator=torch.Generator().manual_seed(0))
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = network(pixels, labels=torch.tensor([1, 2])).loss
        loss.backward()
        gradients.append((saved, [parameter.grad for parameter in network.parameters()]))
        network.gradient_checkpointing_disable()
        assert network.is_gradient_checkpointing is False
    (kept, plain), (kept_less, recomputed) = gradients
    assert kept_less < kept
    assert all(torch.equal(one, other) for one, other in zip(plain, recomputed, strict=True))


@pytest.mark.parametrize("name", ["RegNetModel", "ConvNextForImageClassification", "ConvNextV2Model", "RegNetBackbone"])
def test_no_network_here_writes_texts(name: str) -> None:
    assert getattr(regconv, name).can_generate() is False


@pytest.mark.parametrize("subfolder", ["inner", "two/levels"])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_model_in_a_subfolder(
    subfolder: str, by_name: bool, tiny_checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "cache" / "models--someone--several"
    inside = repository / "snapshots" / COMMIT / subfolder
    inside.parent.mkdir(parents=True)
    tiny_checkpoint("convnext", num_labels=5).rename(inside)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = "someone/several" if by_name else repository / "snapshots" / COMMIT
    network, info = regconv.ConvNextForImageClassification.from_pretrained(
        model, subfolder=subfolder, output_loading_info=True
    )
    assert not any(info.values())
    direct = regconv.ConvNextForImageClassification.from_pretrained(inside)
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), direct.parameters(), strict=True))
    assert ConvNextConfig.from_pretrained(model, subfolder=subfolder).num_labels == 5
    assert regconv.AutoModel.from_pretrained(model, subfolder=subfolder).config.num_labels == 5
    assert AutoImageProcessor.from_pretrained(model, subfolder=subfolder).size == {"shortest_edge": 64}
    with pytest.raises(regconv.ModelNotFound, match=r"config\.json"):
        ConvNextConfig.from_pretrained(model)


@pytest.mark.parametrize("name", ["RegNetModel", "TFRegNetModel", "FlaxRegNetModel", "AutoModel", "RegNetBackbone"])
def test_folders_may_be_given_under_their_documented_names(name: str, tiny_checkpoint: Any, tmp_path: Path) -> None:
    for start, framework in (("TF", "tensorflow"), ("Flax", "flax")):
        if name.startswith(start):
            pytest.importorskip(framework, reason="an optional install")
    folder, configured, processed = tiny_checkpoint("regnet-y"), tmp_path / "config", tmp_path / "processor"
    network = getattr(regconv, name).from_pretrained(pretrained_model_name_or_path=folder)
    network.save_pretrained(save_directory=tmp_path / "network")
    for kind in (regconv.AutoConfig, RegNetConfig):
        config = kind.from_pretrained(pretrained_model_name_or_path=tmp_path / "network")
        config.save_pretrained(save_directory=configured)
        assert RegNetConfig.from_pretrained(configured).hidden_sizes == network.config.hidden_sizes
    for processor_kind in (AutoImageProcessor, ConvNextImageProcessor):
        processor = processor_kind.from_pretrained(pretrained_model_name_or_path=folder)
        processor.save_pretrained(save_directory=processed)
        assert AutoImageProcessor.from_pretrained(processed).to_dict() == processor.to_dict()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_detection_networks_ask_of_a_backbone(family: str, tiny_config: Any) -> None:
    config = tiny_config(family, out_features=["stage1", "stage3"])
    backbone = getattr(regconv, f"{config.family}Backbone")(config)
    assert backbone.backbone_type == "transformers"
    assert backbone.stage_names == ["stem", "stage1", "stage2", "stage3"]
    widths = dict(zip(backbone.stage_names, backbone.num_features, strict=True))
    assert backbone.out_feature_channels == widths
    assert backbone.channels == [widths["stage1"], widths["stage3"]]
    assert (backbone.out_features, backbone.out_indices) == (["stage1", "stage3"], [1, 3])
    maps = backbone(torch.zeros(1, 3, 64, 64)).feature_maps
    assert [feature.shape[1] for feature in maps] == backbone.channels
