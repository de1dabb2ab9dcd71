"""Training of the Flax networks: batch statistics, drop path, falling losses, batches over several devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="needs requirements-jax.txt")
pytest.importorskip("flax", reason="needs requirements-jax.txt")

from flax.traverse_util import flatten_dict  # noqa: E402
from jax import numpy as jnp  # noqa: E402

from regconv import (  # noqa: E402
    FlaxConvNextModel,
    FlaxRegNetForImageClassification,
    RegNetForImageClassification,
)

ROOT = Path(__file__).parents[2]
SMALL = {"hidden_sizes": [14, 18], "depths": [1, 1]}


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Speed is not looked at here, and unoptimised code is compiled in half the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


class TestBatchStatistics:
    def test_every_norm_uses_and_updates_them(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-y")
        model = FlaxRegNetForImageClassification.from_pretrained(folder)
        before = {name: np.array(leaf) for name, leaf in flatten_dict(model.params, sep=".").items()}
        x = pixels(3, 3, 37, 40)
        output, updated = model(x, train=True)
        assert list(updated) == ["batch_stats"]
        network = RegNetForImageClassification.from_pretrained(folder).train()
        seen: dict[str, np.ndarray] = {}
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0].numpy()}))
        with torch.no_grad():
            expected = network(torch.from_numpy(x)).logits.numpy()
        assert np.abs(np.asarray(output.logits) - expected).max() <= 1e-5 * np.abs(expected).max()
        changed = flatten_dict(updated["batch_stats"], sep=".")
        assert {name.rpartition(".")[0] for name in changed} == seen.keys()
        for name, given in seen.items():
            for leaf, of_batch in (("mean", given.mean((0, 2, 3))), ("var", given.var((0, 2, 3)))):
                wanted = 0.9 * before[f"batch_stats.{name}.{leaf}"] + 0.1 * of_batch
                assert np.abs(changed[f"{name}.{leaf}"] - wanted).max() < 1e-5 * np.abs(wanted).max(), name
        for name, leaf in flatten_dict(model.params, sep=".").items():
            assert np.array_equal(leaf, before[name])

    def test_tuples_come_with_them_too(self, tiny_checkpoint: Any) -> None:
        model = FlaxRegNetForImageClassification.from_pretrained(tiny_checkpoint("regnet-x"))
        output, updated = model(pixels(2, 3, 32, 32), train=True, return_dict=False)
        assert isinstance(output, tuple)
        assert updated.keys() == {"batch_stats"}


class TestDropPath:
    def test_a_share_of_the_pictures_loses_the_branch(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("convnext", hidden_sizes=[8], depths=[2], num_stages=1, drop_path_rate=0.5)
        model = FlaxConvNextModel.from_pretrained(folder)
        x = np.repeat(pixels(1, 3, 16, 16), 64, axis=0)
        calm = np.asarray(model(x).last_hidden_state)
        run = jax.jit(lambda key: model(x, train=True, dropout_rng=key).last_hidden_state)
        drawn = np.asarray(run(jax.random.PRNGKey(0)))
        kinds, which = np.unique(drawn.reshape(64, -1).round(4), axis=0, return_inverse=True)
        assert len(kinds) == 2
        assert 16 <= which.sum() <= 48
        # Without the branch, and with twice the branch: together twice the output of the calm network.
        both = drawn[which == 0][0] + drawn[which == 1][0]
        assert np.abs(both - 2 * calm[0]).max() < 1e-5 * np.abs(both).max()
        assert np.array_equal(drawn, run(jax.random.PRNGKey(0)))
        assert not np.array_equal(drawn, run(jax.random.PRNGKey(1)))

    def test_training_without_a_key_is_refused(self, tiny_config: Any) -> None:
        model = FlaxConvNextModel(tiny_config("convnext"), _do_init=False)
        with pytest.raises(ValueError, match="dropout_rng is None"):
            model(pixels(1, 3, 32, 32), params={"params": {}}, train=True)


def test_loss_falls(tiny_config: Any) -> None:
    optax = pytest.importorskip("optax", reason="comes with flax")
    model = FlaxRegNetForImageClassification(tiny_config("regnet-y", num_labels=2, **SMALL))
    x = pixels(8, 3, 32, 32)
    labels = np.arange(8) % 2
    x[labels == 1, 0] += 1.0  # more red
    optimizer = optax.adam(3e-3)

    @jax.jit
    def step(variables: Any, state: Any) -> Any:
        def loss(params: Any) -> Any:
            output, updated = model(x, params=variables | {"params": params}, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean(), updated

        (value, updated), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        changes, state = optimizer.update(gradients, state)
        return value, {"params": optax.apply_updates(variables["params"], changes), **updated}, state

    variables, state = model.params, optimizer.init(model.params["params"])
    losses = []
    for _ in range(30):
        value, variables, state = step(variables, state)
        losses.append(float(value))
    assert losses[-1] < 0.2 < 0.5 < losses[0]
    model.params = variables
    for _ in range(60):  # running statistics follow at a tenth a step
        model.params = model.params | model(x, train=True)[1]
    assert np.array_equal(np.argmax(model(x).logits, axis=1), labels)


SHARDED = """
import json, sys
import numpy as np, jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from regconv import FlaxRegNetForImageClassification

assert jax.device_count() == 4
model = FlaxRegNetForImageClassification.from_pretrained(sys.argv[1])
x = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
weight = np.random.default_rng(1).normal(size=(8, 7)).astype(np.float32)
mesh = Mesh(np.array(jax.devices()), ("batch",))
halved = jax.device_put(x, NamedSharding(mesh, P("batch")))
everywhere = jax.device_put(model.params, NamedSharding(mesh, P()))

def step(variables, x):
    def loss(params):
        output, updated = model(x, params=variables | {"params": params}, train=True)
        return (output.logits * weight).sum(), updated
    (value, updated), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    params = jax.tree.map(lambda p, g: p - 1e-3 * g, variables["params"], gradients)
    return {"params": params, **updated}

def furthest(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max()) for a, b in pairs)

forward = jax.jit(lambda variables, x: model(x, params=variables, output_hidden_states=True))
train = jax.jit(step)
spread = forward(everywhere, halved)
print(json.dumps({
    "devices": len(spread.logits.sharding.device_set),
    "rows_each": spread.logits.addressable_shards[0].data.shape[0],
    "forward": furthest(spread, forward(model.params, x)),
    "plain_call": furthest(model(halved, params=everywhere), model(x)),
    "step": furthest(train(everywhere, halved), train(model.params, x)),
    "moved": furthest(train(everywhere, halved), model.params),
}))
"""


def test_a_batch_over_four_devices(tiny_checkpoint: Any) -> None:
    flags = {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SHARDED, str(tiny_checkpoint("regnet-y", **SMALL))],
        cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["devices"] == 4
    assert found["rows_each"] == 2
    assert found["forward"] < 1e-5
    assert found["plain_call"] < 1e-5
    assert found["step"] < 1e-5
    assert found["moved"] > 1e-2


def test_running_statistics_stay_in_float32(tiny_checkpoint: Any) -> None:
    model = FlaxRegNetForImageClassification.from_pretrained(tiny_checkpoint("regnet-x"), dtype=jnp.bfloat16)
    output, updated = model(pixels(2, 3, 32, 32), train=True)
    assert output.logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype(jnp.float32)}
