"""load_backbone in half precision: taken where its vectors are as good as in float32, and not otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regconv import RegNetModel, load_backbone
from regconv.backbone import HALF_BOUND

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])])
def test_half_precision_is_taken_where_its_vectors_are_as_good(device: str, pictures: np.ndarray) -> None:
    backbone = load_backbone("starter", device, "half")
    assert backbone.provenance["precision"] == "float16"
    expected = load_backbone("starter", "cpu").embed(pictures).vectors
    for part, vectors in backbone.embed(pictures).vectors.items():
        assert (vectors * expected[part]).sum(axis=1).min() > HALF_BOUND


def test_half_precision_is_not_taken_where_values_outgrow_it(tiny_checkpoint: Any, tmp_path: Path) -> None:
    network = RegNetModel.from_pretrained(tiny_checkpoint("regnet-x", head=False))
    with torch.no_grad():
        next(p for name, p in network.named_parameters() if "embedder" in name).mul_(1e6)
    network.save_pretrained(tmp_path / "loud")
    shutil.copy(Path(tiny_checkpoint("regnet-x")) / "preprocessor_config.json", tmp_path / "loud")
    assert load_backbone(str(tmp_path / "loud"), "cpu", "float16").provenance["precision"] == "float16"
    assert load_backbone(str(tmp_path / "loud"), "cpu", "half").provenance["precision"] == "float32"
