"""What decoding JPEGs at reduced scale does to the embeddings, by size and draft factor, against full decoding.

    REGCONV_DATA=... python -m bench.draft [--photos 100] [--mosaics 24]

The bound that a recipe's default factor must hold: cosine to full decoding at least 0.999 in the median and 0.995 at the
first percentile. Random networks judge weakly: some find all photographs alike (so the same is given for vectors whose
common mean was taken off), and some magnify anything. The control tells: the same pictures with a third of their values one
grey level off, which is what two correct decoders may differ by.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from bench.camera_photos import photo_paths, write_enlarged, write_mosaics
from regconv.backbone import Backbone, describe, load_backbone
from regconv.configuration import ConvNextConfig, RegNetConfig
from regconv.images import Recipe, draft_size, open_picture, prepared
from regconv.torch import ConvNextForImageClassification, RegNetForImageClassification

SIZES = (128, 224, 384)
FACTORS = (1, 2, 3, 4)
CROP_PCT, BICUBIC = 0.875, 3
MEDIAN_BOUND, PERCENTILE_BOUND = 0.999, 0.995


@click.command()
@click.option("--photos", default=100, help="photographs at native size and at each enlargement")
@click.option("--mosaics", default=24, help="mosaics of 12 megapixels")
def main(photos: int, mosaics: int) -> None:
    """A Markdown table on stdout."""
    with tempfile.TemporaryDirectory() as folder:
        sources = dict(_sources(Path(folder), photos, mosaics))
        networks = _networks(Path(folder))
        print(
            f"Command: `python -m bench.draft --photos {photos} --mosaics {mosaics}`; worst of {', '.join(networks)}.\n"
        )
        print("| size | files | factor | reduced | grey levels | cosine median | p1 | centred median | p1 | holds |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for size in SIZES:
            for name, paths in sources.items():
                for row in _rows(size, name, paths, networks):
                    print(row, flush=True)


def _sources(folder: Path, photos: int, mosaics: int) -> Iterator[tuple[str, list[Path]]]:
    every = photo_paths()
    chosen = every[:: max(1, len(every) // photos)][:photos]
    yield f"native ({len(chosen)})", chosen
    for long_side in (3000, 4000):
        yield f"enlarged to {long_side} ({len(chosen)})", write_enlarged(folder, chosen, long_side)
    yield f"mosaics of 4000x3000 ({mosaics})", write_mosaics(folder, every, mosaics)


def _rows(size: int, name: str, paths: list[Path], networks: dict[str, Backbone]) -> Iterator[str]:
    prepared_by = {factor: _prepared(paths, Recipe(size, CROP_PCT, BICUBIC, factor)) for factor in (0, *FACTORS)}
    whole, _ = prepared_by[0]
    vectors_of_whole = {key: _vectors(network, whole) for key, network in networks.items()}
    random = np.random.default_rng(0)
    off = random.choice(np.array([-1, 0, 0, 0, 0, 1], np.int16), whole.shape)
    control = np.clip(whole + off, 0, 255).astype(np.uint8)
    for factor, (pictures, reduced) in [("control", (control, 1.0)), *list(prepared_by.items())[1:]]:
        if not reduced:
            yield f"| {size} | {name} | {factor} | 0 % | 0 | 1 | 1 | 1 | 1 | yes |"
            continue
        grey = np.abs(pictures.astype(np.int16) - whole).mean()
        plain, centred = [], []
        for key, network in networks.items():
            there, here = vectors_of_whole[key], _vectors(network, pictures)
            common = there.mean(axis=0)
            plain.append(_quantiles(there, here))
            centred.append(_quantiles(there - common, here - common))
        median, low = np.min(plain, axis=0)
        centred_median, centred_low = np.min(centred, axis=0)
        holds = "yes" if median >= MEDIAN_BOUND and low >= PERCENTILE_BOUND else "**no**"
        yield (
            f"| {size} | {name} | {factor} | {reduced:.0%} | {grey:.2f} | {median:.5f} | {low:.5f} "
            f"| {centred_median:.5f} | {centred_low:.5f} | {holds} |"
        )


def _prepared(paths: list[Path], recipe: Recipe) -> tuple[np.ndarray, float]:
    """uint8 (n, size, size, 3), and the share of files that were decoded at reduced scale."""
    opened = [open_picture(path, at_least=draft_size(recipe)) for path in paths]
    reduced = [picture.image.size != (picture.width, picture.height) for picture in opened]
    return np.stack([prepared(picture, recipe) for picture in opened]), float(np.mean(reduced))


def _vectors(network: Backbone, pictures: np.ndarray) -> np.ndarray:
    """float64 (n, d) of the part that is searched by default, the last."""
    parts = network.embed(pictures)
    return parts.vectors[parts.names[-1]].astype(np.float64)


def _quantiles(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(np.median(cosines)), float(np.percentile(cosines, 1))


def _networks(folder: Path) -> dict[str, Backbone]:
    regnet = RegNetConfig(hidden_sizes=[24, 64, 160, 384], depths=[1, 1, 4, 7], groups_width=8, layer_type="y")
    convnext = ConvNextConfig(hidden_sizes=[48, 96, 192, 384], depths=[2, 2, 6, 2])
    pictures, _ = _prepared(photo_paths()[:32], Recipe(128, CROP_PCT, BICUBIC))
    folders = {
        "the starter": describe("starter").folder,
        "a lively RegNetY": _saved(folder / "regnet", RegNetForImageClassification(regnet), pictures),
        "a lively ConvNeXt": _saved(folder / "convnext", ConvNextForImageClassification(convnext), pictures),
    }
    return {name: load_backbone(str(place)) for name, place in folders.items()}


def _saved(folder: Path, network: Any, pictures: np.ndarray) -> Path:
    """The checkpoint of a network with lively weights: kernels of unit gain, norms and layer scales in 0.5 to 1.5."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
            elif getattr(module, "weight", None) is not None:
                module.weight.uniform_(0.5, 1.5, generator=generator)
        for name, parameter in network.named_parameters():
            if name.endswith("layer_scale_parameter"):
                parameter.uniform_(0.5, 1.5, generator=generator)
        for name, module in network.named_modules():
            if name.endswith("layer.3.normalization"):  # RegNetY's last in a branch; at full strength the control fails
                module.weight.mul_(0.25)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # statistics of the whole batch below
        network.train()(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1)
    network.eval().save_pretrained(folder)
    config = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 128}, "crop_pct": CROP_PCT,
              "resample": BICUBIC, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


if __name__ == "__main__":
    main()
