"""The model that is shipped: small, honest about what it knows, and as good as its card says."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.starter import plain_name
from regconv import ModelNotFound, describe, load_backbone, prepare
from regconv.checkpoint import read_header

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "regconv" / "starter"
needs_data = pytest.mark.skipif("REGCONV_DATA" not in os.environ, reason="REGCONV_DATA is not set: no photographs")


@pytest.fixture(scope="module")
def starter() -> Any:
    return describe("starter")


def card_figure(name: str) -> float:
    """A figure of the card's table, as a share."""
    found = re.search(rf"\| {name} \| ([\d.]+) %", (FOLDER / "README.md").read_text())
    assert found is not None, name
    return float(found[1]) / 100


def test_it_is_shipped_small_and_complete(starter: Any) -> None:
    assert starter.folder == FOLDER
    assert {path.name for path in FOLDER.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 9_000_000
    header, _ = read_header(FOLDER / "model.safetensors")
    trained = [entry for name, entry in header.items() if "running_" not in name and "tracked" not in name]
    assert {entry["dtype"] for entry in trained} == {"F16"}
    assert sum(int(np.prod(entry["shape"])) for entry in trained) < 4_000_000


def test_it_says_what_it_knows_and_how_to_get_more(starter: Any) -> None:
    assert starter.name == "starter"
    assert starter.note is not None
    for words in ("101 kinds", "--model facebook/convnext-tiny-224", "--model facebook/convnext-base-224-22k"):
        assert words in starter.note
    names = list(starter.labels.values())
    assert len(set(names)) == 101
    assert {"sea horse", "face", "water lily", "Snoopy"} <= set(names)
    assert not any("_" in name for name in names)


def test_it_is_described_without_torch_and_without_a_cache(tmp_path: Path) -> None:
    code = "import sys, regconv; regconv.describe('starter'); assert 'torch' not in sys.modules"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60, env=os.environ | home)
    assert list(tmp_path.iterdir()) == []


def test_transformers_opens_it() -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    network, info = transformers.RegNetForImageClassification.from_pretrained(
        FOLDER, output_loading_info=True, dtype=torch.float32
    )
    assert not any(info.values())
    assert network.config.id2label[0] == json.loads((FOLDER / "config.json").read_text())["id2label"]["0"]


def accuracy(folder: Path, every: int, starter: Any) -> float:
    paths = sorted(folder.glob("*/*.jpg"))[::every]
    labels = load_backbone(starter, "cpu").embed(np.stack([prepare(path, starter.recipe) for path in paths])).labels
    right = [
        starter.labels[int(row[0])] == plain_name(path.parent.name) for row, path in zip(labels, paths, strict=True)
    ]
    return float(np.mean(right))


@needs_data
def test_a_sample_is_labelled_about_as_well_as_the_card_says(starter: Any) -> None:
    sample = accuracy(Path(os.environ["REGCONV_DATA"]) / "caltech101" / "test", 6, starter)  # 217 pictures
    assert sample == pytest.approx(card_figure("top-1"), abs=0.09)  # three standard errors


@pytest.mark.slow
@needs_data
def test_the_test_pictures_are_labelled_as_well_as_the_card_says(starter: Any) -> None:
    whole = accuracy(Path(os.environ["REGCONV_DATA"]) / "caltech101" / "test", 1, starter)
    assert whole == pytest.approx(card_figure("top-1"), abs=0.003)  # kernels differ a little between machines


def copy_as_jpeg(image: Image.Image, scale: float = 1.0) -> io.BytesIO:
    image = image.convert("RGB")
    if scale != 1.0:
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    return file


@needs_data
def test_a_re_encoded_copy_finds_its_original_first(starter: Any, tmp_path: Path) -> None:
    data = Path(os.environ["REGCONV_DATA"])
    paths = sorted((data / "snaps").glob("*.jpg")) + sorted((data / "photos").glob("*.JPEG"))[::10]
    assert len(paths) >= 60
    backbone = load_backbone(starter)

    def vectors(paths: list[Path]) -> np.ndarray:
        return backbone.embed(np.stack([prepare(path, starter.recipe) for path in paths])).vectors[starter.pooled]

    originals = vectors(paths)
    for scale in (1.0, 0.5):
        copies = []
        for path in paths:
            copy = tmp_path / f"{scale}-{path.stem}.jpg"
            with Image.open(path) as image:
                copy.write_bytes(copy_as_jpeg(image, scale).getvalue())
            copies.append(copy)
        nearest = (vectors(copies) @ originals.T).argmax(axis=1)
        assert (nearest == np.arange(len(paths))).mean() >= 0.95


def test_a_name_that_is_nothing_at_all_says_so() -> None:
    with pytest.raises(ModelNotFound, match="no valid model name"):
        describe("no such folder!")
