"""From timm's and torchvision's files to a network that can be used, saved and searched with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import regconv
from regconv.conversion import load_converted

timm = pytest.importorskip("timm")
vision = pytest.importorskip("torchvision.models")

NARROW = {"dims": (16, 24, 32, 40), "depths": (1, 2, 1, 1), "num_classes": 5}


@pytest.fixture
def timm_folder(tmp_path: Path, enlivened: Any) -> Any:
    """(architecture, config.json changes, **model arguments) -> (a folder as timm's own saving makes it, the network)."""

    def make(name: str, changes: dict[str, Any] | None = None, **options: Any) -> tuple[Path, Any]:
        from timm.models import save_for_hf

        network = enlivened(timm.create_model(name, **(NARROW | options)))
        save_for_hf(network, tmp_path / name, safe_serialization=True)
        path = tmp_path / name / "config.json"
        values = json.loads(path.read_text())
        values["pretrained_cfg"] |= (changes or {}).pop("pretrained_cfg", {})
        path.write_text(json.dumps(values | (changes or {})))
        return tmp_path / name, network

    return make


def photo(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    "name", ["convnext_atto_ols", "convnext_zepto_rms_ols", "convnextv2_tiny", "convnext_atto_rms"]
)
def test_a_folder_of_timms_becomes_a_network_with_its_pictures(name: str, timm_folder: Any, tmp_path: Path) -> None:
    folder, theirs = timm_folder(name)
    network, processor = load_converted(folder)
    assert not network.training
    picture = photo(320, 256)
    settings = timm.data.resolve_model_data_config(theirs)
    expected = timm.data.create_transform(**settings, is_training=False)(picture)[None]
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    assert pixels.shape == expected.shape
    assert (pixels - expected).abs().max() < 1e-5
    with torch.no_grad():
        reference = theirs(expected)
        assert (network(pixels).logits - reference).abs().max() <= 1e-4 * reference.abs().max()
    # Saved, it is a checkpoint like any other here.
    network.save_pretrained(tmp_path / "ours", processor=processor)
    again = regconv.AutoModelForImageClassification.from_pretrained(tmp_path / "ours")
    assert torch.equal(again(pixels).logits, network(pixels).logits)
    assert regconv.describe(str(tmp_path / "ours")).recipe.size == 224
    from_file, _ = load_converted(folder / "model.safetensors")
    assert torch.equal(from_file(pixels).logits, network(pixels).logits)


def test_labels_and_preparation_come_from_the_file(timm_folder: Any) -> None:
    names = [f"n{index}" for index in range(5)]
    changes = {
        "label_names": names,
        "label_descriptions": {"n0": "tench", "n1": "shark"},
        "pretrained_cfg": {
            "input_size": [3, 288, 288],
            "crop_pct": 0.95,
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
        },
    }
    folder, _ = timm_folder("convnext_femto", changes)
    network, processor = load_converted(folder)
    assert network.config.id2label == {0: "tench", 1: "shark", 2: "n2", 3: "n3", 4: "n4"}
    assert (processor.size, processor.crop_pct, processor.resample) == ({"shortest_edge": 288}, 0.95, 2)
    assert processor.image_mean == [0.5, 0.5, 0.5]
    assert processor.image_std == pytest.approx([0.229, 0.224, 0.225])
    assert not hasattr(network.config, "regconv_note")


@pytest.mark.parametrize(
    ("settings", "is_noted"),
    [
        ({"input_size": [3, 384, 384], "crop_pct": 1.0, "crop_mode": "squash"}, False),
        ({"input_size": [3, 384, 384], "crop_pct": 1.0, "crop_mode": "center"}, True),
        ({"input_size": [3, 384, 384], "crop_pct": 0.9, "crop_mode": "squash"}, True),
        ({"input_size": [3, 224, 224], "crop_pct": 1.0, "crop_mode": "squash"}, True),
        ({"input_size": [3, 224, 224], "crop_pct": 1.0, "crop_mode": "border"}, True),
    ],
)
def test_pictures_that_cannot_be_prepared_quite_the_same_are_noted(
    settings: dict[str, Any], is_noted: bool, timm_folder: Any
) -> None:
    folder, _ = timm_folder("convnext_pico", {"pretrained_cfg": settings})
    network, _ = load_converted(folder)
    assert hasattr(network.config, "regconv_note") is is_noted
    if is_noted:
        assert f"crop_mode {settings['crop_mode']}" in network.config.regconv_note


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"architecture": "convnext_tiny_hnf"}, "convnext_tiny_hnf is another network"),
        ({"architecture": None}, "names no architecture"),
        ({"model_args": {"kernel_sizes": 5}}, "made with kernel_sizes"),
        ({"model_args": {"global_pool": "max"}}, "pools by 'max'"),
        ({"global_pool": "max"}, "pools by 'max'"),
        ({"pretrained_cfg": {"input_size": [3, 224, 192]}}, "pictures here become squares"),
        ({"pretrained_cfg": {"interpolation": "random"}}, "interpolation 'random', expected one of"),
    ],
)
def test_what_is_another_network_is_refused(changes: dict[str, Any], text: str, timm_folder: Any) -> None:
    folder, _ = timm_folder("convnext_nano", changes)
    with pytest.raises(regconv.UnsupportedConfig, match=text):
        load_converted(folder)


