"""The TensorFlow networks against torch's with the same lively weights; their inputs, outputs and refusals."""

from __future__ import annotations

import importlib
import sys
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
from regconv.image_batch import BatchFeature  # noqa: E402
from regconv.tensorflow.activations import ACTIVATIONS, activation  # noqa: E402
from regconv.torch.activations import activation as torch_activation  # noqa: E402

FAMILIES = ("regnet-x", "regnet-y", "convnext", "convnextv2")
BOUND = 1e-5  # of the largest value, in float32
Pair = tuple[Any, Any]


@pytest.fixture
def pair(tiny_checkpoint: Callable[..., Path]) -> Callable[..., Pair]:
    """(family, head=True, **config changes) -> torch's network and TensorFlow's with the same lively weights."""

    def make(family: str, *, head: bool = True, **changes: Any) -> Pair:
        folder = tiny_checkpoint(family, head=head, **changes)
        name = regconv.AutoConfig.from_pretrained(folder).family + ("ForImageClassification" if head else "Model")
        kinds = getattr(torch_networks, name), getattr(networks, "TF" + name)
        return kinds[0].from_pretrained(folder), kinds[1].from_pretrained(folder)

    return make


def pictures(height: int = 32, width: int = 40, n: int = 2, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, channels, height, width)).astype(np.float32)


def difference(found: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest value; the shapes must be equal."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def in_torch(network: Any, pixels: np.ndarray, **options: Any) -> Any:
    with torch.no_grad():
        return network(torch.from_numpy(pixels), **options)


def compared(pair_of_networks: Pair, pixels: np.ndarray) -> list[float]:
    expected = in_torch(pair_of_networks[0], pixels, output_hidden_states=True)
    found = pair_of_networks[1](pixels, output_hidden_states=True)
    assert list(found) == list(expected)
    assert len(found.hidden_states) == len(expected.hidden_states)
    names = [name for name in found if name != "hidden_states"]
    maps = zip(found.hidden_states, expected.hidden_states, strict=True)
    return [difference(found[name], expected[name]) for name in names] + [difference(a, b) for a, b in maps]


@pytest.mark.parametrize("head", [True, False], ids=["head", "bare"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_map_and_the_end_are_torchs(pair: Callable[..., Pair], family: str, head: bool) -> None:
    both = pair(family, head=head)
    for height, width in ((32, 32), (65, 97)):
        assert max(compared(both, pictures(height, width))) < BOUND


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("regnet-y", {"downsample_in_first_stage": False, "hidden_act": "prelu", "num_channels": 1}),
        ("convnext", {"layer_scale_init_value": 0, "patch_size": [4, 2]}),
        ("convnext", {"stem_type": "overlap_act", "norm_type": "rms", "hidden_act": "prelu"}),
        ("convnextv2", {"stem_type": "overlap_tiered", "norm_type": "simple", "layer_norm_eps": 1e-3}),
    ],
)
def test_the_configurations_options_are_torchs(pair: Callable[..., Pair], family: str, changes: dict[str, Any]) -> None:
    assert max(compared(pair(family, head=False, **changes), pictures(channels=changes.get("num_channels", 3)))) < BOUND


@pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])  # every kind of layer is in one of them
def test_graph_xla_and_predict_give_the_same_in_the_same_types(pair: Callable[..., Pair], family: str) -> None:
    network, pixels = pair(family)[1], pictures()
    eager = network(pixels, output_hidden_states=True)
    for compiled in (tf.function(network), tf.function(network, jit_compile=True)):
        found = compiled(pixels, output_hidden_states=True)
        assert type(found) is type(eager)
        assert difference(found.logits, eager.logits) < BOUND
        assert difference(found.hidden_states[-1], eager.hidden_states[-1]) < BOUND
    network.config.output_hidden_states = True
    predicted = network.predict(pixels, batch_size=1, verbose=0)
    assert type(predicted) is type(eager)
    assert isinstance(predicted.logits, np.ndarray)
    assert difference(predicted.logits, eager.logits) < BOUND
    assert [x.shape for x in predicted["hidden_states"]] == [tuple(x.shape) for x in eager.hidden_states]


