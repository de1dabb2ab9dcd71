"""Training in TensorFlow against torch's: losses, gradients, batch statistics; Keras' fit, drop path, precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
keras = pytest.importorskip("keras", reason="needs requirements-tensorflow.txt")

import torch  # noqa: E402

import regconv  # noqa: E402
import regconv.tensorflow as networks  # noqa: E402
from regconv import torch as torch_networks  # noqa: E402
from regconv.layouts import hub_axes  # noqa: E402
from regconv.tensorflow.losses import classification_loss  # noqa: E402

LABELS = np.array([0, 3, 6, -100])
SHALLOW = {"hidden_sizes": [16, 24], "depths": [1, 1]}
Pair = tuple[Any, Any]


def one_layer(family: str) -> dict[str, Any]:
    """Changes that leave one layer, with every kind of operation in it: XLA takes seconds for each of them."""
    if family.startswith("regnet"):
        return {"hidden_sizes": [18], "depths": [1], "downsample_in_first_stage": True}
    return {"hidden_sizes": [24], "depths": [1], "num_stages": 1, "drop_path_rate": 0.0}


def shallow(family: str) -> dict[str, Any]:
    return SHALLOW if family.startswith("regnet") else SHALLOW | {"drop_path_rate": 0.0, "num_stages": 2}


@pytest.fixture
def pair(tiny_checkpoint: Callable[..., Path]) -> Callable[..., Pair]:
    """(family, **config changes) -> torch's and TensorFlow's classifier with the same lively weights."""

    def make(family: str, **changes: Any) -> Pair:
        folder = tiny_checkpoint(family, **changes)
        name = regconv.AutoConfig.from_pretrained(folder).family + "ForImageClassification"
        kinds = getattr(torch_networks, name), getattr(networks, "TF" + name)
        return kinds[0].from_pretrained(folder), kinds[1].from_pretrained(folder)

    return make


def pictures(n: int = 4, side: int = 32) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, 3, side, side)).astype(np.float32)


def cosine(a: Any, b: Any) -> float:
    a, b = (np.asarray(tf.cast(x, tf.float64)).ravel() for x in (a, b))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def gradients(network: Any, mode: Callable[..., Any]) -> dict[str, np.ndarray]:
    """Hub name -> gradient, with hub axes, of the mean loss of three pictures; the fourth's label is left out."""
    variables = {name: variable for name, variable in network.hub_variables().items() if variable.trainable}

    def of_loss(pixels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(pixels, labels=LABELS, training=True).loss) / 3
        return tape.gradient(loss, [variable.value for variable in variables.values()])

    found = mode(of_loss)(tf.constant(pictures()))
    return {
        name: hub_axes(gradient.numpy()) if variable.name == "kernel" else gradient.numpy()
        for (name, variable), gradient in zip(variables.items(), found, strict=True)
    }


def under_xla(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, jit_compile=True)


@pytest.mark.parametrize(
    ("family", "mode"),
    [
        ("regnet-x", lambda f: f),
        ("regnet-y", tf.function),
        ("convnext", lambda f: f),
        ("convnextv2", under_xla),
        ("regnet-x", under_xla),
    ],
    ids=["regnet-x", "regnet-y in a graph", "convnext", "convnextv2 under XLA", "regnet-x under XLA"],
)
def test_gradients_and_batch_statistics_are_torchs(pair: Callable[..., Pair], family: str, mode: Any) -> None:
    reference, network = pair(family, **(one_layer(family) if mode is under_xla else shallow(family)))
    before = network.hub_arrays()
    found = gradients(network, mode)
    reference.train()(torch.from_numpy(pictures()), labels=torch.from_numpy(LABELS)).loss.backward()
    expected = {name: parameter.grad.numpy() for name, parameter in reference.named_parameters()}
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert found.keys() == expected.keys()
    assert max(np.abs(found[name] - expected[name]).max() for name in expected) < 1e-5 * largest
    after = network.hub_arrays()
    statistics = {name: buffer.numpy() for name, buffer in reference.named_buffers() if "running" in name}
    assert len(statistics) == 2 * sum("running_mean" in name for name in before)
    for name, expected_values in statistics.items():
        assert not np.array_equal(before[name], after[name])
        np.testing.assert_allclose(after[name], expected_values, rtol=1e-5, atol=1e-6)


