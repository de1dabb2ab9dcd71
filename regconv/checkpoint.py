"""A checkpoint's files: config.json, weights as safetensors or pickled tensors, in one piece or in shards.

Reading a folder's file list, tensor names and digest needs no framework; only `read_tensors` and `weight_writers` load
torch. Files are the hub's (huggingface.co/docs/safetensors for the header). Pickles are read with weights_only=True.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regconv.errors import CheckpointError, ModelNotFound

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_NAME = "config.json"
PREPROCESSOR_NAME = "preprocessor_config.json"
SAFETENSORS_NAME = "model.safetensors"
PICKLE_NAME = "pytorch_model.bin"
INDEX_ENDING = ".index.json"
# The order in which a folder's weights are looked for.
WEIGHT_NAMES = (SAFETENSORS_NAME, SAFETENSORS_NAME + INDEX_ENDING, PICKLE_NAME, PICKLE_NAME + INDEX_ENDING)
OTHER_FRAMEWORKS = {"tf_model.h5": "TensorFlow", "flax_model.msgpack": "Flax"}

_ANY_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)(\.index\.json)?")
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_BLOCK_BYTES = 1 << 22
# What torch.load raises for bytes that were changed at random, found by trying.
_DAMAGED_PICKLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """The weight files of one checkpoint that are read, shards in order; `index` is the file that lists them."""

    paths: tuple[Path, ...]
    index: Path | None = None

    @property
    def is_safetensors(self) -> bool:
        return self.paths[0].suffix == ".safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelNotFound without the file, CheckpointError when it holds anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFound(f"{path} is not there: a checkpoint folder holds {path.name}") from error
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a JSON {type(values).__name__}, expected an object")
    return values


def weight_names(use_safetensors: bool | None) -> tuple[str, ...]:
    """The file names to look for; True allows safetensors only, False pickled files only, None both."""
    if use_safetensors is None:
        return WEIGHT_NAMES
    return WEIGHT_NAMES[:2] if use_safetensors else WEIGHT_NAMES[2:]


def find_weights(folder: Path, use_safetensors: bool | None = None) -> Weights:
    """The weight files of a folder. Raises ModelNotFound (none) and CheckpointError (a shard is missing)."""
    for name in weight_names(use_safetensors):
        path = folder / name
        if path.is_file():
            return _sharded(path) if name.endswith(INDEX_ENDING) else Weights((path,))
    others = [f"{name} ({made_by})" for name, made_by in OTHER_FRAMEWORKS.items() if (folder / name).is_file()]
    looked_for = ", ".join(weight_names(use_safetensors))
    hint = f"; it has {', '.join(others)}, which is not read here: convert it to {SAFETENSORS_NAME}" if others else ""
    raise ModelNotFound(f"{folder} holds no weights: looked for {looked_for}{hint}")


def shard_names(index: Path) -> list[str]:
    """The file names that an index file refers to, each once, in the order of their names."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map, so its shards are unknown")
    names = sorted(set(weight_map.values()))
    if any(Path(name).name != name for name in names):
        raise CheckpointError(f"{index} names files outside of its folder: {names}")
    return names


def _sharded(index: Path) -> Weights:
    paths = tuple(index.parent / name for name in shard_names(index))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise CheckpointError(f"{index} lists shards that are not there: {', '.join(missing)}")
    return Weights(paths, index)


def tensor_names(weights: Weights) -> set[str] | None:
    """The names in the files as far as they can be had without unpickling; None for one pickled file.

    Raises CheckpointError for a damaged safetensors file and for one that another framework wrote.
    """
    if weights.index is not None:
        return set(read_json(weights.index)["weight_map"])
    return set(read_header(weights.paths[0])) if weights.is_safetensors else None