def test_a_graph_with_open_sizes_takes_any_picture(pair: Callable[..., Pair]) -> None:
    reference, network = pair("regnet-y", head=False)
    graph = tf.function(network, input_signature=[tf.TensorSpec((None, 3, None, None), tf.float32)])
    for height, width in ((32, 32), (33, 48)):
        pixels = pictures(height, width, n=1)
        assert difference(graph(pixels).last_hidden_state, in_torch(reference, pixels).last_hidden_state) < BOUND
    assert graph.experimental_get_tracing_count() == 1


def test_it_stands_in_a_functional_model(pair: Callable[..., Pair]) -> None:
    network, pixels = pair("convnext")[1], pictures(32, 32)
    inputs = keras.Input((3, 32, 32))
    model = keras.Model(inputs, network(inputs).logits * 2.0)
    assert difference(model(pixels), network(pixels).logits * 2.0) < BOUND


@pytest.mark.parametrize("family", ["regnet-x", "convnext"])
def test_every_form_of_input_means_the_same(pair: Callable[..., Pair], family: str) -> None:
    network, pixels, labels = pair(family)[1], pictures(), np.array([1, 4])
    with_loss = network(pixels, labels=labels)
    assert list(with_loss) == ["loss", "logits"]
    assert with_loss.loss.shape == (2,)
    plain = with_loss.logits.numpy()
    forms = [
        network(pixel_values=pixels),
        network(tf.constant(pixels)),
        network([pixels]),
        network((pixels,), output_hidden_states=True),
        network({"pixel_values": pixels}),
        network(BatchFeature(pixel_values=pixels)),
        network(pixels.astype(np.float64)),
        network.call(pixels),
        network({"pixel_values": pixels, "labels": labels}),
    ]
    assert all(np.array_equal(form.logits, plain) for form in forms)
    second = {"regnet-x": (labels,), "convnext": (None, None, labels)}[family]  # the documents' orders differ
    assert np.array_equal(network(pixels, *second).loss, with_loss.loss)
    assert np.array_equal(
        network(np.full((1, 3, 32, 32), 2, np.uint8)).logits, network(np.full((1, 3, 32, 32), 2.0)).logits
    )


def test_tuples_hold_one_nested_tuple_of_maps_with_channels_first(pair: Callable[..., Pair]) -> None:
    for family, head in (("regnet-y", False), ("convnext", False), ("regnet-y", True), ("convnext", True)):
        network = pair(family, head=head)[1]
        output = network(pictures(), output_hidden_states=True)
        network.config.return_dict, network.config.output_hidden_states = False, True
        parts = network(pictures())
        assert type(parts) is tuple
        assert len(parts) == len(output)
        assert type(parts[-1]) is tuple
        assert [tuple(x.shape) for x in parts[-1]] == [tuple(x.shape) for x in output.hidden_states]
        assert parts[-1][0].shape[1] == {"regnet-y": 10, "convnext": 8}[family]
        assert output[0] is output[next(iter(output))]
    assert output.attentions is None
    with pytest.raises(KeyError):
        output["attentions"]


def test_pooled_shapes_are_the_documented_ones(pair: Callable[..., Pair]) -> None:
    regnet, convnext = pair("regnet-x", head=False)[1], pair("convnext", head=False)[1]
    assert regnet(pictures()).pooler_output.shape == (2, 40, 1, 1)
    assert convnext(pictures()).pooler_output.shape == (2, 20)
    assert type(regnet(pictures())) is regconv.TFBaseModelOutputWithPoolingAndNoAttention
    assert type(convnext(pictures())) is regconv.TFBaseModelOutputWithPooling
    bare = networks.TFConvNextModel(convnext.config, add_pooling_layer=False)
    assert list(bare(pictures())) == ["last_hidden_state"]
    assert len(bare(pictures(), return_dict=False)) == 1


def test_without_labels_the_pooled_output_comes_out(pair: Callable[..., Pair]) -> None:
    for family in ("regnet-y", "convnext"):
        network = pair(family, num_labels=0)[1]
        assert network(pictures()).logits.shape == (2, network.config.hidden_sizes[-1])


