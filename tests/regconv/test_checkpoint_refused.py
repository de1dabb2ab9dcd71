"""Files that are damaged, hostile or not there are refused by name; nothing in them is ever run."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from regconv import CheckpointError, ConvNextModel, ModelNotFound, RegNetModel


def rewrite(folder: Path, change: Any, metadata: dict[str, str] | None = None) -> None:
    """Applies `change` to the tensors of model.safetensors in the folder."""
    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata or {"format": "pt"})


class TestWhatIsRefused:
    def test_a_folder_without_weights_says_what_was_looked_for(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        (folder / "model.safetensors").unlink()
        with pytest.raises(ModelNotFound, match=r"model\.safetensors, .*pytorch_model\.bin"):
            RegNetModel.from_pretrained(folder)
        (folder / "tf_model.h5").touch()
        with pytest.raises(
            ModelNotFound, match=r"no weights of 'flax': .*it has tf_model\.h5, which these options leave"
        ):
            RegNetModel.from_pretrained(folder, from_flax=True)
        with pytest.raises(OSError, match=r"config\.json"):
            RegNetModel.from_pretrained(folder.parent)

    def test_safetensors_of_an_unknown_framework(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("convnext")
        rewrite(folder, lambda tensors: tensors, {"format": "mlx"})
        with pytest.raises(CheckpointError, match="layout of 'mlx', expected one of pt, tf, flax"):
            ConvNextModel.from_pretrained(folder)

    def test_safetensors_without_metadata_are_fine(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("convnext")
        path = folder / "model.safetensors"
        save_file(load_file(path), path)
        assert ConvNextModel.from_pretrained(folder)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[:-100],
            lambda data: data[:5],
            lambda data: b"",
            lambda data: data + b"x",
            lambda data: (2**62).to_bytes(8, "little") + data[8:],
            lambda data: data[:8] + b"]" + data[9:],
        ],
    )
    def test_damaged_safetensors(self, damage: Any, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        path = folder / "model.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            RegNetModel.from_pretrained(folder)

    def test_pickles_that_hold_more_than_tensors_are_never_run(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "sprung"),)

        folder = tiny_checkpoint("regnet-y")
        (folder / "model.safetensors").unlink()
        for written in (pickle.dumps({"x": Trap()}, protocol=2), None):
            if written is None:
                torch.save({"x": Trap()}, folder / "pytorch_model.bin")
            else:
                (folder / "pytorch_model.bin").write_bytes(written)
            with pytest.raises(CheckpointError, match=r"it is not opened|is damaged"):
                RegNetModel.from_pretrained(folder)
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04broken"])
    def test_damaged_pickles(self, content: bytes, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
            RegNetModel.from_pretrained(folder)

    def test_a_pickle_of_something_else(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        (folder / "model.safetensors").unlink()
        torch.save([1, 2], folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="no plain mapping"):
            RegNetModel.from_pretrained(folder)

    def test_missing_and_misleading_shards(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        RegNetModel.from_pretrained(folder).save_pretrained(folder, max_shard_size=8000)
        first = sorted(folder.glob("model-*.safetensors"))[0]
        hidden = first.rename(folder / "elsewhere")
        with pytest.raises(CheckpointError, match=f"not there: {first.name}"):
            RegNetModel.from_pretrained(folder)
        hidden.rename(first)
        index = folder / "model.safetensors.index.json"
        values = json.loads(index.read_text())
        for content, message in (
            ({"weight_map": values["weight_map"] | {"ghost": first.name}}, "no shard has.*ghost"),
            ({"weight_map": {"x": "../../etc/passwd"}}, "outside of its folder"),
            ({"weight_map": {"x": 5, "y": [first.name]}}, r"not there: 5, \['model-"),
            ({"weight_map": {"x": "config.json"}}, r"lists files that do not end in \.safetensors: config\.json"),
            ({}, "no weight_map"),
        ):
            index.write_text(json.dumps(content))
            with pytest.raises(CheckpointError, match=message):
                RegNetModel.from_pretrained(folder)

    def test_shard_sizes_are_checked(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        network = RegNetModel.from_pretrained(tiny_checkpoint("regnet-y"))
        with pytest.raises(ValueError, match="max_shard_size got 'big'"):
            network.save_pretrained(tmp_path, max_shard_size="big")