def read_header(path: Path) -> dict[str, Any]:
    """Name -> {"dtype", "shape", "data_offsets"} of a safetensors file written for PyTorch.

    Raises CheckpointError for damage, and for the TensorFlow and Flax layouts, whose names would match nothing.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise CheckpointError(f"{path} is no safetensors file, or cut off ({size} bytes): download it again")
        try:
            header = json.loads(file.read(length))
            metadata = header.pop("__metadata__", None) or {}
            ends = [8 + length + entry["data_offsets"][1] for entry in header.values()]
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path}: the safetensors header is damaged: {error}") from error
    if ends and max(ends) != size:
        raise CheckpointError(f"{path} has {size} bytes, its header says {max(ends)}: download it again")
    if metadata.get("format", "pt") != "pt":
        raise CheckpointError(
            f"{path} was written in the layout of {metadata['format']!r}, expected 'pt': its tensors have other names "
            "and axes; save it again from PyTorch"
        )
    return header


def read_tensors(weights: Weights) -> dict[str, Tensor]:
    """Name -> tensor on the CPU, in the stored dtype. Raises CheckpointError for damaged or refused files."""
    tensors: dict[str, Tensor] = {}
    for path in weights.paths:
        tensors |= _read_safetensors(path) if weights.is_safetensors else _read_pickle(path)
    if weights.index is not None:
        listed = set(read_json(weights.index)["weight_map"])
        if listed - tensors.keys():
            raise CheckpointError(f"{weights.index} lists tensors that no shard has: {sorted(listed - tensors.keys())}")
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds something other than tensors, or is damaged; it is not opened") from error
    except _DAMAGED_PICKLE as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(values, Mapping) or not all(isinstance(value, torch.Tensor) for value in values.values()):
        raise CheckpointError(f"{path} holds no plain mapping of names to tensors")
    return dict(values)


def write_checkpoint(
    folder: Path, files: Mapping[str, bytes], tensors: Mapping[str, Tensor], *, safe: bool = True, shard_bytes: int
) -> None:
    """Writes weights and the given small files; an earlier checkpoint in the folder stays whole if this fails."""
    writers = weight_writers(tensors, safe=safe, shard_bytes=shard_bytes)
    write_files(folder, {**files, **writers})
    for path in folder.iterdir():
        # An older file of another kind would win over, or be mistaken for, what was just written.
        if _ANY_WEIGHTS.fullmatch(path.name) and path.name not in writers:
            path.unlink()


def weight_writers(
    tensors: Mapping[str, Tensor], *, safe: bool, shard_bytes: int
) -> dict[str, bytes | Callable[[Path], None]]:
    """File name -> what to put there: one weights file, or shards of about shard_bytes with their index."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    shards = _split(whole, shard_bytes)
    stem, ending = (SAFETENSORS_NAME if safe else PICKLE_NAME).rsplit(".", 1)
    if len(shards) == 1:
        return {f"{stem}.{ending}": _tensor_writer(whole, safe)}
    names = [f"{stem}-{number:05d}-of-{len(shards):05d}.{ending}" for number in range(1, len(shards) + 1)]
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in whole.values())},
        "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in sorted(shard)},
    }
    writers: dict[str, bytes | Callable[[Path], None]] = {
        name: _tensor_writer(shard, safe) for name, shard in zip(names, shards, strict=True)
    }
    writers[f"{stem}.{ending}{INDEX_ENDING}"] = (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
    return writers


def _split(tensors: dict[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.nbytes
    return shards


def _tensor_writer(tensors: dict[str, Tensor], safe: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if safe:
            from safetensors.torch import save_file

            save_file(tensors, path, metadata={"format": "pt"})
        else:
            import torch

            torch.save(tensors, path)

    return write


def write_files(folder: Path, files: Mapping[str, bytes | Callable[[Path], None]]) -> None:
    """Puts all files into the folder, or leaves it as it was: written under other names first, then renamed.

    Raises CheckpointError when the disk refuses.
    """
    written: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = folder / f".{name}.{os.getpid()}.partial"
            written.append((partial, folder / name))
            if callable(content):
                content(partial)
            else:
                partial.write_bytes(content)
            _sync(partial)
        for partial, final in written:
            partial.replace(final)
        _sync(folder)
    except Exception as error:
        for partial, _ in written:
            partial.unlink(missing_ok=True)
        raise CheckpointError(f"the checkpoint could not be saved in {folder}: {error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def weights_digest(weights: Weights, cache: Path | None = None) -> str:
    """Hex sha256 over the bytes of the weight files in order; known files are looked up in the JSON file `cache`.

    A file counts as known while its path, size and modification time are the same. A damaged cache is made anew.
    """
    known = _read_cache(cache)
    key = json.dumps([[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in weights.paths])
    if key in known:
        return known[key]
    digest = hashlib.sha256()
    for path in weights.paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    if cache is not None:
        known[key] = digest.hexdigest()
        write_files(cache.parent, {cache.name: json.dumps(known, indent=1).encode()})
    return digest.hexdigest()


def _read_cache(cache: Path | None) -> dict[str, str]:
    if cache is None:
        return {}
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
