"""The norms of ConvNeXt: over the channels of every place, and V2's over the responses to a whole picture.

All but the layer norm are for checkpoints of timm's small networks, and have no bias.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from regconv.tensorflow.layers import exact

_EPS = 1e-6


def channel_norm(norm_type: str, name: str, *, epsilon: float = _EPS) -> Any:
    """The norm of a configuration's norm_type, for (…, c)."""
    if norm_type == "layer":
        return keras.layers.LayerNormalization(epsilon=epsilon, name=name)
    return ScaleNorm(is_centred=norm_type == "simple", epsilon=epsilon, name=name)


class ScaleNorm(keras.layers.Layer):
    """x divided by the root of its mean square, is_centred: by its deviation, times a weight per channel; no bias."""

    def __init__(self, *, is_centred: bool, epsilon: float, name: str) -> None:
        super().__init__(name=name)
        self.is_centred = is_centred
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """A weight of 1."""
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma", autocast=False)

    def call(self, x: Any) -> Any:
        x = exact(x)
        if self.is_centred:
            # The deviation is the sample's: divided by the number of channels less one.
            centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
            squares = tf.reduce_sum(tf.square(centred), axis=-1, keepdims=True) / (x.shape[-1] - 1)
        else:
            squares = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return tf.cast(x * tf.math.rsqrt(squares + self.epsilon) * exact(self.gamma), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class ResponseNorm(keras.layers.Layer):
    """Global response normalisation (Woo et al. 2023, arXiv 2301.00808) of (n, h, w, c).

    Every channel is scaled by its length over the picture in proportion to the mean length of all channels.
    """

    def build(self, input_shape: Any) -> None:
        """Both 0: at the start the input goes through unchanged."""
        shape = (1, 1, 1, input_shape[-1])
        self.weight = self.add_weight(shape=shape, initializer="zeros", name="weight", autocast=False)
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias", autocast=False)

    def call(self, x: Any) -> Any:
        x = exact(x)
        lengths = _length(x)  # (n, 1, 1, c)
        shares = lengths / (tf.reduce_mean(lengths, axis=-1, keepdims=True) + _EPS)
        return tf.cast(exact(self.weight) * (x * shares) + exact(self.bias) + x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _length(x: Any) -> Any:
    squares = tf.reduce_sum(tf.square(x), axis=(1, 2), keepdims=True)
    # The root of 0 has an infinite slope, and `where` hands on the gradient of the side that it leaves out as well.
    is_positive = squares > 0
    return tf.where(is_positive, tf.sqrt(tf.where(is_positive, squares, 1.0)), 0.0)
