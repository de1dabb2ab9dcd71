"""Writes checkpoints of the hub's older software beside this file, each with what that software computes from it.

Run `python tests/golden/older_software/make.py` with transformers 4.37.2, tensorflow-cpu 2.15.1, jax 0.4.23,
flax 0.8.1, torch and numpy 1.26 installed, which cannot share an environment with this project's own requirements.
Every folder holds config.json, weights and expected.npz: pixel_values (n, c, h, w), hidden_state_0, …, pooled and, for
classifiers, logits. Weights are lively: no part of a network is near zero.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import transformers
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict

HERE = Path(__file__).parent
REGNET = {"embedding_size": 6, "hidden_sizes": [8, 12], "depths": [1, 2], "groups_width": 4, "num_labels": 3}
CONVNEXT = {"num_stages": 2, "hidden_sizes": [6, 8], "depths": [1, 2], "num_labels": 3, "drop_path_rate": 0.1}


def lively(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Values under which every part shows: scales and variances 0.5 to 1.5, kernels by He's rule."""
    leaf = name.replace(":0", "").replace("/", ".").rsplit(".", 1)[-1]
    if leaf in ("bias", "beta", "mean", "moving_mean"):
        values = random.normal(0.0, 0.3, shape)
    elif leaf == "kernel":
        values = random.normal(0.0, (2.0 / np.prod(shape[:-1])) ** 0.5, shape)
    else:
        values = random.uniform(0.5, 1.5, shape)
    return values.astype(np.float32)


def pixels(random: np.random.Generator) -> np.ndarray:
    return random.normal(size=(2, 3, 37, 32)).astype(np.float32)


def record(folder: Path, features: Any, classified: Any, x: np.ndarray) -> None:
    arrays = {"pixel_values": x, "pooled": np.asarray(features.pooler_output)}
    arrays |= {f"hidden_state_{i}": np.asarray(values) for i, values in enumerate(features.hidden_states)}
    if classified is not None:
        arrays["logits"] = np.asarray(classified.logits)
    np.savez_compressed(folder / "expected.npz", **arrays)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def fresh(name: str) -> Path:
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def make_tensorflow(name: str, kind: str, config: Any, seed: int, **saving: Any) -> None:
    network = getattr(transformers, kind)(config)
    random = np.random.default_rng(seed)
    x = pixels(random)
    network(tf.constant(x))
    for variable in network.weights:
        variable.assign(lively(variable.name, tuple(variable.shape), random))
    folder = fresh(name)
    network.save_pretrained(folder, **saving)
    has_head = kind.endswith("ForImageClassification")
    base = getattr(network, network.base_model_prefix) if has_head else network
    features = base(tf.constant(x), output_hidden_states=True)
    record(folder, features, network(tf.constant(x)) if has_head else None, x)


def make_flax(name: str, kind: str, config: Any, seed: int, **saving: Any) -> None:
    network = getattr(transformers, kind)(config, input_shape=(1, 37, 32, 3))
    random = np.random.default_rng(seed)
    x = pixels(random)
    flat = flatten_dict(unfreeze(network.params), sep="/")
    network.params = unflatten_dict({key: lively(key, v.shape, random) for key, v in sorted(flat.items())}, sep="/")
    folder = fresh(name)
    network.save_pretrained(folder, **saving)
    if saving.get("safe_serialization"):
        (folder / "flax_model.msgpack").unlink(missing_ok=True)
    features = network(x, output_hidden_states=True)
    if kind.endswith("ForImageClassification"):
        bare = transformers.FlaxRegNetModel(config, input_shape=(1, 37, 32, 3))
        inside = {c: tree["regnet"] for c, tree in network.params.items()}
        record(folder, bare(x, params=inside, output_hidden_states=True), features, x)
    else:
        record(folder, features, None, x)


def main() -> None:
    if transformers.__version__ != "4.37.2":
        sys.exit(f"this needs transformers 4.37.2, found {transformers.__version__}")
    shards = {"max_shard_size": "8KB"}
    safe = {"safe_serialization": True}
    for letter in ("x", "y"):
        config = transformers.RegNetConfig(**REGNET, layer_type=letter)
        make_tensorflow(f"tf-regnet-{letter}-h5", "TFRegNetForImageClassification", config, 1)
        make_tensorflow(f"tf-regnet-{letter}-bare-h5", "TFRegNetModel", config, 2)
    make_tensorflow("tf-regnet-y-safetensors", "TFRegNetForImageClassification", config, 3, **safe)
    make_tensorflow("tf-regnet-y-sharded-h5", "TFRegNetForImageClassification", config, 4, **shards)
    make_flax("flax-regnet-y-msgpack", "FlaxRegNetForImageClassification", config, 5)
    make_flax("flax-regnet-y-bare-msgpack", "FlaxRegNetModel", config, 6)
    make_flax("flax-regnet-y-safetensors", "FlaxRegNetForImageClassification", config, 7, **safe)
    make_flax("flax-regnet-y-sharded-msgpack", "FlaxRegNetForImageClassification", config, 8, **shards)
    config = transformers.ConvNextConfig(**CONVNEXT)
    make_tensorflow("tf-convnext-h5", "TFConvNextForImageClassification", config, 9)
    make_tensorflow("tf-convnext-bare-h5", "TFConvNextModel", config, 10)
    make_tensorflow("tf-convnext-safetensors", "TFConvNextForImageClassification", config, 11, **safe)
    make_tensorflow("tf-convnext-sharded-h5", "TFConvNextForImageClassification", config, 12, **shards)


if __name__ == "__main__":
    main()
