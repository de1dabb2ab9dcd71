"""Bytes changed, cut and planted in weights of every kind: CheckpointError with the file's name, or a clean load.

Whole checkpoints are those of tests/golden/older_software; what HDF5 and MessagePack can hold besides is written here.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import h5py
import msgpack
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from regconv import CheckpointError, ConvNextModel, RegNetModel, WeightsMismatch
from regconv.checkpoint import Weights, find_weights
from regconv.checkpoint_reading import read_arrays, read_tensors, shapes

GOLDEN = Path(__file__).parents[1] / "golden" / "older_software"
KINDS = {
    "tf-regnet-y-h5": "tf_model.h5",
    "tf-regnet-y-safetensors": "model.safetensors",
    "flax-regnet-y-msgpack": "flax_model.msgpack",
    "pytorch": "pytorch_model.bin",
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Any:
    """kind -> (folder, weights file): a copy that may be damaged."""

    def make(kind: str) -> tuple[Path, Path]:
        golden = GOLDEN / (kind if kind != "pytorch" else "tf-regnet-y-h5")
        folder = shutil.copytree(golden, tmp_path / kind)
        if kind == "pytorch":
            RegNetModel.from_pretrained(golden).save_pretrained(folder, safe_serialization=False)
            (folder / "tf_model.h5").unlink()
        return folder, folder / KINDS[kind]

    return make


def array(shape: Any, dtype: str, values: bytes, code: int = 1) -> msgpack.ExtType:
    """An array as Flax packs it, or something that looks like one."""
    return msgpack.ExtType(code, msgpack.packb((shape, dtype, values)))


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    @pytest.mark.parametrize("damage", ["empty", "garbage", "half", "all but the end"])
    def test_cut_off_or_something_else(self, kind: str, damage: str, checkpoint: Any) -> None:
        folder, path = checkpoint(kind)
        whole = path.read_bytes()
        new = {"empty": b"", "garbage": b"no weights" * 1000, "half": whole[: len(whole) // 2]}
        path.write_bytes(new.get(damage, whole[:-50]))
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            RegNetModel.from_pretrained(folder)

    def test_bytes_changed_at_random(self, kind: str, checkpoint: Any) -> None:
        folder, path = checkpoint(kind)
        whole = path.read_bytes()
        structure = min(len(whole), 20_000)  # names and places come first in all of them
        draw = random.Random(kind)
        refusals = []
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(draw.choice([1, 1, 4, 30])):
                damaged[draw.randrange(structure)] = draw.randrange(256)
            path.write_bytes(damaged)
            try:
                RegNetModel.from_pretrained(folder)
            except CheckpointError as error:
                refusals.append(str(error))
        assert len(refusals) > 5
        assert all(str(path) in refusal for refusal in refusals)


class TestMessagePack:
    def refusal(self, folder: Path, content: Any) -> str:
        path = folder / "flax_model.msgpack"
        path.write_bytes(content if isinstance(content, bytes) else msgpack.packb(content))
        with pytest.raises(CheckpointError, match=re.escape(f"{path} is no Flax checkpoint, or damaged")) as caught:
            shapes(Weights((path,)))
        return str(caught.value)

    @pytest.mark.parametrize(
        "content",
        [
            {"a": array([2], "float32", bytes(7))},  # too few bytes
            {"a": array([-2], "float32", bytes(8))},
            {"a": array([2.0], "float32", bytes(8))},
            {"a": array(2, "float32", bytes(8))},
            {"a": array([1 << 62, 4], "float32", bytes(8))},
            {"a": array([1], "object", bytes(8))},
            {"a": array([1], "O", bytes(8))},
            {"a": array([1], ["float32"], bytes(8))},
            {"a": array([1], "complex64", bytes(8), code=2)},
            {"a": array([1], "float32", "text")},
            {"a": msgpack.ExtType(1, b"")},
            {"a": msgpack.ExtType(5, b"pickle")},
            {"a": msgpack.Timestamp(1)},
            {"a": b"bytes"},
            {"a": [1, 2]},
            {"a": {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {}}},
            {"a": {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {"1": array([3], "int8", b"abc")}}},
            {"a": {"__msgpack_chunked_array__": True, "shape": {"0": 4}, "chunks": {"0": array([3], "int8", b"abc")}}},
            b"\xdf\xff\xff\xff\xff",  # a map of 2^32 - 1 entries, none of them there
            b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",  # an array of 4 GiB, not there
            b"\x81\xa1a" * 100_000 + b"\x01",
            b"\xc1",
            msgpack.packb({}) + b"more",
        ],
    )
    def test_what_is_not_an_array(self, content: Any, tmp_path: Path) -> None:
        self.refusal(tmp_path, content)

    def test_arrays_in_chunks(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).normal(size=(3, 3, 5, 7)).astype(np.float32)
        parts = np.array_split(values.reshape(-1), [100, 101, 250])
        chunks = {str(n): array(list(part.shape), "float32", part.tobytes()) for n, part in enumerate(parts)}
        shape = {str(axis): side for axis, side in enumerate(values.shape)}
        chunked = {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}
        whole = array([2], "float16", np.array([1, 2], np.float16).tobytes())
        path = tmp_path / "flax_model.msgpack"
        path.write_bytes(msgpack.packb({"params": {"conv": {"kernel": chunked, "bias": whole}}}))
        found = dict(read_arrays(Weights((path,))))
        assert shapes(Weights((path,))) == {"conv.weight": (7, 5, 3, 3), "conv.bias": (2,)}
        assert np.array_equal(found["conv.weight"], values.transpose(3, 2, 0, 1))
        assert found["conv.bias"].tolist() == [1, 2]

    def test_bfloat16_and_numbers(self, tmp_path: Path) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="comes with requirements-jax.txt")
        values = np.array([1.5, -2.0, 0.1], ml_dtypes.bfloat16)
        path = tmp_path / "flax_model.msgpack"
        number = array([], "float32", np.float32(7).tobytes(), code=3)
        path.write_bytes(msgpack.packb({"params": {"a": array([3], "bfloat16", values.tobytes()), "b": number}}))
        arrays, tensors = (dict(read(Weights((path,)))) for read in (read_arrays, read_tensors))
        assert arrays["a"].dtype == ml_dtypes.bfloat16
        assert np.array_equal(arrays["a"], values)
        assert tensors["a"].dtype == torch.bfloat16
        assert tensors["a"].tolist() == values.tolist()
        assert (arrays["b"].shape, float(arrays["b"])) == ((), 7)


class TestHDF5:
    def test_values_in_other_files_are_never_fetched(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(bytes(range(16)))
        path = tmp_path / "tf_model.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("regnet.a:0", (16,), "uint8", external=[(str(secret), 0, 16)])
        with pytest.raises(CheckpointError, match=r"tf_model\.h5.*lies in another file, which is not opened"):
            dict(read_arrays(Weights((path,))))

    def test_nor_through_links_or_virtual_arrays(self, tmp_path: Path) -> None:
        other, path = tmp_path / "other.h5", tmp_path / "tf_model.h5"
        with h5py.File(other, "w") as file:
            file["hidden"] = np.arange(3.0)
        with h5py.File(path, "w") as file:
            file["linked"] = h5py.ExternalLink(str(other), "hidden")
            file["own"] = np.ones(2)
        assert shapes(Weights((path,))) == {"own": (2,)}
        layout = h5py.VirtualLayout((3,), float)
        layout[:] = h5py.VirtualSource(str(other), "hidden", (3,))
        with h5py.File(path, "w") as file:
            file.create_virtual_dataset("virtual", layout)
        with pytest.raises(CheckpointError, match="lies in another file"):
            shapes(Weights((path,)))

    def test_texts_and_references_are_no_weights(self, checkpoint: Any) -> None:
        folder, path = checkpoint("tf-regnet-y-h5")
        with h5py.File(path, "a") as file:
            file.create_dataset("note", data="words", dtype=h5py.string_dtype())
        with pytest.raises(CheckpointError, match=rf"{re.escape(str(path))} .*dtype is 'object'"):
            RegNetModel.from_pretrained(folder)

    def test_the_order_of_bytes_does_not_matter(self, tmp_path: Path) -> None:
        path = tmp_path / "tf_model.h5"
        with h5py.File(path, "w") as file:
            file["a.bias:0"] = np.array([1.5, 2.5], ">f4")
        assert dict(read_tensors(Weights((path,))))["a.bias"].tolist() == [1.5, 2.5]

    def test_an_array_of_any_size_that_no_network_expects_costs_nothing(self, checkpoint: Any) -> None:
        folder, path = checkpoint("tf-regnet-y-h5")
        with h5py.File(path, "a") as file:
            file.create_dataset("large", (1 << 40,), "float32", chunks=(1 << 20,))
        with pytest.raises(WeightsMismatch, match=r"\+ large"):
            RegNetModel.from_pretrained(folder)

    def test_the_scope_is_dropped_whatever_it_is(self, checkpoint: Any) -> None:
        folder, path = checkpoint("tf-regnet-y-h5")
        before = dict(read_arrays(find_weights(folder)))
        with h5py.File(path, "a") as file:
            for layer in file.values():
                for scope in list(layer):
                    layer.move(scope, "another_scope_17")
        after = dict(read_arrays(find_weights(folder)))
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)


class TestSafetensors:
    @pytest.mark.parametrize(
        "entry",
        [
            {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
            {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
            {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]},
            {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]},
            {"dtype": "F32", "shape": [2], "data_offsets": [-8, 8]},
            {"dtype": "F32", "shape": [2], "data_offsets": [0.0, 8]},
            {"dtype": "F32", "shape": [2], "data_offsets": "08"},
            {"dtype": "F32", "shape": [2], "data_offsets": [8]},
            {"dtype": "F32", "data_offsets": [0, 8]},
            {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]},
            {"dtype": "F4", "shape": [2], "data_offsets": [0, 8]},
            [1],
            None,
        ],
    )
    @pytest.mark.parametrize("metadata", [{"format": "pt"}, {"format": "tf"}])
    def test_headers_that_lie(self, entry: Any, metadata: Any, tmp_path: Path) -> None:
        path = tmp_path / "model.safetensors"
        header = json.dumps({"__metadata__": metadata, "a": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            dict(read_arrays(Weights((path,))))

    @pytest.mark.parametrize("metadata", [b'{"format": ["pt"]}', b"[1]", b'"pt"', b"[" * 50_000])
    def test_metadata_that_is_none(self, metadata: bytes, tmp_path: Path) -> None:
        path = tmp_path / "model.safetensors"
        header = b'{"__metadata__": ' + metadata + b"}"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            dict(read_arrays(Weights((path,))))

    def test_every_dtype_comes_as_it_is_stored(self, tmp_path: Path) -> None:
        path = tmp_path / "model.safetensors"
        names = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
        stored = {name: np.array([[0, 1], [1, 0]]).astype(name) for name in names}
        stored |= {"empty": np.zeros((0, 3), np.float32), "number": np.array(5)}
        save_file(stored, path)
        for read in (read_arrays, read_tensors):
            found = {name: np.asarray(values) for name, values in read(Weights((path,)))}
            assert {name: a.dtype for name, a in found.items()} == {name: a.dtype for name, a in stored.items()}
            assert all(np.array_equal(found[name], stored[name]) for name in stored)


def test_pickles_of_unusual_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    for unusual in (torch.eye(2).to_sparse(), torch.ones(2, device="meta"), torch.ones(2, dtype=torch.complex64)):
        torch.save({"a": unusual}, path)
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            dict(read_tensors(Weights((path,))))


def test_pickles_in_the_older_format_are_read(tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("convnext", head=False)
    network = ConvNextModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    again = ConvNextModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())
