"""hidden_act -> layer: the activations by the name that the hub's configurations use, selu, and any function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from regconv.errors import UnsupportedConfig


def activation(hidden_act: str | Callable[[Any], Any], name: str) -> Any:
    """A fresh layer of this name for a name of ACTIVATIONS, "prelu", a function, a layer (copied) or a layer class.

    Functions get maps as (n, h, w, c). Raises UnsupportedConfig for a name that is not known.
    """
    if hidden_act == "prelu":
        return LearnedSlope(name=name)
    if isinstance(hidden_act, keras.layers.Layer):
        return type(hidden_act).from_config(hidden_act.get_config() | {"name": name})
    if isinstance(hidden_act, type) and issubclass(hidden_act, keras.layers.Layer):
        return hidden_act(name=name)
    if callable(hidden_act):
        return keras.layers.Activation(hidden_act, name=name)
    if hidden_act not in ACTIVATIONS:
        known = ", ".join(sorted([*ACTIVATIONS, "prelu"]))
        raise UnsupportedConfig(f"hidden_act got {hidden_act!r}, expected one of {known} in TensorFlow")
    return keras.layers.Activation(ACTIVATIONS[hidden_act], name=name)


class LearnedSlope(keras.layers.Layer):
    """max(x, 0) + weight · min(x, 0), with one learned weight for all channels."""

    def build(self, input_shape: Any) -> None:
        """A weight of 0.25, as torch has it."""
        self.weight = self.add_weight(shape=(1,), initializer=keras.initializers.Constant(0.25), name="weight")

    def call(self, x: Any) -> Any:
        return tf.maximum(x, 0) + self.weight * tf.minimum(x, 0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _gelu(x: Any) -> Any:
    return tf.nn.gelu(x, approximate=False)


def _gelu_tanh(x: Any) -> Any:
    return tf.nn.gelu(x, approximate=True)


def _gelu_clipped(x: Any) -> Any:
    return tf.clip_by_value(_gelu(x), -10.0, 10.0)


def _gelu_quick(x: Any) -> Any:
    return x * tf.sigmoid(1.702 * x)


def _hardswish(x: Any) -> Any:
    return x * tf.nn.relu6(x + 3.0) / 6.0


def _laplace(x: Any) -> Any:
    # Mean and deviation from "Mega" (Ma et al. 2022, arXiv 2209.10655): closest to a squared ReLU.
    return 0.5 * (1.0 + tf.math.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


def _leaky_relu(x: Any) -> Any:
    return tf.nn.leaky_relu(x, alpha=0.01)  # torch's slope; TensorFlow's own is 0.2


def _mish(x: Any) -> Any:
    return x * tf.tanh(tf.math.softplus(x))


def _relu_squared(x: Any) -> Any:
    return tf.square(tf.nn.relu(x))


def _sqrt_softplus(x: Any) -> Any:
    return tf.sqrt(tf.math.softplus(x))


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": _gelu,
    "gelu_10": _gelu_clipped,
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": _gelu,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "hardswish": _hardswish,
    "laplace": _laplace,
    "leaky_relu": _leaky_relu,
    "linear": tf.identity,
    "mish": _mish,
    "quick_gelu": _gelu_quick,
    "relu": tf.nn.relu,
    "relu2": _relu_squared,
    "relu6": tf.nn.relu6,
    "selu": tf.nn.selu,
    "sigmoid": tf.sigmoid,
    "silu": tf.nn.silu,
    "sqrtsoftplus": _sqrt_softplus,
    "swish": tf.nn.silu,
    "tanh": tf.tanh,
}
