"""Which differences between a file's names and a network's are fine, and which are listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from regconv import ConvNextForImageClassification, RegNetForImageClassification, RegNetModel, WeightsMismatch


def rewrite(folder: Path, change: Any, metadata: dict[str, str] | None = None) -> None:
    """Applies `change` to the tensors of model.safetensors in the folder."""
    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata or {"format": "pt"})


def same_tensors(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


class TestNames:
    def test_old_files_without_batch_counters_load_and_say_so(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        rewrite(folder, lambda t: {k: v for k, v in t.items() if not k.endswith("num_batches_tracked")})
        network, info = RegNetForImageClassification.from_pretrained(folder, output_loading_info=True)
        assert info["missing_keys"]
        assert all(name.endswith("num_batches_tracked") for name in info["missing_keys"])
        assert network.regnet.embedder["embedder"].normalization.num_batches_tracked == 0
        stored = load_file(folder / "model.safetensors")
        assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in stored.items())

    def test_other_differences_are_listed_with_plus_and_minus(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("convnext")
        rewrite(folder, lambda t: {k.replace("pwconv1", "pwconv9"): v for k, v in t.items()})
        with pytest.raises(WeightsMismatch) as caught:
            ConvNextForImageClassification.from_pretrained(folder)
        lines = str(caught.value).splitlines()
        assert "+ convnext.encoder.stages.0.layers.0.pwconv9.bias" in lines
        assert "- convnext.encoder.stages.0.layers.0.pwconv1.bias" in lines
        assert sum(line.startswith("+ ") for line in lines) == sum(line.startswith("- ") for line in lines) == 8
        assert isinstance(caught.value, RuntimeError)

    def test_half_a_head_is_not_a_missing_head(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        rewrite(folder, lambda t: {k: v for k, v in t.items() if k != "classifier.1.bias"})
        with pytest.raises(WeightsMismatch, match=r"- classifier\.1\.bias"):
            RegNetForImageClassification.from_pretrained(folder)

    def test_weights_of_another_depth_are_refused_also_for_a_bare_network(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(values | {"depths": [1, 1, 1]}))
        for kind in (RegNetModel, RegNetForImageClassification):
            with pytest.raises(WeightsMismatch, match=r"\+ regnet\.encoder\.stages\.1\.layers\.1"):
                kind.from_pretrained(folder)

    def test_long_lists_are_cut(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        rewrite(folder, lambda t: {"x." + k: v for k, v in t.items()})
        with pytest.raises(WeightsMismatch, match=r"… and [0-9]+ more"):
            RegNetForImageClassification.from_pretrained(folder)

    def test_other_shapes(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        with pytest.raises(WeightsMismatch, match=r"classifier\.1\.bias: \(7,\) in the file, \(5,\) in the network"):
            RegNetForImageClassification.from_pretrained(folder, num_labels=5)
        network, info = RegNetForImageClassification.from_pretrained(
            folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )
        assert info["mismatched_keys"] == [
            ("classifier.1.weight", (7, 22), (5, 22)), ("classifier.1.bias", (7,), (5,)),
        ]  # fmt: skip
        assert network(torch.randn(1, 3, 32, 32)).logits.shape == (1, 5)
        assert same_tensors(network.regnet, RegNetModel.from_pretrained(folder))
