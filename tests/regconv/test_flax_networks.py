"""The Flax networks by themselves: call forms, start values, parameters, errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs requirements-jax.txt")
flax = pytest.importorskip("flax", reason="needs requirements-jax.txt")

from flax.traverse_util import flatten_dict  # noqa: E402
from jax import numpy as jnp  # noqa: E402

import regconv  # noqa: E402
from regconv import FlaxConvNextModel, FlaxRegNetForImageClassification, FlaxRegNetModel, UnsupportedConfig  # noqa: E402
from regconv import torch as torch_networks  # noqa: E402

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]
WRONG_CHANNELS = "Make sure that the channel dimension of the pixel values match with the one set in the configuration."


def flax_class(config: Any, head: bool = True) -> Any:
    return getattr(regconv, f"Flax{config.family}{'ForImageClassification' if head else 'Model'}")


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Speed is not looked at here, and unoptimised code is compiled in half the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def lively(tiny_checkpoint: Any) -> Any:
    """(family, head, **config changes) -> a Flax network with lively weights."""

    def make(family: str, head: bool = True, **changes: Any) -> Any:
        door = regconv.FlaxAutoModelForImageClassification if head else regconv.FlaxAutoModel
        return door.from_pretrained(tiny_checkpoint(family, head=head), **changes)

    return make


@pytest.mark.parametrize("family", ["regnet-y", "convnext"])
class TestCallForms:
    @pytest.mark.parametrize("head", [True, False])
    def test_tuples_keys_and_defaults_of_the_configuration(self, family: str, head: bool, lively: Any) -> None:
        x = pixels(2, 3, 40, 36)
        model = lively(family, head)
        output = model(x, output_hidden_states=True)
        names = ["logits", "hidden_states"] if head else ["last_hidden_state", "pooler_output", "hidden_states"]
        assert list(output) == names
        values = model(x, output_hidden_states=True, return_dict=False)
        assert isinstance(values, tuple)
        assert len(values[-1]) == 4
        for one, other in zip(jax.tree.leaves(values), jax.tree.leaves(output.to_tuple()), strict=True):
            assert jnp.array_equal(one, other)
        model.config.output_hidden_states = True
        model.config.return_dict = False
        assert len(model(x)) == len(names)
        if head:
            assert list(model(x, output_hidden_states=False, return_dict=True)) == ["logits"]

    def test_jit_and_vmap_give_the_same_values(self, family: str, lively: Any) -> None:
        model = lively(family)
        x = pixels(3, 3, 40, 36)
        plain = model(x, output_hidden_states=True)
        compiled = jax.jit(lambda params, x: model(x, params=params, output_hidden_states=True))(model.params, x)
        assert type(compiled) is type(plain)
        mapped = jax.vmap(lambda x: model(x[None], output_hidden_states=True))(x)
        assert list(compiled) == list(mapped) == list(plain)
        for one, two, three in zip(*map(jax.tree.leaves, (plain, compiled, mapped)), strict=True):
            assert jnp.allclose(one, two, rtol=1e-5, atol=1e-5)
            assert jnp.allclose(one, three[:, 0], rtol=1e-4, atol=1e-5)

    def test_the_module_alone_is_the_same_network(self, family: str, lively: Any) -> None:
        model = lively(family)
        x = pixels(1, 3, 32, 32)
        alone = jax.jit(lambda params, x: model.module.apply(params, x, False, True))(model.params, x)
        assert len(alone.hidden_states) == 4
        assert jnp.allclose(alone.logits, model(x).logits, rtol=1e-5, atol=1e-5)

    def test_errors(self, family: str, lively: Any) -> None:
        model = lively(family)
        for shape in ((1, 4, 32, 32), (3, 32, 32)):
            with pytest.raises(ValueError) as caught:
                model(np.zeros(shape, np.float32))
            assert str(caught.value) == WRONG_CHANNELS
        with pytest.raises(ValueError, match=r"shape \(1, 3, 32\)"):
            model(np.zeros((1, 3, 32), np.float32))
        with pytest.raises(ValueError, match=r"^You have to specify pixel_values$"):
            model(None)
        with pytest.raises(TypeError):
            model(pixels(1, 3, 32, 32), labels=[1])
        with pytest.raises(TypeError, match=r"Config"):
            type(model)(object())


class TestActivations:
    def test_functions_are_taken(self, lively: Any) -> None:
        x = pixels(1, 3, 32, 32)
        given = lively("convnext", hidden_act=lambda x: x * jax.nn.sigmoid(1.702 * x))
        assert jnp.allclose(given(x).logits, lively("convnext", hidden_act="quick_gelu")(x).logits, rtol=1e-5)
        assert not jnp.allclose(given(x).logits, lively("convnext")(x).logits, rtol=1e-3)

    @pytest.mark.parametrize("name", ["gelu_oops", "xielu"])
    def test_unknown_names_are_refused(self, name: str, tiny_config: Any) -> None:
        config = tiny_config("regnet-x", hidden_act=name)
        with pytest.raises(UnsupportedConfig, match=f"{name}.*prelu"):
            FlaxRegNetModel(config)


class TestParameters:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_names_are_the_hubs_split_at_the_dots(self, family: str, tiny_config: Any) -> None:
        config = tiny_config(family)
        model = flax_class(config)(config, _do_init=False)
        flat = flatten_dict(model.params_shape_tree, sep="/")
        network = getattr(torch_networks, f"{config.family}ForImageClassification")(config)
        assert len(flat) == sum(not name.endswith("num_batches_tracked") for name in network.state_dict())
        assert model.num_parameters() == network.num_parameters()
        if family == "regnet-y":
            layer = "params/regnet/encoder/stages/1/layers/0"
            assert flat["params/regnet/embedder/embedder/convolution/kernel"].shape == (3, 3, 3, 10)
            assert flat["batch_stats/regnet/embedder/embedder/normalization/mean"].shape == (10,)
            assert flat[f"{layer}/shortcut/normalization/scale"].shape == (18,)
            assert flat[f"{layer}/layer/2/attention/0/kernel"].shape == (1, 1, 18, 4)
            assert flat[f"{layer}/layer/3/convolution/kernel"].shape == (1, 1, 18, 18)
            assert flat["params/classifier/1/kernel"].shape == (22, 7)
        elif family == "convnextv2":
            layer = "params/convnextv2/encoder/stages/1/layers/0"
            assert flat[f"{layer}/grn/weight"].shape == (1, 1, 1, 48)
            assert flat[f"{layer}/dwconv/kernel"].shape == (7, 7, 1, 12)
            assert flat["params/classifier/kernel"].shape == (20, 7)

    def test_seeds(self, tiny_config: Any) -> None:
        config = tiny_config("regnet-x", hidden_sizes=[16], depths=[1])
        first, same, other = (
            FlaxRegNetModel(config, seed=3),
            FlaxRegNetModel(config, input_shape=(2, 48, 64, 3), seed=3),
            FlaxRegNetModel(config, input_shape=None, seed=4),
        )
        assert isinstance(first.params, dict)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, first.params, same.params))
        path = ("params", "embedder", "embedder", "convolution", "kernel")
        assert not jnp.array_equal(flatten_dict(first.params)[path], flatten_dict(other.params)[path])

    def test_start_values_of_regnet(self) -> None:
        config = regconv.RegNetConfig(hidden_sizes=[160], depths=[1], groups_width=8, num_labels=50)
        flat = flatten_dict(FlaxRegNetForImageClassification(config).params, sep="/")
        for name, leaf in flat.items():
            end = name.rpartition("/")[2]
            if end == "kernel" and leaf.ndim == 4:
                deviation = (2 / (leaf.shape[3] * leaf.shape[0] * leaf.shape[1])) ** 0.5
                assert leaf.std() == pytest.approx(deviation, rel=0.15), name
                assert abs(leaf).max() < 2.3 * deviation  # cut at two deviations, before the cut was made up for
            else:
                expected = {"scale": 1, "var": 1, "bias": 0, "mean": 0}.get(end)
                assert expected is None or bool((leaf == expected).all()), name
        assert flat["params/classifier/1/kernel"].std() == pytest.approx(160**-0.5, rel=0.05)

    def test_start_values_of_convnext(self) -> None:
        config = regconv.ConvNextConfig(
            hidden_sizes=[32, 64], depths=[1, 1], num_stages=2, initializer_range=0.3, layer_scale_init_value=0.25
        )
        flat = flatten_dict(FlaxConvNextModel(config).params["params"], sep="/")
        kernels = np.concatenate([np.ravel(leaf) for name, leaf in flat.items() if name.endswith("kernel")])
        assert kernels.std() == pytest.approx(0.3, rel=0.01)
        assert np.abs(kernels).max() > 0.9  # not truncated
        for name, leaf in flat.items():
            end = name.rpartition("/")[2]
            expected = {"scale": 1, "bias": 0, "layer_scale_parameter": 0.25}.get(end)
            assert expected is None or bool((leaf == expected).all()), name

    def test_outside_the_model(self, tiny_config: Any) -> None:
        config = tiny_config("regnet-y", hidden_sizes=[14, 18], depths=[1, 1])
        model = FlaxRegNetModel(config, seed=5, _do_init=False)
        x = pixels(1, 3, 32, 32)
        for use in (lambda: model.params, lambda: model(x), lambda: setattr(model, "params", {})):
            with pytest.raises(ValueError, match=r"^`params` cannot be .* created with `_do_init=False`"):
                use()
        params = model.init_weights(jax.random.PRNGKey(5), (1, 32, 32, 3))
        inside = FlaxRegNetModel(config, seed=5)
        assert jnp.array_equal(model(x, params=params).pooler_output, inside(x).pooler_output)
        del params["params"]["encoder"]["stages"]["0"]
        params["params"]["embedder"]["embedder"]["normalization"]["bias"] += 1.0
        with pytest.raises(ValueError, match=r"params lacks 16 of .*params.encoder.stages.0.*init_weights"):
            inside.params = params
        inside.params = model.init_weights(jax.random.PRNGKey(5), (1, 32, 32, 3), params)
        assert inside.params["params"]["embedder"]["embedder"]["normalization"]["bias"].min() == 1.0

    def test_a_missing_collection_is_named(self, tiny_config: Any) -> None:
        model = FlaxRegNetModel(tiny_config("regnet-x"), _do_init=False)
        with pytest.raises(KeyError, match=r"lacks batch_stats"):
            model(pixels(1, 3, 32, 32), params={"params": {}})

    def test_casts(self, tiny_config: Any) -> None:
        model = FlaxRegNetModel(tiny_config("regnet-x", hidden_sizes=[16], depths=[1]))
        for cast, dtype in ((model.to_bf16, jnp.bfloat16), (model.to_fp16, jnp.float16)):
            half = cast(model.params)
            assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype(dtype)}
            assert {leaf.dtype for leaf in jax.tree.leaves(model.to_fp32(half))} == {jnp.dtype(jnp.float32)}
        assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}
        mask = jax.tree.map(lambda leaf: leaf.ndim == 4, model.params)
        for leaf in jax.tree.leaves(model.to_bf16(model.params, mask)):
            assert leaf.dtype == (jnp.bfloat16 if leaf.ndim == 4 else jnp.float32)

    def test_configurations_that_build_nothing(self, tiny_config: Any) -> None:
        with pytest.raises(UnsupportedConfig, match=r"longer than depths"):
            FlaxRegNetForImageClassification(tiny_config("regnet-x", depths=[1, 1]))
        with pytest.raises(UnsupportedConfig, match=r"num_stages"):
            FlaxConvNextModel(tiny_config("convnext", num_stages=4))
        with pytest.raises(UnsupportedConfig, match=r"floating-point"):
            FlaxRegNetModel(tiny_config("regnet-x"), dtype=jnp.int8)


def test_lists_are_put_together_and_what_is_no_picture_is_refused(tiny_config: Any) -> None:
    model = FlaxRegNetModel(tiny_config("regnet-x", depths=[1, 1, 1]))
    x = pixels(2, 3, 32, 32)
    expected = model(x).pooler_output
    for given in (list(x), tuple(x), x.tolist()):
        assert jnp.array_equal(model(given).pooler_output, expected)
    with pytest.raises(ValueError, match="pixel_values is a list of pictures of different shapes, expected one array"):
        model([x[0], x[1, :, :20]])
    with pytest.raises(TypeError, match="pixel_values is a str of no numbers"):
        model("cat.jpg")
    with pytest.raises(ValueError, match="Make sure that the channel dimension"):
        model(x[0].tolist())


def test_without_jax_the_error_names_the_requirements() -> None:
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "import regconv\n"
        "try: regconv.FlaxRegNetModel\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("FrameworkMissing JAX/Flax is not installed")
    assert "requirements-jax.txt" in done.stdout