@pytest.mark.parametrize("family", ["regnet-y", "convnext"])
def test_wrong_inputs_are_refused(pair: Callable[..., Pair], family: str) -> None:
    network = pair(family)[1]
    channels = "Make sure that the channel dimension of the pixel values match with the one set"
    with pytest.raises(ValueError, match=channels):
        network(pictures(channels=2))
    with pytest.raises(ValueError, match=channels):
        network(pictures()[0])
    with pytest.raises(ValueError, match=channels):
        tf.function(network)(pictures(channels=2))
    anything = tf.function(network, input_signature=[tf.TensorSpec(None, tf.float32)])
    assert anything(pictures()).logits.shape == (2, 7)
    with pytest.raises(tf.errors.InvalidArgumentError, match=channels):
        anything(pictures(channels=2))
    for nothing in (None, {"labels": np.array([1])}):
        with pytest.raises(ValueError, match="You have to specify pixel_values"):
            network(nothing)
    with pytest.raises(ValueError, match="no inputs pixels"):
        network({"pixel_values": pictures(), "pixels": 1})
    with pytest.raises(TypeError, match="output_attentions"):
        network(pictures(), output_attentions=True)
    with pytest.raises(TypeError, match="needs a"):
        type(network)(object())


def test_pictures_too_small_for_convnext_are_refused(pair: Callable[..., Pair]) -> None:
    with pytest.raises(ValueError, match="give larger pictures"):
        pair("convnext")[1](pictures(8, 8))


@pytest.mark.parametrize("name", [*sorted(ACTIVATIONS), "prelu"])
def test_activations_are_torchs(name: str) -> None:
    x = np.linspace(-12, 12, 4001, dtype=np.float32).reshape(1, 1, -1, 1)
    expected = torch_activation(name)(torch.from_numpy(x)).detach().numpy()
    assert difference(activation(name, "act")(x), expected) < 1e-6


def test_activations_may_be_functions_and_layers(pair: Callable[..., Pair]) -> None:
    config = pair("regnet-x")[1].config
    layer = keras.layers.LeakyReLU(0.3)
    for hidden_act in (lambda x: tf.nn.leaky_relu(x, 0.3), layer, keras.layers.LeakyReLU):
        keras.utils.set_random_seed(2)
        config.hidden_act = hidden_act
        last = networks.TFRegNetModel(config)(pictures()).last_hidden_state.numpy()
        assert last.min() < 0 < last.max()
        config.hidden_sizes, config.depths = [16], [1]
    with pytest.raises(regconv.UnsupportedConfig, match="hidden_act got 'gelo', expected one of gelu"):
        networks.TFRegNetModel(regconv.RegNetConfig(hidden_act="gelo"))


def test_start_values_repeat_and_have_the_documented_spread(tiny_config: Callable[..., Any]) -> None:
    regnet_config, convnext_config = tiny_config("regnet-y"), tiny_config("convnext", hidden_sizes=[64, 64, 64])
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        regnet = networks.TFRegNetModel(regnet_config).hub_arrays()
        convnext = networks.TFConvNextForImageClassification(convnext_config).hub_arrays()
        drawn.append((regnet, convnext))
    for first, second in zip(*drawn, strict=True):
        assert all(np.array_equal(first[name], second[name]) for name in first)
    kernel = regnet["encoder.stages.2.layers.0.layer.1.convolution.weight"]  # (22, 11, 3, 3) in two groups
    limit = (6 / (9 * (11 + 22))) ** 0.5
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    assert not regnet["encoder.stages.2.layers.0.layer.2.attention.0.bias"].any()
    kernel = convnext["convnext.encoder.stages.0.layers.0.pwconv1.weight"]
    assert np.abs(kernel).max() <= 0.04
    assert abs(kernel.std() - 0.0176) < 0.0005
    assert np.all(convnext["convnext.encoder.stages.0.layers.0.layer_scale_parameter"] == np.float32(1e-6))


def test_refusals_at_import_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(keras.config, "backend", lambda: "jax")
        with pytest.raises(regconv.WrongKerasBackend, match="set KERAS_BACKEND=tensorflow before"):
            importlib.reload(networks)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tensorflow", None)
        with pytest.raises(regconv.FrameworkMissing, match=r"requirements-tensorflow\.txt"):
            importlib.reload(networks)
    assert issubclass(regconv.WrongKerasBackend, ImportError)
