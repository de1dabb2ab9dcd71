"""What load_converted says where it is asked for something that needs no conversion, or that it can't have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from regconv import ModelNotFound, UnsupportedConfig
from regconv.conversion import load_converted


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asks the hub fails with other words."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("model", ["torchvision/nosuch", "torchvision/nosuch.IMAGENET1K_V1"])
def test_an_unknown_name_of_torchvision_s_lists_those_that_are_known(model: str) -> None:
    with pytest.raises(UnsupportedConfig, match=r"torchvision's nosuch is not known here; these are: regnet_x_400mf, "):
        load_converted(model)


@pytest.mark.parametrize("model", ["torchvision/regnet_y_400mf", "facebook/convnext", "vissl/seer"])
def test_an_architecture_is_no_file_of_weights(model: str) -> None:
    with pytest.raises(ModelNotFound, match=rf"download their file, then load_converted\(file, '{model}'\)"):
        load_converted(model)


@pytest.mark.parametrize("model", [None, 3, {"stem": 1}])
def test_what_is_no_name_is_a_type_error(model: Any) -> None:
    with pytest.raises(TypeError, match=r"load_converted got .* as model, expected a hub name, a folder of timm's, or"):
        load_converted(model)
    with pytest.raises(TypeError, match="load_converted got"):
        load_converted(model, "torchvision/regnet_y_400mf")


@pytest.mark.parametrize(("family", "named"), [("regnet-y", "RegNetModel"), ("convnext", "ConvNextModel")])
def test_a_folder_in_our_form_needs_no_conversion(family: str, named: str, tiny_checkpoint: Any) -> None:
    with pytest.raises(UnsupportedConfig, match=rf"needs no conversion: .* {named}\.from_pretrained and "):
        load_converted(tiny_checkpoint(family))
    with pytest.raises(UnsupportedConfig, match=r"needs no conversion: .* RegNetModel\.from_pretrained"):
        load_converted("starter")
