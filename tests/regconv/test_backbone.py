"""The application's door to a network: descriptions without torch, vectors equal to transformers and NumPy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regconv import (
    CheckpointError,
    DeviceNotFound,
    ModelNotFound,
    RegNetForImageClassification,
    UnsupportedConfig,
    describe,
    load_backbone,
)
from regconv.backbone import Backbone, StageInfo

FAMILIES = ["regnet-x", "regnet-y", "convnext"]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def rewrite_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestDescribe:
    def test_a_regnet(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y", id2label={0: "cat", 1: "dog"})
        description = describe(str(folder))
        assert (description.name, description.folder) == (str(folder), folder)
        assert description.parts == (("stage1", 14), ("stage2", 18), ("stage3", 22))
        assert description.pooled == "stage3"
        assert description.stages == (
            StageInfo("stem", 10, 2), StageInfo("stage1", 14, 4), StageInfo("stage2", 18, 8), StageInfo("stage3", 22, 16),
        )  # fmt: skip
        assert description.labels == {0: "cat", 1: "dog"}
        assert description.note is None
        assert (description.recipe.size, description.recipe.crop_pct, description.recipe.resample) == (64, 0.875, 3)

    def test_a_convnext_has_the_pooled_vector_as_a_part_of_its_own(self, tiny_checkpoint: Any) -> None:
        description = describe(tiny_checkpoint("convnext"))
        assert description.parts == (("stage1", 8), ("stage2", 12), ("stage3", 20), ("pooled", 20))
        assert description.pooled == "pooled"
        assert [stage.stride for stage in description.stages] == [4, 4, 8, 16]

    def test_preprocessing_is_complete_and_can_be_written_as_json(self, tiny_checkpoint: Any) -> None:
        values = describe(tiny_checkpoint("regnet-x")).preprocessing
        assert json.loads(json.dumps(values)) == values
        assert values | {"decode": None} == {
            "size": 64, "crop_pct": 0.875, "resample": 3, "rescale_factor": 1 / 255, "image_mean": MEAN.tolist(),
            "image_std": STD.tolist(), "exif": "upright", "decode": None,
        }  # fmt: skip
        assert "pillow" in values["decode"]

    @pytest.mark.parametrize("layout", [{}, {"safe_serialization": False}, {"max_shard_size": 8000}])
    @pytest.mark.parametrize("head", [True, False])
    def test_labels_are_there_exactly_when_the_file_has_a_head(
        self, head: bool, layout: dict[str, Any], tiny_checkpoint: Any
    ) -> None:
        from regconv import ConvNextForImageClassification, ConvNextModel

        folder = tiny_checkpoint("convnext", head=head)
        kind = ConvNextForImageClassification if head else ConvNextModel
        kind.from_pretrained(folder).save_pretrained(folder, **layout)
        description = describe(folder)
        assert len(description.labels) == (7 if head else 0)
        parts = load_backbone(description).embed(np.zeros((2, 64, 64, 3), np.uint8))
        assert parts.labels.shape == parts.scores.shape == (2, 5 if head else 0)

    def test_the_tensors_say_whether_there_is_a_head_whatever_architectures_says(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y", head=False)
        rewrite_json(folder / "config.json", architectures=["RegNetForImageClassification"])
        assert describe(folder).labels == {}

    def test_the_note_comes_from_the_configuration(self, tiny_checkpoint: Any) -> None:
        assert describe(tiny_checkpoint("regnet-x", regconv_note="Hello.")).note == "Hello."

    def test_no_torch_is_imported(self, tiny_checkpoint: Any) -> None:
        code = (
            "import sys; from regconv.backbone import describe; describe(sys.argv[1]); "
            "assert not {'torch', 'transformers'} & sys.modules.keys(), 'too early'"
        )
        folder = tiny_checkpoint("convnext")
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=Path(__file__).parents[2], timeout=60)

    def test_the_digest_cache_is_filled(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        cache = tmp_path / "cache" / "digests.json"
        description = describe(tiny_checkpoint("regnet-x"), digest_cache=cache)
        assert description.weights_digest in json.loads(cache.read_text()).values()


class TestSpace:
    def test_copies_share_a_space(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        import shutil

        folder = tiny_checkpoint("regnet-y")
        shutil.copytree(folder, tmp_path / "copy")
        assert describe(folder).space == describe(tmp_path / "copy").space
        rewrite_json(folder / "config.json", id2label={str(index): f"other {index}" for index in range(7)}, extra=1)
        assert describe(folder).space == describe(tmp_path / "copy").space, "labels and notes change no vector"

    @pytest.mark.parametrize(
        "changes",
        [
            {"size": {"shortest_edge": 65}}, {"crop_pct": 0.9}, {"resample": 2}, {"image_mean": [0.5, 0.456, 0.406]},
            {"image_std": [0.5, 0.224, 0.225]}, {"rescale_factor": 1 / 256}, {"do_normalize": False},
            {"do_rescale": False},
        ],
    )  # fmt: skip
    def test_every_preprocessing_value_makes_another(self, changes: dict[str, Any], tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        before = describe(folder).space
        rewrite_json(folder / "preprocessor_config.json", **changes)
        assert describe(folder).space != before

    def test_weights_and_effective_configuration_make_another(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        spaces = {describe(folder).space}
        rewrite_json(folder / "config.json", hidden_act="silu")
        spaces.add(describe(folder).space)
        path = folder / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        spaces.add(describe(folder).space)
        assert len(spaces) == 3

    def test_the_decode_recipe_belongs_to_it(self, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        import PIL

        folder = tiny_checkpoint("regnet-y")
        before = describe(folder).space
        monkeypatch.setattr(PIL, "__version__", "99.0")
        assert describe(folder).space != before


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"do_resize": False}, "do_resize is false"),
            ({"size": {"height": 64, "width": 64}}, "size is"),
            ({"resample": 9}, "resample is 9"),
            ({"crop_pct": 1.5}, r"crop_pct is 1\.5"),
            ({"image_std": [0, 1, 1]}, "divided by 0"),
            ({"image_mean": [0.5, 0.5]}, "image_mean is"),
        ],
    )
    def test_preprocessing_that_cannot_be_done(
        self, changes: dict[str, Any], message: str, tiny_checkpoint: Any
    ) -> None:
        folder = tiny_checkpoint("regnet-x")
        rewrite_json(folder / "preprocessor_config.json", **changes)
        with pytest.raises((UnsupportedConfig, CheckpointError), match=message):
            describe(folder)

    def test_missing_files(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        folder = tiny_checkpoint("regnet-x")
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(ModelNotFound, match=r"preprocessor_config\.json is not there"):
            describe(folder)
        with pytest.raises(ModelNotFound, match=r"holds no config\.json"):
            describe(tmp_path)

    def test_grey_networks(self, tiny_checkpoint: Any) -> None:
        with pytest.raises(UnsupportedConfig, match="num_channels is 1"):
            describe(tiny_checkpoint("regnet-x", num_channels=1))

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
