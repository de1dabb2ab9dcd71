"""A cosine as a sum over cells: against torch's own pooling in float64, for every family, and on photographs cut apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regconv.backbone import load_backbone
from regconv.cell_geometry import cell_grids
from regconv.similarity_maps import Pooling, Turn, contributions, pair_map, similarity_maps

NETWORKS = [
    ("regnet-x", {}),
    ("regnet-y", {}),
    ("convnext", {}),
    ("convnextv2", {"layer_norm_eps": 1e-3}),
    ("convnext", {"stem_type": "overlap_act", "norm_type": "rms"}),
    ("convnextv2", {"stem_type": "overlap_tiered", "norm_type": "simple"}),
]
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png",
               "horse.png", "coins.png", "hubble_deep_field.jpg", "retina.jpg", "page.png", "moon.png")  # fmt: skip


def torch_pooled(x: np.ndarray, pooling: Pooling | None) -> np.ndarray:
    """The same by torch's norms, which know nothing of cells."""
    mean = torch.from_numpy(x).double().mean(dim=(1, 2))
    if pooling is None:
        return mean.numpy()
    gain, bias = torch.from_numpy(pooling.gain), torch.from_numpy(pooling.bias)
    if pooling.kind == "layer":
        return torch.nn.functional.layer_norm(mean, mean.shape, gain, bias, pooling.eps).numpy()
    if pooling.kind == "rms":
        return (torch.nn.functional.rms_norm(mean, mean.shape, gain, pooling.eps) + bias).numpy()
    return (mean * torch.rsqrt(mean.var() + pooling.eps) * gain + bias).numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@st.composite
def pairs_of_maps(draw: Any) -> tuple[np.ndarray, np.ndarray, Pooling | None]:
    """Two maps, also of one cell and of different sizes, and every kind of pooling; nothing in them is 0 or 1."""
    channels = draw(st.integers(2, 24))
    sizes = [(draw(st.integers(1, 9)), draw(st.integers(1, 9))) for _ in range(2)]
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, y = (random.normal(0.3, 1.0, (channels, *size)) * draw(st.sampled_from([1e-3, 1.0, 50.0])) for size in sizes)
    kind = draw(st.sampled_from([None, "layer", "rms", "simple"]))
    if kind is None:
        return x, y, None
    gain, bias = random.uniform(0.5, 1.5, channels), random.normal(0, 0.3, channels)
    return x, y, Pooling(gain, bias, draw(st.sampled_from([1e-12, 1e-6, 1e-2])), kind)


