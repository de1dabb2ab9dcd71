"""A checkpoint's files: which weights a folder holds, in one piece or in shards; JSON, safe writing, digests.

What is in the weights is for regconv.checkpoint_reading, how they are written for regconv.checkpoint_writing. Nothing
here needs a framework.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, Literal

from regconv.errors import CheckpointError, ModelNotFound

CONFIG_NAME = "config.json"
PREPROCESSOR_NAME = "preprocessor_config.json"
SAFETENSORS_NAME = "model.safetensors"
PICKLE_NAME = "pytorch_model.bin"
TENSORFLOW_NAME = "tf_model.h5"
FLAX_NAME = "flax_model.msgpack"
INDEX_ENDING = ".index.json"

MadeBy = Literal["pt", "tf", "flax"]  # as safetensors files have it in their metadata
# The one kind of file that each framework has to itself.
_OWN_KIND: dict[MadeBy, str] = {"pt": PICKLE_NAME, "tf": TENSORFLOW_NAME, "flax": FLAX_NAME}

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Weights:
    """The weight files of one checkpoint that are read, shards in order; `index` is the file that lists them."""

    paths: tuple[Path, ...]
    index: Path | None = None

    @property
    def made_by(self) -> MadeBy:
        """The framework whose names and axes are in the files."""
        suffix = self.paths[0].suffix
        if suffix == ".safetensors":
            return read_header(self.paths[0])[1]
        return next(made_by for made_by, name in _OWN_KIND.items() if name.endswith(suffix))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelNotFound without the file, CheckpointError when it holds anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFound(f"{path} is not there: a checkpoint folder holds {path.name}") from error
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a JSON {type(values).__name__}, expected an object")
    return values


def weight_names(use_safetensors: bool | None = None, made_by: MadeBy | None = None) -> tuple[str, ...]:
    """The file names to look for, in this order; True allows safetensors only, False all but these, None all.

    made_by: the files of one framework only; safetensors files may be of any, so their header must be asked.
    """
    kinds = [SAFETENSORS_NAME, *([_OWN_KIND[made_by]] if made_by else _OWN_KIND.values())]
    if made_by in ("tf", "flax"):
        kinds.reverse()  # safetensors are rarely theirs
    if use_safetensors is not None:
        kinds = [kind for kind in kinds if (kind == SAFETENSORS_NAME) == use_safetensors]
    return tuple(name for kind in kinds for name in (kind, kind + INDEX_ENDING))


def find_weights(folder: Path, use_safetensors: bool | None = None, made_by: MadeBy | None = None) -> Weights:
    """The weight files of a folder. Raises ModelNotFound (none) and CheckpointError (a shard is missing)."""
    names = weight_names(use_safetensors, made_by)
    for name in names:
        path = folder / name
        if path.is_file():
            weights = weights_at(path)
            if made_by is None or weights.made_by == made_by:
                return weights
    others = [name for name in weight_names() if name not in names and (folder / name).is_file()]
    hint = f"; it has {', '.join(others)}, which these options leave out" if others else ""
    only = f" of {made_by!r}" if made_by else ""
    raise ModelNotFound(f"{folder} holds no weights{only}: looked for {', '.join(names)}{hint}")


def shard_names(index: Path) -> list[str]:
    """The file names that an index file refers to, each once, in the order of their names."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map, so its shards are unknown")
    names = set(map(str, weight_map.values()))
    if any(Path(name).name != name for name in names):
        raise CheckpointError(f"{index} names files outside of its folder: {sorted(names)}")
    return sorted(names)


def weights_at(path: Path) -> Weights:
    """The weights of one file, or those that an index file lists. Raises CheckpointError (a shard is missing)."""
    if not path.name.endswith(INDEX_ENDING):
        return Weights((path,))
    shards = tuple(path.parent / name for name in shard_names(path))
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(f"{path} lists shards that are not there: {', '.join(missing)}")
    ending = path.name.removesuffix(INDEX_ENDING).rpartition(".")[2]
    if any(shard.suffix != f".{ending}" for shard in shards):
        raise CheckpointError(f"{path} lists files that do not end in .{ending}: {', '.join(s.name for s in shards)}")
    return Weights(shards, path)


def read_header(path: Path) -> tuple[dict[str, Any], MadeBy]:
    """Name -> {"dtype", "shape", "data_offsets"} of a safetensors file, and the framework whose names and axes it has.

    Offsets count from the file's beginning. Raises CheckpointError for damage and for unknown frameworks.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise CheckpointError(f"{path} is no safetensors file, or cut off ({size} bytes): download it again")
        try:
            header = json.loads(file.read(length))
            metadata = header.pop("__metadata__", None) or {}
            for entry in header.values():
                entry["data_offsets"] = [8 + length + index(offset) for offset in entry["data_offsets"]]
            begins, ends = ([entry["data_offsets"][side] for entry in header.values()] for side in (0, 1))
            written_by = metadata.get("format", "pt")
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError) as error:
            raise CheckpointError(f"{path}: the safetensors header is damaged: {error}") from error
    if min(begins, default=size) < 8 + length:
        raise CheckpointError(f"{path}: the safetensors header is damaged: a tensor begins before the header's end")
    if ends and max(ends) != size:
        raise CheckpointError(f"{path} has {size} bytes, its header says {max(ends)}: download it again")
    made_by = next((framework for framework in _OWN_KIND if framework == written_by), None)
    if made_by is None:
        raise CheckpointError(
            f"{path} was written in the layout of {written_by!r}, expected one of {', '.join(_OWN_KIND)}: save it again "
            "from one of these"
        )
    return header, made_by


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
