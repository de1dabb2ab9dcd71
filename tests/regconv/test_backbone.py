"""The application's door to a network: vectors equal to transformers and NumPy, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from regconv import (
    CheckpointError,
    DeviceNotFound,
    RegNetForImageClassification,
    describe,
    load_backbone,
)
from regconv.backbone import Backbone

FAMILIES = ["regnet-x", "regnet-y", "convnext"]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


class TestWhatIsRefused:
    @pytest.mark.parametrize("device", ["tpu", "cuda:x", "mps", "meta", ""])
    def test_unknown_devices(self, device: str, tiny_checkpoint: Any) -> None:
        with pytest.raises(DeviceNotFound, match="expected auto, cpu, cuda"):
            load_backbone(describe(tiny_checkpoint("regnet-x")), device=device)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
    def test_cuda_where_there_is_none(self, tiny_checkpoint: Any) -> None:
        description = describe(tiny_checkpoint("regnet-x"))
        with pytest.raises(DeviceNotFound, match=r"torch sees 0 CUDA devices.*--device cpu"):
            load_backbone(description, device="cuda:1")
        assert load_backbone(description, device="auto").device == "cpu"

    @pytest.mark.parametrize(
        "pictures",
        [np.zeros((2, 3, 64, 64), np.uint8), np.zeros((64, 64, 3), np.uint8), np.zeros((2, 64, 64, 3), np.float32)],
    )
    def test_other_arrays_than_pictures(self, pictures: np.ndarray, tiny_checkpoint: Any) -> None:
        with pytest.raises(ValueError, match=r"expected uint8 \(n, h, w, 3\)"):
            load_backbone(tiny_checkpoint("regnet-x")).embed(pictures)

    def test_values_that_are_not_finite_stop_the_job(self, tiny_checkpoint: Any, pictures: np.ndarray) -> None:
        folder = tiny_checkpoint("regnet-x")
        network = RegNetForImageClassification.from_pretrained(folder)
        with torch.no_grad():
            network.regnet.encoder["stages"][1]["layers"][0].layer[0].convolution.weight[0] = torch.nan
        network.save_pretrained(folder)
        with pytest.raises(CheckpointError, match="stage2 has values that are not finite"):
            load_backbone(folder).embed(pictures)


@pytest.mark.parametrize("family", FAMILIES)
class TestEmbed:
    def test_vectors_equal_those_of_transformers_and_numpy(
        self, family: str, tiny_checkpoint: Any, pictures: np.ndarray
    ) -> None:
        transformers = pytest.importorskip("transformers")
        folder = tiny_checkpoint(family)
        kind = "ConvNext" if family == "convnext" else "RegNet"
        theirs = getattr(transformers, kind + "ForImageClassification").from_pretrained(folder).eval()
        pixels = ((pictures / 255.0 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)
        with torch.no_grad():
            output = theirs(torch.from_numpy(pixels), output_hidden_states=True)
            pooled = getattr(theirs, theirs.base_model_prefix)(torch.from_numpy(pixels)).pooler_output.flatten(1)
        expected = [one.numpy().mean(axis=(2, 3)) for one in output.hidden_states[1:]]
        expected += [pooled.numpy()] if family == "convnext" else []

        backbone = load_backbone(str(folder), "cpu")
        parts = backbone.embed(pictures)
        assert parts.names == tuple(name for name, _ in backbone.description.parts)
        assert set(parts.vectors) == set(parts.norms) == set(parts.names)
        for name, reference in zip(parts.names, expected, strict=True):
            vectors, norms = parts.vectors[name], parts.norms[name]
            assert vectors.shape == reference.shape
            assert vectors.dtype == norms.dtype == np.float32
            assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
            lengths = np.linalg.norm(reference, axis=1)
            assert ((vectors * reference).sum(axis=1) / lengths).min() > 0.99999
            assert np.allclose(norms, lengths, rtol=1e-4)
        softmax = output.logits.softmax(dim=1).numpy()
        assert parts.labels.dtype == np.int64
        assert parts.labels.shape == (5, 5)
        for row in range(5):
            assert set(parts.labels[row]) == set(np.argsort(-softmax[row])[:5])
            assert np.allclose(parts.scores[row], softmax[row][parts.labels[row]], rtol=1e-3, atol=1e-6)
            assert (np.diff(parts.scores[row]) <= 0).all()

    def test_features_are_the_networks_own_and_their_means_the_vectors(
        self, family: str, tiny_checkpoint: Any, pictures: np.ndarray
    ) -> None:
        backbone = load_backbone(tiny_checkpoint(family))
        features, parts = backbone.features(pictures), backbone.embed(pictures)
        infos = backbone.description.stages
        for info, one in zip(infos, (features.stem, *features.stages), strict=True):
            assert one.shape == (5, info.channels, 64 // info.stride, 64 // info.stride)
            assert one.dtype == np.float32
        for info, one in zip(infos[1:], features.stages, strict=True):
            means = one.mean(axis=(2, 3))
            assert np.allclose(parts.vectors[info.name] * parts.norms[info.name][:, None], means, rtol=1e-3, atol=1e-4)
        pooled = backbone.description.pooled
        assert np.allclose(parts.vectors[pooled] * parts.norms[pooled][:, None], features.pooled, rtol=1e-3, atol=1e-4)
        assert features.logits is not None
        assert np.array_equal(features.logits.argmax(axis=1), parts.labels[:, 0])

    def test_a_bare_network_gives_no_labels(self, family: str, tiny_checkpoint: Any, pictures: np.ndarray) -> None:
        backbone = load_backbone(tiny_checkpoint(family, head=False))
        assert backbone.features(pictures).logits is None
        parts = backbone.embed(pictures)
        assert (parts.labels.shape, parts.labels.dtype, parts.scores.dtype) == ((5, 0), np.int64, np.float32)

    def test_batches_do_not_show(self, family: str, tiny_checkpoint: Any, pictures: np.ndarray) -> None:
        backbone = load_backbone(tiny_checkpoint(family))
        whole, features = backbone.embed(pictures), backbone.features(pictures)
        backbone.batch_size = 2
        cut, cut_features = backbone.embed(pictures), backbone.features(pictures)
        for name in whole.names:
            assert np.allclose(whole.vectors[name], cut.vectors[name], atol=1e-5)
        assert np.array_equal(whole.labels, cut.labels)
        assert cut_features.stages[1].shape == features.stages[1].shape

    def test_no_pictures_give_empty_vectors_of_the_right_width(self, family: str, tiny_checkpoint: Any) -> None:
        backbone = load_backbone(tiny_checkpoint(family))
        parts = backbone.embed(np.zeros((0, 64, 64, 3), np.uint8))
        assert {name: parts.vectors[name].shape for name in parts.names} == {
            name: (0, width) for name, width in backbone.description.parts
        }
        assert parts.labels.shape == (0, 5)


def test_a_vector_of_zeros_stays_zero(tiny_checkpoint: Any, pictures: np.ndarray) -> None:
    folder = tiny_checkpoint("regnet-x")
    network = RegNetForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        for layer in network.regnet.encoder["stages"][1]["layers"]:
            for norm in (layer.layer[2].normalization, getattr(layer.shortcut, "normalization", None)):
                if norm is not None:
                    norm.weight.zero_()
                    norm.bias.fill_(-1.0)
    network.save_pretrained(folder)
    parts = load_backbone(folder).embed(pictures)
    assert not parts.vectors["stage2"].any()
    assert parts.norms["stage2"].tolist() == [0.0] * 5


@pytest.mark.parametrize(
    "changes", [{"do_normalize": False}, {"do_rescale": False}, {"image_mean": 0.5, "image_std": 0.25}]
)
def test_pixels_are_prepared_as_the_file_says(
    changes: dict[str, Any], tiny_checkpoint: Any, pictures: np.ndarray
) -> None:
    folder = tiny_checkpoint("convnext", preprocessor=changes)
    backbone = load_backbone(folder)
    scaled = pictures.astype(np.float64) * (1 if "do_rescale" in changes else 1 / 255)
    if changes.get("do_normalize", True):
        scaled = (scaled - changes.get("image_mean", MEAN)) / changes.get("image_std", STD)
    with torch.no_grad():
        from regconv import ConvNextModel

        pixels = torch.from_numpy(scaled.astype(np.float32).transpose(0, 3, 1, 2).copy())
        expected = ConvNextModel.from_pretrained(folder)(pixels).pooler_output.numpy()
    assert np.allclose(backbone.features(pictures).pooled, expected, rtol=1e-3, atol=1e-4)


def test_what_computed_the_vectors_is_on_record(tiny_checkpoint: Any) -> None:
    backbone = load_backbone(tiny_checkpoint("regnet-x"), "cpu")
    assert isinstance(backbone, Backbone)
    assert (backbone.device, backbone.engine) == ("cpu", "eager")
    assert backbone.provenance == {
        "engine": "eager", "precision": "float32", "torch": torch.__version__, "device": "cpu",
    }  # fmt: skip
    assert backbone.batch_size >= 1
    assert isinstance(backbone.description.space, str)


def test_read_only_and_strided_pictures_are_taken_without_a_warning(tiny_checkpoint: Any, pictures: np.ndarray) -> None:
    backbone = load_backbone(tiny_checkpoint("regnet-x"))
    locked = pictures.copy()
    locked.flags.writeable = False
    expected = backbone.embed(pictures[:, :, ::-1].copy()).vectors["stage3"]
    assert np.allclose(backbone.embed(locked[:, :, ::-1]).vectors["stage3"], expected, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", FAMILIES)
def test_cuda_agrees_with_the_cpu(family: str, tiny_checkpoint: Any, pictures: np.ndarray) -> None:
    description = describe(tiny_checkpoint(family))
    host, device = load_backbone(description, "cpu"), load_backbone(description, "cuda")
    assert device.provenance["device"] != "cpu"
    for one, other in zip(host.features(pictures).stages, device.features(pictures).stages, strict=True):
        assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()