class TestAlgebra:
    @settings(deadline=None, max_examples=150)
    @given(pairs_of_maps())
    def test_both_maps_sum_to_the_cosine_of_what_torch_pools(self, drawn: Any) -> None:
        x, y, pooling = drawn
        expected = cosine(torch_pooled(x, pooling), torch_pooled(y, pooling))
        found = similarity_maps(x, y, pooling)
        assert found.first.shape == x.shape[1:]
        assert found.second.shape == y.shape[1:]
        assert found.first.dtype == found.second.dtype == np.float64
        scale = max(1.0, np.abs(found.first).sum(), np.abs(found.second).sum())  # cells that cancel each other
        assert abs(found.cosine - expected) < 1e-11 * scale
        assert abs(found.first.sum() + found.constants[0] - expected) < 1e-11 * scale
        assert abs(found.second.sum() + found.constants[1] - expected) < 1e-11 * scale

    @settings(deadline=None, max_examples=100)
    @given(pairs_of_maps(), st.integers(0, 1000))
    def test_the_pairs_of_a_cell_sum_to_its_share(self, drawn: Any, number: int) -> None:
        x, y, pooling = drawn
        maps = similarity_maps(x, y, pooling)
        row, column = divmod(number % maps.first.size, maps.first.shape[1])
        pairs = pair_map(x, y, (row, column), pooling)
        assert pairs.cells.shape == y.shape[1:]
        scale = max(1.0, np.abs(pairs.cells).sum())
        assert abs(pairs.share - maps.first[row, column]) < 1e-11 * scale
        assert abs(pairs.cells.sum() + pairs.constant - pairs.share) < 1e-11 * scale

    @settings(deadline=None, max_examples=100)
    @given(pairs_of_maps(), st.integers(1, 12), st.integers(0, 1000))
    def test_whitened_vectors_come_apart_as_well(self, drawn: Any, dims: int, number: int) -> None:
        x, y, pooling = drawn
        random = np.random.default_rng(number)
        turn = Turn(random.normal(0, 0.1, len(x)), random.normal(size=(len(x), dims)))
        found = similarity_maps(x, y, pooling, turn)
        units = [pooled / np.linalg.norm(pooled) for pooled in (torch_pooled(x, pooling), torch_pooled(y, pooling))]
        expected = cosine(*((unit - turn.mean) @ turn.matrix for unit in units))
        row, column = divmod(number % found.first.size, found.first.shape[1])
        pairs = pair_map(x, y, (row, column), pooling, turn)
        scale = max(1.0, np.abs(found.first).sum(), np.abs(found.second).sum(), np.abs(pairs.cells).sum())
        assert abs(found.first.sum() + found.constants[0] - expected) < 1e-11 * scale
        assert abs(found.second.sum() + found.constants[1] - expected) < 1e-11 * scale
        assert abs(pairs.cells.sum() + pairs.constant - found.first[row, column]) < 1e-11 * scale
        if pooling is None:
            assert found.constants == (0, 0)  # what is taken away is taken from the cells

    def test_a_pair_of_cells_adds_the_same_seen_from_either_picture(self) -> None:
        random = np.random.default_rng(1)
        x, y = random.normal(size=(5, 2, 3)), random.normal(size=(5, 4, 1))
        pooling = Pooling(random.uniform(0.5, 1.5, 5), random.normal(0, 0.3, 5), 1e-6)
        there = pair_map(x, y, (1, 2), pooling).cells[3, 0]
        assert there == pytest.approx(pair_map(y, x, (3, 0), pooling).cells[1, 2], abs=1e-14)

    def test_by_hand(self) -> None:
        """(1, 0) and (0, 1) are the halves of a mean that is all of (1, 1)'s direction: each cell adds half."""
        x = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
        found = similarity_maps(x, np.array([[[3.0]], [[3.0]]]))
        assert found.cosine == pytest.approx(1)
        assert found.first.ravel() == pytest.approx([0.5, 0.5])
        assert found.second.ravel() == pytest.approx([1.0])
        against = similarity_maps(x, np.array([[[3.0]], [[-1.0]]]))
        assert np.sign(against.first).ravel().tolist() == [1, -1]

    def test_a_picture_is_wholly_like_itself(self) -> None:
        x = np.random.default_rng(2).normal(size=(7, 3, 3)).astype(np.float32)
        found = similarity_maps(x, x)
        assert found.cosine == pytest.approx(1, abs=1e-15)
        assert np.array_equal(found.first, found.second)

    def test_what_is_refused(self) -> None:
        x = np.ones((4, 3, 2))
        with pytest.raises(ValueError, match=r"maps are \(4, 3, 2\) and \(5, 3, 2\), expected"):
            similarity_maps(x, np.ones((5, 3, 2)))
        with pytest.raises(ValueError, match="expected"):
            similarity_maps(x, np.ones(4))
        for turn in (None, Turn(np.ones(4), np.eye(4))):
            with pytest.raises(ValueError, match="zeros"):
                similarity_maps(x, np.zeros((4, 1, 1)), turn=turn)
        for cell in ((3, 0), (0, 2), (-1, 0)):
            with pytest.raises(IndexError, match="expected rows 0 to 2 and columns 0 to 1"):
                pair_map(x, x, cell)


