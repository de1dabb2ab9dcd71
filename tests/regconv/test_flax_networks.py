"""The Flax networks by themselves and beside torch's: outputs, call forms, start values, dtypes, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="needs requirements-jax.txt")
flax = pytest.importorskip("flax", reason="needs requirements-jax.txt")

from flax.traverse_util import flatten_dict  # noqa: E402
from jax import numpy as jnp  # noqa: E402

import regconv  # noqa: E402
from regconv import FlaxConvNextModel, FlaxRegNetForImageClassification, FlaxRegNetModel, UnsupportedConfig  # noqa: E402
from regconv import torch as torch_networks  # noqa: E402
from regconv.flax import activations  # noqa: E402
from regconv.torch.activations import ACTIVATIONS as TORCH_ACTIVATIONS  # noqa: E402
from regconv.torch.activations import activation as torch_activation  # noqa: E402

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]
WRONG_CHANNELS = "Make sure that the channel dimension of the pixel values match with the one set in the configuration."


def flax_class(config: Any, head: bool = True) -> Any:
    return getattr(regconv, f"Flax{config.family}{'ForImageClassification' if head else 'Model'}")


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def pair(tiny_checkpoint: Any) -> Any:
    """(family, head, dtype, **config changes) -> torch's and Flax's network with the same lively weights."""

    def make(family: str, *, head: bool = True, dtype: Any = jnp.float32, **changes: Any) -> tuple[Any, Any]:
        folder = tiny_checkpoint(family, head=head, **changes)
        model = flax_class(regconv.AutoConfig.from_pretrained(folder), head).from_pretrained(folder, dtype)
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
    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("head", [True, False])
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

    @pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
    def test_half_precision_changes_computation_and_not_the_parameters(self, family: str, pair: Any) -> None:
        network, _ = pair(family)
        x = pixels(2, 3, 48, 32)
        expected = network(torch.from_numpy(x)).logits.detach().numpy()
        for dtype in (jnp.bfloat16, jnp.float16):
            _, model = pair(family, dtype=dtype)
            output = model(x, output_hidden_states=True)
            assert {leaf.dtype for leaf in jax.tree.leaves(output)} == {jnp.dtype(dtype)}
            assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}
            ours = np.asarray(output.logits, np.float32)
            cosine = (ours * expected).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(expected, axis=1)
            assert cosine.min() > 0.9995
            assert not np.array_equal(ours, expected)


@pytest.mark.parametrize("family", ["regnet-y", "convnext"])
class TestCallForms:
    def test_tuples_keys_and_defaults_of_the_configuration(self, family: str, pair: Any) -> None:
        x = pixels(2, 3, 40, 36)
        for head in (True, False):
            _, model = pair(family, head=head)
            output = model(x, output_hidden_states=True)
            names = ["logits", "hidden_states"] if head else ["last_hidden_state", "pooler_output", "hidden_states"]
            assert list(output) == names
            values = model(x, output_hidden_states=True, return_dict=False)
            assert isinstance(values, tuple)
            assert len(values[-1]) == 4
            for one, other in zip(jax.tree.leaves(values), jax.tree.leaves(output.to_tuple()), strict=True):
                assert jnp.array_equal(one, other)
            assert list(model(x)) == names[:-1]
            model.config.output_hidden_states = True
            model.config.return_dict = False
            assert len(model(x)) == len(names)
            assert list(model(x, output_hidden_states=False, return_dict=True)) == names[:-1]

    def test_jit_and_vmap_give_the_same_values(self, family: str, pair: Any) -> None:
        _, model = pair(family)
        x = pixels(3, 3, 40, 36)
        plain = model(x, output_hidden_states=True)
        compiled = jax.jit(lambda params, x: model(x, params=params, output_hidden_states=True))(model.params, x)
        assert type(compiled) is type(plain)
        mapped = jax.vmap(lambda x: model(x[None], output_hidden_states=True))(x)
        assert list(compiled) == list(mapped) == list(plain)
        for one, two, three in zip(*map(jax.tree.leaves, (plain, compiled, mapped)), strict=True):
            assert jnp.allclose(one, two, rtol=1e-5, atol=1e-5)
            assert jnp.allclose(one, three[:, 0], rtol=1e-4, atol=1e-5)

    def test_the_module_alone_is_the_same_network(self, family: str, pair: Any) -> None:
        _, model = pair(family)
        x = pixels(1, 3, 32, 32)
        assert jnp.allclose(model.module.apply(model.params, x).logits, model(x).logits, rtol=1e-5, atol=1e-5)

    def test_errors(self, family: str, pair: Any) -> None:
        _, model = pair(family)
        for shape in ((1, 4, 32, 32), (3, 32, 32)):
            with pytest.raises(ValueError) as caught:
                model(np.zeros(shape, np.float32))
            assert str(caught.value) == WRONG_CHANNELS
        with pytest.raises(ValueError, match=r"shape \(1, 3, 32\)"):
            model(np.zeros((1, 3, 32), np.float32))
        with pytest.raises(ValueError, match="^You have to specify pixel_values$"):
            model(None)
        with pytest.raises(TypeError):
            model(pixels(1, 3, 32, 32), labels=[1])
        with pytest.raises(TypeError, match="Config"):
            type(model)(object())


def test_one_pixel_is_enough_for_regnet_and_too_small_a_picture_is_refused_by_convnext(pair: Any) -> None:
    network, model = pair("regnet-y")
    assert_same_outputs(network, model, pixels(1, 3, 1, 1))
    with pytest.raises(ValueError, match="15 x 40 pixels leave no place.*4 times the stem's stride"):
        pair("convnext")[1](pixels(1, 3, 15, 40))


class TestActivations:
    def test_functions_are_taken(self, tiny_config: Any) -> None:
        config = tiny_config("convnext", hidden_act=lambda x: x * 0.5)
        model = flax_class(config)(config)
        same = flax_class(config)(tiny_config("convnext", hidden_act="linear"))
        assert model(pixels(1, 3, 32, 32)).logits.shape == (1, 7)
        assert not jnp.array_equal(model(pixels(1, 3, 32, 32)).logits, same(pixels(1, 3, 32, 32)).logits)

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
        config = tiny_config("regnet-x")
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
        config = regconv.RegNetConfig(hidden_sizes=[96, 160], depths=[1, 1], groups_width=8, num_labels=50)
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
        config = tiny_config("regnet-y")
        model = FlaxRegNetModel(config, seed=5, _do_init=False)
        x = pixels(1, 3, 32, 32)
        for use in (lambda: model.params, lambda: model(x), lambda: setattr(model, "params", {})):
            with pytest.raises(ValueError, match="^`params` cannot be .* created with `_do_init=False`"):
                use()
        params = model.init_weights(jax.random.PRNGKey(5), (1, 32, 32, 3))
        inside = FlaxRegNetModel(config, seed=5)
        assert jnp.array_equal(model(x, params=params).pooler_output, inside(x).pooler_output)
        del params["params"]["encoder"]["stages"]["0"]
        params["params"]["embedder"]["embedder"]["normalization"]["bias"] += 1.0
        with pytest.raises(ValueError, match="params lacks 16 of .*params.encoder.stages.0.*init_weights"):
            inside.params = params
        inside.params = model.init_weights(jax.random.PRNGKey(5), (1, 32, 32, 3), params)
        assert inside.params["params"]["embedder"]["embedder"]["normalization"]["bias"].min() == 1.0

    def test_a_missing_collection_is_named(self, tiny_config: Any) -> None:
        model = FlaxRegNetModel(tiny_config("regnet-x"), _do_init=False)
        with pytest.raises(KeyError, match="lacks batch_stats"):
            model(pixels(1, 3, 32, 32), params={"params": {}})

    def test_casts(self, tiny_config: Any) -> None:
        model = FlaxRegNetModel(tiny_config("regnet-x"))
        for cast, dtype in ((model.to_bf16, jnp.bfloat16), (model.to_fp16, jnp.float16)):
            half = cast(model.params)
            assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype(dtype)}
            assert {leaf.dtype for leaf in jax.tree.leaves(model.to_fp32(half))} == {jnp.dtype(jnp.float32)}
        assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}
        mask = jax.tree.map(lambda leaf: leaf.ndim == 4, model.params)
        for leaf in jax.tree.leaves(model.to_bf16(model.params, mask)):
            assert leaf.dtype == (jnp.bfloat16 if leaf.ndim == 4 else jnp.float32)

    def test_configurations_that_build_nothing(self, tiny_config: Any) -> None:
        with pytest.raises(UnsupportedConfig, match="longer than depths"):
            FlaxRegNetForImageClassification(tiny_config("regnet-x", depths=[1, 1]))
        with pytest.raises(UnsupportedConfig, match="num_stages"):
            FlaxConvNextModel(tiny_config("convnext", num_stages=4))
        with pytest.raises(UnsupportedConfig, match="floating-point"):
            FlaxRegNetModel(tiny_config("regnet-x"), dtype=jnp.int8)


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