def test_a_frozen_batch_norm_keeps_its_statistics(pair: Callable[..., Pair]) -> None:
    network = pair("regnet-x")[1]
    network.trainable = False
    before = network.hub_arrays()
    trained = network(pictures(), training=True).logits
    assert np.array_equal(trained, network(pictures()).logits)
    assert all(np.array_equal(before[name], after) for name, after in network.hub_arrays().items())


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "labels"),
    [
        (7, None, np.array([0, 3, 6, -100])),
        (7, None, np.array([[0], [3], [6], [2]])),
        (7, "single_label_classification", np.array([0, 3, 6, 2], np.int32)),
        (1, None, np.array([0.5, -1.0, 2.0, 0.0], np.float32)),
        (1, None, np.array([[1], [0], [3], [2]])),
        (3, "regression", np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)),
        (7, None, np.eye(7, dtype=np.float32)[:4]),
        (7, "multi_label_classification", np.eye(7, dtype=np.int64)[:4]),
    ],
)
def test_the_loss_of_every_picture_is_torchs(num_labels: int, problem_type: str | None, labels: np.ndarray) -> None:
    config = regconv.RegNetConfig(num_labels=num_labels, problem_type=problem_type)
    logits = np.random.default_rng(1).normal(size=(4, num_labels)).astype(np.float32)
    found = classification_loss(logits, labels, config)
    assert found.shape == (4,)
    assert found.dtype == tf.float32
    there, target = torch.from_numpy(logits), torch.from_numpy(labels)
    functional = torch.nn.functional
    if num_labels == 1 or problem_type == "regression":
        expected = functional.mse_loss(there, target.reshape(4, -1).float(), reduction="none").mean(dim=1)
    elif labels.shape == (4, 7):
        expected = functional.binary_cross_entropy_with_logits(there, target.float(), reduction="none").mean(dim=1)
    else:
        expected = functional.cross_entropy(there, target.reshape(-1).long(), reduction="none")
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert config.problem_type == problem_type


def test_an_unknown_problem_type_is_refused() -> None:
    config = regconv.RegNetConfig(num_labels=7)
    config.problem_type = "guess"
    with pytest.raises(ValueError, match="problem_type got 'guess', expected one of regression"):
        classification_loss(np.zeros((4, 7)), LABELS, config)


