"""Writing a checkpoint's weights: one safetensors or pickled file, or shards with their index, as the hub has them.

Tensors are torch's, NumPy's or still to be fetched, under hub names and axes. Shards are written one after the other:
what a network on another device or in another layout needs in memory is one shard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regconv.checkpoint import INDEX_ENDING, PICKLE_NAME, SAFETENSORS_NAME, write_files

if TYPE_CHECKING:
    from torch import Tensor

_ANY_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)(\.index\.json)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)(i?)B", re.IGNORECASE)


@dataclass(frozen=True)
class Unread:
    """An array that is fetched only when its shard is written, for frameworks that must copy it."""

    nbytes: int
    read: Callable[[], np.ndarray]


if TYPE_CHECKING:
    Values = Tensor | np.ndarray | Unread


def byte_count(size: int | str) -> int:
    """Bytes of a size such as 1000, "5GB" or "200MiB". Raises ValueError for anything else."""
    if isinstance(size, int):
        return size
    parts = _SIZE.fullmatch(size.strip())
    if parts is None:
        raise ValueError(f"max_shard_size got {size!r}, expected bytes or a size such as '5GB' or '200MiB'")
    power = " KMG".index(parts[2].upper() or " ")
    return int(float(parts[1]) * (1024 if parts[3] else 1000) ** power)


def write_checkpoint(
    folder: Path, files: Mapping[str, bytes], tensors: Mapping[str, Values], *, safe: bool = True, shard_bytes: int
) -> list[str]:
    """The names of the files written: weights and the given small files.

    An earlier checkpoint in the folder stays whole if this fails; afterwards its safetensors and pickled files are gone.
    tf_model.h5 and flax_model.msgpack stay as they are: what looks for weights of any kind reads these last.
    """
    writers = weight_writers(tensors, safe=safe, shard_bytes=shard_bytes)
    write_files(folder, {**files, **writers})
    for path in folder.iterdir():
        # Older safetensors would win over a pickle that was just written, older shards be mistaken for new ones.
        if _ANY_WEIGHTS.fullmatch(path.name) and path.name not in writers:
            path.unlink()
    return [*files, *writers]


def weight_writers(
    tensors: Mapping[str, Values], *, safe: bool, shard_bytes: int
) -> dict[str, bytes | Callable[[Path], None]]:
    """File name -> what to put there: one weights file, or shards of about shard_bytes with their index."""
    shards = _split(tensors, shard_bytes)
    stem, ending = (SAFETENSORS_NAME if safe else PICKLE_NAME).rsplit(".", 1)
    write = _write_safetensors if safe else _write_pickle
    if len(shards) == 1:
        return {f"{stem}.{ending}": lambda path: write(path, shards[0])}
    names = [f"{stem}-{number:05d}-of-{len(shards):05d}.{ending}" for number in range(1, len(shards) + 1)]
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in sorted(shard)},
    }
    writers: dict[str, bytes | Callable[[Path], None]] = {
        name: lambda path, shard=shard: write(path, shard)  # type: ignore[misc]
        for name, shard in zip(names, shards, strict=True)
    }
    writers[f"{stem}.{ending}{INDEX_ENDING}"] = (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
    return writers


def _split(tensors: Mapping[str, Values], shard_bytes: int) -> list[dict[str, Values]]:
    shards: list[dict[str, Values]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.nbytes
    return shards


def _write_safetensors(path: Path, shard: Mapping[str, Any]) -> None:
    metadata = {"format": "pt"}
    if all(isinstance(tensor, np.ndarray | Unread) for tensor in shard.values()):
        from safetensors.numpy import save_file

        save_file({name: _contiguous(tensor) for name, tensor in shard.items()}, path, metadata)
    else:
        from safetensors import torch

        torch.save_file(_on_cpu(shard), path, metadata)


def _contiguous(tensor: np.ndarray | Unread) -> np.ndarray:
    array = tensor.read() if isinstance(tensor, Unread) else tensor
    # copy("C"), because ascontiguousarray would make a vector of a number.
    return array if array.flags.c_contiguous else array.copy("C")


def _write_pickle(path: Path, shard: Mapping[str, Any]) -> None:
    import torch

    torch.save(_on_cpu(shard), path)


def _on_cpu(shard: Mapping[str, Any]) -> dict[str, Tensor]:
    import torch

    return {name: torch.as_tensor(tensor).detach().cpu().contiguous() for name, tensor in shard.items()}
