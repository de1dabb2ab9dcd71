"""What is saved is what is loaded, in every layout; a failed save costs nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from regconv import (
    CheckpointError,
    ConvNextForImageClassification,
    ConvNextModel,
    ModelNotFound,
    RegNetForImageClassification,
    RegNetModel,
    UnsupportedConfig,
)
from regconv import checkpoint as files
from regconv.checkpoint import find_weights
from regconv.checkpoint_reading import tensor_names

FAMILIES = {"regnet-y": RegNetForImageClassification, "convnext": ConvNextForImageClassification}
BARE = {"regnet-y": RegNetModel, "convnext": ConvNextModel}


def same_tensors(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("family", FAMILIES)
class TestRoundTrip:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, {"model.safetensors"}),
            ({"safe_serialization": False}, {"pytorch_model.bin"}),
            (
                {"max_shard_size": "8KB"},
                {r"model-\d{5}-of-\d{5}.safetensors", "model.safetensors.index.json"},
            ),
            (
                {"max_shard_size": 8000, "safe_serialization": False},
                {r"pytorch_model-\d{5}-of-\d{5}.bin", "pytorch_model.bin.index.json"},
            ),
        ],
    )
    def test_every_layout(
        self, family: str, options: dict[str, Any], expected: set[str], tiny_checkpoint: Any, tmp_path: Path
    ) -> None:
        network = FAMILIES[family].from_pretrained(tiny_checkpoint(family))
        target = tmp_path / "saved"
        network.save_pretrained(target, **options)
        names = {path.name for path in target.iterdir()} - {"config.json"}
        assert {pattern for pattern in expected if any(re.fullmatch(pattern, name) for name in names)} == expected
        assert (len(names) > 2) == ("max_shard_size" in options)
        again, info = FAMILIES[family].from_pretrained(target, output_loading_info=True)
        assert same_tensors(network, again)
        assert not any(info.values())
        assert not again.training
        assert again.config.architectures == [FAMILIES[family].__name__]
        assert again.config.torch_dtype == "float32"

    def test_safetensors_say_that_they_are_for_pytorch(self, family: str, tiny_checkpoint: Any) -> None:
        with safe_open(tiny_checkpoint(family) / "model.safetensors", "pt") as file:
            assert file.metadata() == {"format": "pt"}

    def test_the_file_can_be_replaced_while_the_network_lives(self, family: str, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint(family)
        network = FAMILIES[family].from_pretrained(folder)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        with (folder / "model.safetensors").open("r+b") as file:
            file.write(b"\0" * (folder / "model.safetensors").stat().st_size)
        assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())

    def test_dtypes(self, family: str, tiny_checkpoint: Any, tmp_path: Path) -> None:
        network = FAMILIES[family].from_pretrained(tiny_checkpoint(family), dtype=torch.float16)
        assert network.dtype == torch.float16
        network.save_pretrained(tmp_path / "half")
        assert FAMILIES[family].from_pretrained(tmp_path / "half").dtype == torch.float32
        assert FAMILIES[family].from_pretrained(tmp_path / "half", dtype="auto").dtype == torch.float16
        assert FAMILIES[family].from_pretrained(tmp_path / "half", torch_dtype="bfloat16").dtype == torch.bfloat16
        with pytest.raises(UnsupportedConfig, match="dtype got 'int8'"):
            FAMILIES[family].from_pretrained(tmp_path / "half", dtype="int8")

    def test_keywords_override_the_configuration(self, family: str, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint(family)
        network = FAMILIES[family].from_pretrained(folder, output_hidden_states=True, hidden_act="selu")
        assert network.config.hidden_act == "selu"
        assert len(network(torch.randn(1, 3, 32, 32)).hidden_states) == 4
        with pytest.raises(TypeError, match="no field hidden_atc"):
            FAMILIES[family].from_pretrained(folder, hidden_atc="selu")
        config = network.config
        assert FAMILIES[family].from_pretrained(folder, config=config).config is config
        with pytest.raises(TypeError, match="num_labels must be set on it"):
            FAMILIES[family].from_pretrained(folder, config=config, num_labels=3)

    def test_bare_and_head_read_each_other(self, family: str, tiny_checkpoint: Any) -> None:
        with_head, bare = tiny_checkpoint(family), tiny_checkpoint(family, head=False)
        head_names = {"classifier.1.weight", "classifier.1.bias"}
        if family == "convnext":
            head_names = {"classifier.weight", "classifier.bias"}
        network, info = BARE[family].from_pretrained(with_head, output_loading_info=True)
        assert same_tensors(network, FAMILIES[family].from_pretrained(with_head).base_model)
        assert (set(info["unexpected_keys"]), info["missing_keys"]) == (head_names, [])
        network, info = FAMILIES[family].from_pretrained(bare, output_loading_info=True)
        assert same_tensors(network.base_model, BARE[family].from_pretrained(bare))
        assert (set(info["missing_keys"]), info["unexpected_keys"]) == (head_names, [])
        head = network.classifier[1] if family != "convnext" else network.classifier
        assert head.weight.isfinite().all()
        assert 0 < head.weight.abs().max() < 1


class TestChoice:
    def test_use_safetensors_chooses_among_both(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        network = RegNetForImageClassification.from_pretrained(folder)
        zeros = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
        torch.save(zeros, folder / "pytorch_model.bin")
        assert same_tensors(network, RegNetForImageClassification.from_pretrained(folder))
        pickled = RegNetForImageClassification.from_pretrained(folder, use_safetensors=False)
        assert not any(parameter.any() for parameter in pickled.parameters())
        (folder / "model.safetensors").unlink()
        with pytest.raises(
            ModelNotFound, match=r"looked for model\.safetensors, model\.safetensors\.index\.json; it has pyt"
        ):
            RegNetForImageClassification.from_pretrained(folder, use_safetensors=True)

    def test_tensor_names_without_reading_tensors(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        network = RegNetForImageClassification.from_pretrained(folder)
        assert tensor_names(find_weights(folder)) == set(network.state_dict())
        network.save_pretrained(folder, max_shard_size=8000, safe_serialization=False)
        assert tensor_names(find_weights(folder)) == set(network.state_dict())
        network.save_pretrained(folder, safe_serialization=False)
        assert tensor_names(find_weights(folder)) is None


class TestSaving:
    def test_a_later_save_leaves_no_older_weights_behind(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        network = RegNetForImageClassification.from_pretrained(folder)
        (folder / "notes.txt").write_text("mine")
        for options in ({"max_shard_size": 8000}, {"safe_serialization": False}, {"max_shard_size": 20000}, {}):
            with torch.no_grad():
                network.classifier[1].bias += 1
            network.save_pretrained(folder, **options)
            assert same_tensors(network, RegNetForImageClassification.from_pretrained(folder))
        kept = {"config.json", "model.safetensors", "notes.txt", "preprocessor_config.json"}
        assert {path.name for path in folder.iterdir()} == kept

    @pytest.mark.parametrize("fails_at", ["tensors", "sync", "config"])
    def test_a_full_disk_leaves_the_earlier_checkpoint_whole(
        self, fails_at: str, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tiny_checkpoint("regnet-y")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        network = RegNetForImageClassification.from_pretrained(folder)
        with torch.no_grad():
            network.classifier[1].bias += 1
        full = OSError(28, "No space left on device")

        def refuse(*_: Any, **__: Any) -> None:
            raise full

        def half_written(_: Any, path: Path, *__: Any) -> None:
            path.write_bytes(b"half")
            raise full

        if fails_at == "tensors":
            monkeypatch.setattr("safetensors.torch.save_file", half_written)
        elif fails_at == "sync":
            monkeypatch.setattr(files, "_sync", refuse)
        else:
            monkeypatch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(CheckpointError, match=r"could not be saved.*No space left"):
            network.save_pretrained(folder)
        monkeypatch.undo()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_a_processor_is_saved_with_the_network(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        from regconv import ConvNextImageProcessor

        folder = tiny_checkpoint("regnet-y")
        processor = ConvNextImageProcessor.from_pretrained(folder)
        RegNetModel.from_pretrained(folder).save_pretrained(tmp_path / "new", processor=processor)
        assert ConvNextImageProcessor.from_pretrained(tmp_path / "new").size == {"shortest_edge": 64}

    def test_a_file_where_the_folder_should_be(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        network = RegNetModel.from_pretrained(tiny_checkpoint("regnet-y"))
        with pytest.raises(CheckpointError, match="could not be saved in"):
            network.save_pretrained(tmp_path / "taken")
