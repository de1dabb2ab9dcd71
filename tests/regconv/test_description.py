"""What a model's files say of it, without torch: parts, strides, labels, preprocessing, and the space of its vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regconv import CheckpointError, ModelNotFound, UnsupportedConfig, describe, load_backbone
from regconv.backbone import StageInfo

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


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
            "size": 64, "crop_pct": 0.875, "resample": 3, "rescale_factor": 1 / 255, "image_mean": MEAN,
            "image_std": STD, "exif": "upright", "decode": None,
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
        with pytest.raises(ModelNotFound, match=r"holds no preprocessor_config\.json"):
            describe(folder)
        with pytest.raises(ModelNotFound, match=r"holds no config\.json"):
            describe(tmp_path)

    def test_grey_networks(self, tiny_checkpoint: Any) -> None:
        with pytest.raises(UnsupportedConfig, match="num_channels is 1"):
            describe(tiny_checkpoint("regnet-x", num_channels=1))