def fitted(network: Any, *data: Any, loss: Any = None, jit_compile: Any = False, **options: Any) -> Any:
    network.compile(keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"], jit_compile=jit_compile)
    return network.fit(*data, epochs=6, batch_size=4, shuffle=False, verbose=0, **options)


@pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
def test_fit_learns_with_the_models_own_loss_and_counts_hits(tiny_config: Callable[..., Any], family: str) -> None:
    keras.utils.set_random_seed(1)
    config = tiny_config(family, **one_layer(family))
    network = getattr(networks, f"TF{config.family}ForImageClassification")(config)
    labels = np.array([0, 3, 6, 2])
    # Keras' own choice for jit_compile: XLA wherever the layers support it.
    history = fitted(network, pictures(), labels, jit_compile="auto").history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    loss, accuracy = network.evaluate(pictures(), labels, verbose=0)
    output = network(pictures(), labels=labels)
    assert loss == pytest.approx(float(tf.reduce_mean(output.loss)), rel=1e-5)
    assert accuracy == np.mean(np.argmax(output.logits, axis=1) == labels)


def test_labels_may_stand_in_x_and_the_loss_be_keras(pair: Callable[..., Pair]) -> None:
    pixels, labels = pictures(), np.array([0, 3, 6, 2])
    network = pair("convnext", **one_layer("convnext"))[1]
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    inputs = {"pixel_values": pixels, "labels": labels}
    found = []
    for loss in (None, keras_loss):
        network.compile(loss=loss, metrics=["accuracy"], run_eagerly=True)
        for as_dict in (True, False):
            network.config.return_dict = as_dict
            found += [network.evaluate(*data, verbose=0) for data in ((pixels, labels), (inputs,), (inputs, labels))]
        if loss is None:
            with pytest.raises(ValueError, match="there are no labels: give them as y"):
                network.evaluate(pixels, verbose=0)
    assert len(found) == 12
    assert all(row == pytest.approx(found[0], rel=1e-6) for row in found)


def test_the_own_loss_is_a_mean_over_labels_that_count(pair: Callable[..., Pair]) -> None:
    reference, network = pair("convnext")
    network.compile(run_eagerly=True)
    with torch.no_grad():
        expected = reference(torch.from_numpy(pictures()), labels=torch.from_numpy(LABELS)).loss.item()
    assert network.evaluate(pictures(), LABELS, verbose=0) == pytest.approx(expected, rel=1e-5)
    each = network(pictures(), labels=LABELS).loss.numpy()
    weights = np.array([1.0, 2.0, 0.0, 5.0])
    weighted = network.evaluate(pictures(), LABELS, sample_weight=weights, verbose=0)
    assert weighted == pytest.approx((each[0] + 2 * each[1]) / 3, rel=1e-5)


def test_a_bare_network_is_fitted_to_its_outputs_by_name(tiny_config: Callable[..., Any]) -> None:
    keras.utils.set_random_seed(1)
    network = networks.TFRegNetModel(tiny_config("regnet-x", **SHALLOW))
    target = {"pooler_output": np.zeros((4, 24, 1, 1), np.float32)}
    network.compile(keras.optimizers.SGD(1e-2), loss={"pooler_output": "mse"}, jit_compile=False)
    history = network.fit(pictures(), target, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_drop_path_leaves_out_whole_branches_in_training_alone(pair: Callable[..., Pair]) -> None:
    network = pair("convnext", depths=[1, 1, 1], drop_path_rate=0.5)[1]
    pixels = np.repeat(pictures(1), 64, axis=0)
    assert np.ptp(network(pixels).logits.numpy(), axis=0).max() < 1e-5
    keras.utils.set_random_seed(4)
    output = network(pixels, output_hidden_states=True, training=True)
    # The stages' rates are 0, 0.25 and 0.5: a kept branch is one of two values per stage, so one, two, four kinds.
    kinds = [len(np.unique(np.round(x.numpy().reshape(64, -1), 3), axis=0)) for x in output.hidden_states[1:]]
    assert kinds == [1, 2, 4]
    layer = network.base_model.stages[2].parts[-1].drop_path
    drawn = layer(tf.ones((4000, 2, 2, 3)), training=True).numpy()
    assert set(np.unique(drawn)) == {0.0, 2.0}
    assert np.all(drawn == drawn[:, :1, :1, :1])
    assert abs(drawn.mean() - 1.0) < 0.08


def test_a_seed_repeats_drop_path(tiny_config: Callable[..., Any]) -> None:
    def trained() -> np.ndarray:
        keras.utils.set_random_seed(9)
        network = networks.TFConvNextModel(tiny_config("convnext", drop_path_rate=0.8, layer_scale_init_value=1.0))
        return network(pictures(), training=True).last_hidden_state.numpy()

    assert np.array_equal(trained(), trained())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
def test_half_precision_is_close_and_keeps_variables_and_losses_exact(
    pair: Callable[..., Pair], family: str, policy: str
) -> None:
    exact = pair(family)[1]
    half = type(exact)(exact.config, dtype=policy)
    assert keras.config.dtype_policy().name == "float32"
    for name, variable in half.hub_variables().items():
        variable.assign(exact.hub_variables()[name].value)
    expected = exact(pictures(), output_hidden_states=True)
    found = half(pictures(), labels=LABELS, output_hidden_states=True)
    assert found.logits.dtype.name == policy.removeprefix("mixed_")
    assert found.loss.dtype == tf.float32
    assert min(map(cosine, found.hidden_states, expected.hidden_states)) > 0.9995
    assert cosine(found.logits, expected.logits) > 0.9995
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(half(pictures(), labels=LABELS, training=True).loss)
    slopes = tape.gradient(loss, [variable.value for variable in half.trainable_variables])
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert {variable.dtype for variable in half.weights} == {"float32"}
    statistics = [name for name in half.hub_variables() if "running" in name]
    exact(pictures(), training=True)
    for name in statistics:
        assert cosine(half.hub_variables()[name].value, exact.hub_variables()[name].value) > 0.9995


def test_a_policy_of_half_variables_runs_too(pair: Callable[..., Pair]) -> None:
    for family in ("regnet-y", "convnextv2"):
        exact = pair(family, **shallow(family))[1]
        half = type(exact)(exact.config, dtype="float16")
        for name, variable in half.hub_variables().items():
            variable.assign(exact.hub_variables()[name].numpy())
        assert {variable.dtype for variable in half.weights} == {"float16"}
        assert cosine(half(pictures()).logits, exact(pictures()).logits) > 0.9995
        assert np.isfinite(half(pictures(), training=True).logits).all()