@pytest.mark.parametrize("weights", [None, "IMAGENET1K_V1"])
def test_a_file_of_torchvisions(weights: str | None, enlivened: Any, tmp_path: Path) -> None:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    rows = [CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 2), CNBlockConfig(32, None, 1)]
    theirs = enlivened(ConvNeXt(rows, num_classes=5))
    path = tmp_path / "convnext_tiny-983f1562.pth"
    torch.save(theirs.state_dict(), path)
    network, processor = load_converted(path, f"torchvision/convnext_tiny{'.' + weights if weights else ''}")
    picture = photo(256, 256)  # an odd remainder would be halved differently
    expected = vision.ConvNeXt_Tiny_Weights.IMAGENET1K_V1.transforms()(picture)[None]
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    assert (pixels - expected).abs().max() < 1e-5
    with torch.no_grad():
        reference = theirs(expected)
        assert (network(pixels).logits - reference).abs().max() <= 1e-4 * reference.abs().max()


def test_weights_for_384_pixels_of_torchvision_are_noted(tmp_path: Path) -> None:
    from torchvision.models.regnet import BlockParams, RegNet

    params = BlockParams.from_init_params(depth=8, w_0=16, w_a=12.0, w_m=2.0, group_width=8, se_ratio=0.25)
    path = tmp_path / "weights.pth"
    torch.save(RegNet(params, num_classes=5).state_dict(), path)
    for weights, note in (
        ("IMAGENET1K_SWAG_E2E_V1", "torchvision prepares .* crop_mode center, .* squeezed into the square"),
        ("IMAGENET1K_SWAG_LINEAR_V1", "^$"),
    ):
        network, processor = load_converted(path, f"torchvision/regnet_y_16gf.{weights}")
        assert re.search(note, getattr(network.config, "regconv_note", ""))
        assert processor.resample == 3


def test_a_model_of_the_hub(hub: Any, timm_folder: Any) -> None:
    folder, theirs = timm_folder("convnext_nano_ols")
    hub.add("timm/convnext_nano_ols.d1h_in1k", "main", folder)
    network, _ = load_converted("timm/convnext_nano_ols.d1h_in1k", revision="main")
    x = torch.randn(1, 3, 64, 64)
    assert (network(x).logits - theirs(x)).abs().max() <= 1e-5 * theirs(x).abs().max()
    with pytest.raises(regconv.ModelNotFound, match=r"timm/convnext_tiny\.none"):
        load_converted("timm/convnext_tiny.none")


def test_files_of_the_authors_and_of_timm_by_themselves(enlivened: Any, tmp_path: Path, timm_folder: Any) -> None:
    folder, theirs = timm_folder("convnext_atto")
    (folder / "config.json").unlink()
    x = torch.randn(1, 3, 64, 64)
    network, processor = load_converted(folder / "model.safetensors", "timm/convnext_atto")
    assert (network(x).logits - theirs(x)).abs().max() <= 1e-5 * theirs(x).abs().max()
    assert (processor.size, processor.resample) == ({"shortest_edge": 224}, 3)
    with pytest.raises(regconv.UnsupportedConfig, match="say which architecture it is, as timm/<name>"):
        load_converted(folder / "model.safetensors")
    with pytest.raises(regconv.UnsupportedConfig, match="architecture got 'pycls/regnet', expected timm"):
        load_converted(folder / "model.safetensors", "pycls/regnet")
    with pytest.raises(regconv.WeightsMismatch):
        load_converted(folder / "model.safetensors", "facebook/convnext")
    with pytest.raises(regconv.ModelNotFound, match="the one file that holds the weights"):
        load_converted(folder, "vissl/seer")
    with pytest.raises(TypeError, match="takes no out_features"):
        load_converted(folder, out_features=["stem"])


def test_damaged_and_dangerous_files_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(regconv.CheckpointError, match=r"weights\.pth is damaged, or holds something other"):
        load_converted(path, "facebook/convnext")
    torch.save(Path("any object"), path)
    with pytest.raises(regconv.CheckpointError, match="it is not opened"):
        load_converted(path, "facebook/convnext")
    torch.save([torch.zeros(1)], path)
    with pytest.raises(regconv.CheckpointError, match="holds a list, expected a mapping"):
        load_converted(path, "facebook/convnext")
