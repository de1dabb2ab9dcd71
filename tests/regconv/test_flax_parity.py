"""The Flax networks beside torch's with the same lively weights: every stage, pooled, logits; gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="needs requirements-jax.txt")
pytest.importorskip("flax", reason="needs requirements-jax.txt")

from jax import numpy as jnp  # noqa: E402

import regconv  # noqa: E402
from regconv import torch as torch_networks  # noqa: E402
from regconv.flax import activations  # noqa: E402
from regconv.flax.norms import ResponseNorm  # noqa: E402
from regconv.flax.weights import to_hub  # noqa: E402
from regconv.torch.activations import ACTIVATIONS as TORCH_ACTIVATIONS  # noqa: E402
from regconv.torch.activations import activation as torch_activation  # noqa: E402

SMALL: dict[str, dict[str, Any]] = {
    "regnet-y": {"hidden_sizes": [14, 18], "depths": [1, 1]},
    "convnextv2": {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "drop_path_rate": 0.0},
}
FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def quick_compilation() -> Iterator[None]:
    """Unoptimised code is compiled in half the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def pair(tiny_checkpoint: Any) -> Any:
    """(family, head, dtype, **config changes) -> torch's and Flax's network with the same lively weights."""

    def make(family: str, *, head: bool = True, dtype: Any = jnp.float32, **changes: Any) -> tuple[Any, Any]:
        folder = tiny_checkpoint(family, head=head, **changes)
        door = regconv.FlaxAutoModelForImageClassification if head else regconv.FlaxAutoModel
        model = door.from_pretrained(folder, dtype=dtype)
        return getattr(torch_networks, type(model).__name__.removeprefix("Flax")).from_pretrained(folder), model

    return make


def assert_close(ours: Any, theirs: torch.Tensor, bound: float = 1e-5) -> None:
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    assert np.abs(np.asarray(ours) - expected).max() <= bound * np.abs(expected).max()


def assert_same_outputs(network: Any, model: Any, x: np.ndarray) -> None:
    with torch.no_grad():
        expected = network(torch.from_numpy(x), output_hidden_states=True)
    output = model(x, output_hidden_states=True)
    assert list(output) == list(expected)
    for name, values in expected.items():
        if name == "hidden_states":
            assert len(output.hidden_states) == len(values)
            for ours, theirs in zip(output.hidden_states, values, strict=True):
                assert_close(ours, theirs)
        else:
            assert_close(output[name], values)