@pytest.mark.parametrize(("family", "changes"), NETWORKS)
class TestNetworks:
    def test_in_float64_to_the_last_digits(self, family: str, changes: Any, tiny_checkpoint: Any) -> None:
        from regconv import torch as networks

        folder = tiny_checkpoint(family, **changes)
        backbone = load_backbone(folder)
        kind = getattr(networks, backbone.description.config.family + "Model")
        network = kind.from_pretrained(folder).eval().double()
        pixels = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 3, 64, 96)))
        with torch.no_grad():
            wide = network(pixels, output_hidden_states=True)
            square = network(pixels[:, :, :, :64], output_hidden_states=True)
        pooled = [output.pooler_output.flatten(1)[row].numpy() for row, output in enumerate((wide, square))]
        x, y = wide.last_hidden_state[0].numpy(), square.last_hidden_state[1].numpy()
        assert x.shape != y.shape
        pooling = backbone.pooling
        cells, constant = contributions(x, pooling)
        assert np.abs(cells.sum(axis=(1, 2)) + constant - pooled[0]).max() < 1e-12
        found = similarity_maps(x, y, pooling)
        for one, constant in zip((found.first, found.second), found.constants, strict=True):
            assert abs(one.sum() + constant - cosine(*pooled)) < 1e-12
        has_bias = changes.get("norm_type", "layer") == "layer" and not family.startswith("regnet")
        assert (pooling is None) == family.startswith("regnet")
        assert (min(map(abs, found.constants)) > 1e-3) == has_bias

    def test_in_float32_within_the_promise_for_every_part(
        self, family: str, changes: Any, tiny_checkpoint: Any
    ) -> None:
        backbone = load_backbone(tiny_checkpoint(family, **changes))
        pictures = np.random.default_rng(4).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        pictures[1, :32] = 200
        features, parts = backbone.features(pictures), backbone.embed(pictures)
        maps = {f"stage{number}": stage for number, stage in enumerate(features.stages, start=1)}
        maps["pooled"] = features.stages[-1]
        for name in parts.names:
            found = similarity_maps(*maps[name], backbone.pooling if name == "pooled" else None)
            expected = cosine(*parts.vectors[name].astype(np.float64))
            assert abs(found.first.sum() + found.constants[0] - expected) < 1e-5
            assert abs(found.second.sum() + found.constants[1] - expected) < 1e-5


def _quarters_light_up(paths: list[str]) -> dict[str, float]:
    """By stage: how often a quarter's place has more of the map for that quarter than for the three others."""
    backbone = load_backbone("starter", "cpu")
    size = backbone.description.recipe.size
    grids = cell_grids(backbone.description.config)
    right: dict[str, list[bool]] = {}
    for path in paths:
        picture = Image.open(path).convert("RGB").resize((2 * size, 2 * size))
        quarters = [picture.crop((x, y, x + size, y + size)) for y in (0, size) for x in (0, size)]
        pictures = np.stack([np.asarray(one) for one in (picture.resize((size, size)), *quarters)])
        for number, maps in enumerate(backbone.features(pictures).stages, start=1):
            grid = grids[f"stage{number}"]
            half = (grid.first + grid.stride * np.arange(maps.shape[-1]) > size / 2).astype(int)
            place = 2 * half[:, None] + half[None]
            shares = np.empty((4, 4))
            for quarter in range(4):
                whole = similarity_maps(maps[0], maps[1 + quarter]).first
                shares[quarter] = [whole[place == one].sum() / whole.sum() for one in range(4)]
            own, all_four = np.diag(shares), shares.sum(axis=0)
            right.setdefault(f"stage{number}", []).extend(own > (all_four - own) / 3)
    return {stage: float(np.mean(found)) for stage, found in right.items()}


def test_the_place_that_a_crop_was_cut_from_lights_up() -> None:
    data = Path(skimage.__file__).parent / "data"
    found = _quarters_light_up([str(data / name) for name in PHOTOGRAPHS])
    assert len(found) == 4
    assert min(found.values()) > 0.85, found  # half would be chance


def test_the_place_that_a_crop_was_cut_from_lights_up_on_landscapes() -> None:
    if not (folder := os.environ.get("REGCONV_DATA")) or not (paths := sorted(Path(folder).glob("snaps/*.jpg"))[:12]):
        pytest.skip("needs the photographs of REGCONV_DATA/snaps")
    found = _quarters_light_up([str(path) for path in paths])
    assert min(found.values()) > 0.95, found
