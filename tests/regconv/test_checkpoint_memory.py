"""Loading and saving in shards: the peak of memory is the network and one shard, never the network twice.

The network has the plan of the largest published one, RegNetY-10B: its depths, its stem and its number of groups in
every stage (2, 4, 11, 28), with narrower groups. Each measurement is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import msgpack
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from regconv import RegNetConfig, RegNetModel
from regconv.layouts import FLAX_LEAVES, TENSORFLOW_LEAVES, is_kernel, kernel_axes, own_names

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the peak of memory")

SHARD_BYTES = 20_000_000
SMALL_CHANGE = 8_000_000  # buffers and headers
KEPT = 64 << 20  # what glibc may keep of freed blocks between 20 and 32 MiB, which only the larger network has
ROOT = Path(__file__).parents[2]


def config(groups_width: int) -> RegNetConfig:
    return RegNetConfig(
        embedding_size=32,
        hidden_sizes=[groups * groups_width for groups in (2, 4, 11, 28)],
        depths=[2, 7, 17, 1],
        groups_width=groups_width,
    )


def shapes(groups_width: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = RegNetModel(config(groups_width))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def size(shape: tuple[int, ...]) -> int:
    return 4 * int(np.prod(shape))


def shards(groups_width: int) -> Iterator[dict[str, np.ndarray]]:
    """The tensors, about SHARD_BYTES at a time, or one that is larger."""
    random = np.random.default_rng(0)
    shard: dict[str, np.ndarray] = {}
    for name, shape in shapes(groups_width).items():
        if shard and sum(array.nbytes for array in shard.values()) + size(shape) > SHARD_BYTES:
            yield shard
            shard = {}
        is_count = name.endswith("num_batches_tracked")
        shard[name] = np.array(3) if is_count else random.random(shape, np.float32) + np.float32(0.5)
    yield shard


def write_bin(path: Path, shard: dict[str, np.ndarray]) -> list[str]:
    torch.save({name: torch.from_numpy(array) for name, array in shard.items()}, path)
    return list(shard)


def write_safetensors(path: Path, shard: dict[str, np.ndarray]) -> list[str]:
    save_file(shard, path, {"format": "pt"})
    return list(shard)


def translated(shard: dict[str, np.ndarray], leaves: dict[str, str]) -> dict[str, np.ndarray]:
    own = own_names({name: array.shape for name, array in shard.items()}, leaves)
    kernels = {name: kernel_axes(a) if is_kernel(name, a.shape) else a for name, a in shard.items()}
    return {own[name]: np.ascontiguousarray(kernels[name]) for name in own}


def write_h5(path: Path, shard: dict[str, np.ndarray]) -> list[str]:
    named = {f"{name}:0": array for name, array in translated(shard, TENSORFLOW_LEAVES).items()}
    with h5py.File(path, "w") as file:
        for name, array in named.items():
            file.create_dataset(name, data=array)
    return [f"reg_net/{name}" for name in named]


def write_msgpack(path: Path, shard: dict[str, np.ndarray]) -> list[str]:
    def packed(array: np.ndarray) -> msgpack.ExtType:
        return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))

    named = {f"params.{name}": packed(array) for name, array in translated(shard, FLAX_LEAVES).items()}
    path.write_bytes(msgpack.packb(named))
    return list(named)


WRITERS = {
    "model.safetensors": write_safetensors,
    "pytorch_model.bin": write_bin,
    "tf_model.h5": write_h5,
    "flax_model.msgpack": write_msgpack,
}


def write_checkpoint(folder: Path, kind: str, groups_width: int) -> list[int]:
    """The bytes of every shard, written one by one."""
    folder.mkdir()
    stem, ending = kind.split(".")
    weight_map, sizes = {}, []
    for number, shard in enumerate(shards(groups_width), start=1):
        name = f"{stem}-{number:05d}.{ending}"
        weight_map |= dict.fromkeys(WRITERS[kind](folder / name, shard), name)
        sizes.append(sum(array.nbytes for array in shard.values()))
    (folder / f"{kind}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    config(groups_width).save_pretrained(folder)
    return sizes


MEASURE = """
import json, sys
from pathlib import Path
import torch, h5py, msgpack, safetensors.torch
from regconv import RegNetModel
from regconv.checkpoint_reading import read_arrays

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def growth(act):
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew from here
    before = memory("VmRSS")
    act()
    return memory("VmHWM") - before

torch.set_num_threads(1)
RegNetModel.from_pretrained(sys.argv[2])  # what is loaded and built on first use
held = []
loading = growth(lambda: held.append(RegNetModel.from_pretrained(sys.argv[1])))
saving = growth(lambda: held[0].save_pretrained(sys.argv[3], max_shard_size=int(sys.argv[4])))
total = sum(float(p.double().sum()) for p in held[0].parameters())
print(json.dumps({"loading": loading, "saving": saving, "total": total}))
"""


def measured(folder: Path, kind: str, groups_width: int) -> dict[str, Any]:
    sizes = write_checkpoint(folder / "large", kind, groups_width)
    write_checkpoint(folder / "small", kind, 4)
    arguments = [str(folder / name) for name in ("large", "small", "saved")]
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments, str(SHARD_BYTES)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=500,
    )  # fmt: skip
    return {"model": sum(sizes), "shard": max(sizes), **json.loads(run.stdout)}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("groups_width", "change"), [(64, SMALL_CHANGE), pytest.param(160, KEPT, marks=pytest.mark.slow)]
)
def test_the_peak_is_the_network_and_one_shard(kind: str, groups_width: int, change: int, tmp_path: Path) -> None:
    found = measured(tmp_path, kind, groups_width)
    assert found["model"] > 150_000_000
    # Less would mean that the measurement missed something.
    assert 0.95 * found["model"] < found["loading"] < found["model"] + found["shard"] + change
    assert found["saving"] < found["shard"] + change
    # Everything arrived: values are 0.5 to 1.5, and so 1 on average.
    parameters = sum(size(shape) for name, shape in shapes(groups_width).items() if "running" not in name) / 4
    assert found["total"] == pytest.approx(parameters, rel=1e-3)
    assert len(list((tmp_path / "saved").glob("model-*.safetensors"))) >= 8