class TestBesideTorch:
    @pytest.mark.parametrize(
        ("family", "head"), [*((family, True) for family in FAMILIES), ("regnet-x", False), ("convnext", False)]
    )
    def test_every_stage_pooled_and_logits(self, family: str, head: bool, pair: Any) -> None:
        network, model = pair(family, head=head)
        assert_same_outputs(network, model, pixels(2, 3, 65, 97))
        assert type(model(pixels(2, 3, 65, 97))).__name__.startswith("Flax")

    @pytest.mark.parametrize(
        ("stem_type", "norm_type"), [("overlap", "rms"), ("overlap_tiered", "simple"), ("overlap_act", "layer")]
    )
    def test_stems_and_norms_of_small_networks(self, stem_type: str, norm_type: str, pair: Any) -> None:
        family = "convnextv2" if stem_type == "overlap_tiered" else "convnext"
        network, model = pair(family, stem_type=stem_type, norm_type=norm_type, hidden_sizes=[24, 12, 20])
        assert_same_outputs(network, model, pixels(1, 3, 33, 47))

    @pytest.mark.parametrize(
        ("family", "changes"),
        [
            ("regnet-y", {"downsample_in_first_stage": False, "hidden_act": "prelu", "num_channels": 4}),
            ("convnext", {"layer_scale_init_value": 0.0, "patch_size": (2, 4), "layer_norm_eps": 0.1}),
            ("convnextv2", {"hidden_act": "gelu_new", "num_labels": 0}),
        ],
    )
    def test_options(self, family: str, changes: dict[str, Any], pair: Any) -> None:
        network, model = pair(family, **changes)
        assert_same_outputs(network, model, pixels(1, changes.get("num_channels", 3), 37, 32))

    @pytest.mark.parametrize("name", sorted(set(TORCH_ACTIVATIONS) - {"prelu", "xielu"}))
    def test_activations(self, name: str) -> None:
        x = np.linspace(-12, 12, 97, dtype=np.float32)
        ours = activations.activation(name)(jnp.asarray(x))
        assert np.abs(np.asarray(ours) - torch_activation(name)(torch.from_numpy(x)).numpy()).max() < 1e-5

    @pytest.mark.usefixtures("quick_compilation")
    @pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
    def test_half_precision_changes_computation_and_not_the_parameters(self, family: str, pair: Any) -> None:
        network, _ = pair(family, **SMALL[family])
        x = pixels(2, 3, 48, 32)
        expected = network(torch.from_numpy(x)).logits.detach().numpy()
        for dtype in (jnp.bfloat16, jnp.float16):
            _, model = pair(family, dtype=dtype, **SMALL[family])
            output = model(x, output_hidden_states=True)
            assert {leaf.dtype for leaf in jax.tree.leaves(output)} == {jnp.dtype(dtype)}
            assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}
            ours = np.asarray(output.logits, np.float32)
            cosine = (ours * expected).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(expected, axis=1)
            assert cosine.min() > 0.9995
            assert not np.array_equal(ours, expected)


def test_one_pixel_is_enough_for_regnet_and_too_small_a_picture_is_refused_by_convnext(pair: Any) -> None:
    network, model = pair("regnet-y")
    assert_same_outputs(network, model, pixels(1, 3, 1, 1))
    with pytest.raises(ValueError, match=r"15 x 40 pixels leave no place.*4 times the stem's stride"):
        pair("convnext")[1](pixels(1, 3, 15, 40))


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
def test_gradients_and_outputs_of_training(family: str, pair: Any) -> None:
    network, model = pair(family, **SMALL[family])
    x, weight = pixels(4, 3, 40, 32), pixels(4, 7, seed=1)
    expected = network.train()(torch.from_numpy(x)).logits
    (expected * torch.from_numpy(weight)).sum().backward()

    def weighted(params: Any, others: Any) -> Any:
        output = model(x, params=others | {"params": params}, train=True)
        logits = (output[0] if "batch_stats" in others else output).logits
        return (logits * weight).sum(), logits

    others = {name: values for name, values in model.params.items() if name != "params"}
    gradients, logits = jax.grad(weighted, has_aux=True)(model.params["params"], others)
    assert_close(logits, expected)
    ours = to_hub({"params": gradients})
    theirs = dict(network.named_parameters())
    assert ours.keys() == theirs.keys()
    largest = max(float(parameter.grad.abs().max()) for parameter in theirs.values())
    for name, parameter in theirs.items():
        # Some are sums that cancel: biases before a norm have a gradient of exactly 0.
        assert np.abs(ours[name] - parameter.grad.numpy()).max() <= 1e-5 * largest, name


def test_response_norm_of_a_silent_channel_has_a_finite_gradient() -> None:
    x = jnp.zeros((1, 2, 2, 3)).at[..., 0].set(1.0)
    norm = ResponseNorm()
    params = {"params": {"weight": jnp.ones((1, 1, 1, 3)), "bias": jnp.zeros((1, 1, 1, 3))}}
    gradient = jax.grad(lambda x: norm.apply(params, x).sum())(x)
    twin = torch_networks.norms.ResponseNorm(3)
    torch.nn.init.ones_(twin.weight)
    inside = torch.from_numpy(np.array(x)).requires_grad_()
    twin(inside).sum().backward()
    assert_close(gradient, inside.grad)
