"""Checkpoint files: what is read, what is refused, and that a failed save costs nothing."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from regconv import (
    CheckpointError,
    ConvNextForImageClassification,
    ConvNextModel,
    ModelNotFound,
    RegNetForImageClassification,
    RegNetModel,
    UnsupportedConfig,
    WeightsMismatch,
)
from regconv import checkpoint as files
from regconv.checkpoint import find_weights, weights_digest, write_files
from regconv.checkpoint_reading import tensor_names

FAMILIES = {"regnet-y": RegNetForImageClassification, "convnext": ConvNextForImageClassification}
BARE = {"regnet-y": RegNetModel, "convnext": ConvNextModel}


def rewrite(folder: Path, change: Any, metadata: dict[str, str] | None = None) -> None:
    """Applies `change` to the tensors of model.safetensors in the folder."""
    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata or {"format": "pt"})


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
            ({}, "no weight_map"),
        ):
            index.write_text(json.dumps(content))
            with pytest.raises(CheckpointError, match=message):
                RegNetModel.from_pretrained(folder)

    def test_shard_sizes_are_checked(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        network = RegNetModel.from_pretrained(tiny_checkpoint("regnet-y"))
        with pytest.raises(ValueError, match="max_shard_size got 'big'"):
            network.save_pretrained(tmp_path, max_shard_size="big")


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


class TestDigest:
    def test_it_is_the_hash_of_the_bytes_that_are_read(self, tiny_checkpoint: Any) -> None:
        import hashlib

        folder = tiny_checkpoint("regnet-y")
        whole = (folder / "model.safetensors").read_bytes()
        assert weights_digest(find_weights(folder)) == hashlib.sha256(whole).hexdigest()
        (folder / "pytorch_model.bin").write_bytes(b"not read")
        assert weights_digest(find_weights(folder)) == hashlib.sha256(whole).hexdigest()

    def test_the_cache_is_used_and_notices_changes(
        self, tiny_checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, cache = tiny_checkpoint("regnet-y"), tmp_path / "made" / "digests.json"
        first = weights_digest(find_weights(folder), cache)
        with monkeypatch.context() as patched:
            patched.setattr(files.hashlib, "sha256", lambda: pytest.fail("the file was read again"))
            # Only the constructor is called before the loop that reads.
            assert weights_digest(find_weights(folder), cache) == first
        path = folder / "model.safetensors"
        stamp = path.stat().st_mtime_ns
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(stamp + 1, stamp + 1))
        second = weights_digest(find_weights(folder), cache)
        assert second != first
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        assert weights_digest(find_weights(copy), cache) == second

    @pytest.mark.parametrize("content", ["", "{broken", "[]"])
    def test_a_damaged_cache_is_made_anew(self, content: str, tiny_checkpoint: Any, tmp_path: Path) -> None:
        folder, cache = tiny_checkpoint("regnet-y"), tmp_path / "digests.json"
        cache.write_text(content)
        digest = weights_digest(find_weights(folder), cache)
        assert digest in json.loads(cache.read_text()).values()


def test_write_files_is_all_or_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"started")
        raise OSError("no more")

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(CheckpointError, match="no more"):
        write_files(tmp_path, {"a": b"new", "b": fail})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}
    write_files(tmp_path, {"a": b"new", "b": lambda path: path.write_bytes(b"done")})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new", "b": b"done"}
