"""Convolution and batch norm that compute what torch's do, and layers in a row. Maps are (n, h, w, c) here."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class Chain(keras.layers.Layer):
    """Layers in running order. Their names, joined by dots to the chain's own, are the hub's."""

    def __init__(self, parts: list[Any], name: str) -> None:
        super().__init__(name=name)
        self.parts = parts

    def build(self, input_shape: Any) -> None:
        """Builds all parts, each for what the one before gives."""
        for part in self.parts:
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        for part in self.parts:
            # Keras hands `training` on to those inside that have it.
            x = part(x)
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        for part in self.parts:
            input_shape = part.compute_output_shape(input_shape)
        return input_shape


class Convolution(keras.layers.Conv2D):
    """keras.layers.Conv2D with `margin` zeros on every side, as torch pads; "same" is lopsided at stride 2.

    Grouped and depthwise kernels are (h, w, in / groups, out). Both have gradients on every device, eagerly, in graphs
    and under XLA; Keras' own would be compiled anew at every eager call. Raises ValueError where nothing is left of a
    map.
    """

    def __init__(self, filters: int, kernel_size: Any, *, margin: int = 0, **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, padding="valid", data_format="channels_last", **kwargs)
        self.margin = margin

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution without bias; Keras calls it."""
        margins = (self.margin, self.margin)
        x = tf.pad(inputs, ((0, 0), margins, margins, (0, 0))) if self.margin else inputs
        for have, need in zip(x.shape[1:3], self.kernel_size, strict=True):
            if have is not None and have < need:
                raise ValueError(
                    f"a map of {inputs.shape[1]} x {inputs.shape[2]} places is smaller than the kernel "
                    f"{self.kernel_size} of {self.path}: give larger pictures"
                )
        if self.groups == 1:
            strides = self.strides
            if self.kernel_size == (1, 1):
                # The same numbers; with a stride, TensorFlow's gradient of the gradient corrupts memory on CPUs.
                x, strides = x[:, :: strides[0], :: strides[1]], (1, 1)
            return tf.nn.conv2d(x, kernel, strides, "VALID")
        if self.groups == self.filters == x.shape[-1]:
            kernel = tf.reshape(kernel, (*self.kernel_size, self.filters, 1))  # same numbers, same order
            return tf.nn.depthwise_conv2d(x, kernel, (1, *self.strides, 1), "VALID")
        if tf.config.list_logical_devices("GPU"):
            return tf.nn.conv2d(x, kernel, self.strides, "VALID")
        return _grouped(x, kernel, self.strides, self.groups)

    def compute_output_shape(self, input_shape: Any) -> Any:
        n, height, width, c = input_shape
        padded = (side and side + 2 * self.margin for side in (height, width))
        return super().compute_output_shape((n, *padded, c))


def _grouped(x: Any, kernel: Any, strides: tuple[int, int], groups: int) -> Any:
    """Grouped convolution on a CPU, with its gradient group by group.

    TensorFlow has the whole gradient there only with oneDNN, and under XLA it takes over ten times as long.
    """

    @tf.custom_gradient
    def convolve(x: Any, kernel: Any) -> Any:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            common = {"strides": (1, *strides, 1), "padding": "VALID"}
            parts = [tf.split(tensor, groups, axis=-1) for tensor in (x, kernel, upstream)]
            of_x, of_kernel = [], []
            for part, weights, above in zip(*parts, strict=True):
                of_x.append(tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(part), filter=weights, out_backprop=above, **common
                ))  # fmt: skip
                of_kernel.append(tf.raw_ops.Conv2DBackpropFilter(
                    input=part, filter_sizes=tf.shape(weights), out_backprop=above, **common
                ))  # fmt: skip
            return tf.concat(of_x, axis=-1), tf.concat(of_kernel, axis=-1)

        return tf.nn.conv2d(x, kernel, strides, "VALID"), gradients

    return convolve(x, tf.convert_to_tensor(kernel))  # read out here: custom_gradient takes no variables


class BatchNorm(keras.layers.BatchNormalization):
    """Batch norm with torch's numbers: epsilon 1e-5, momentum 0.9 (torch's 0.1), unbiased running variance.

    Everything is computed in float32 at least. With `trainable` False the running statistics are used also in training.
    """

    def __init__(self, name: str) -> None:
        super().__init__(momentum=0.9, epsilon=1e-5, name=name)

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        x = exact(inputs)
        mean, variance = tf.nn.moments(x, (0, 1, 2))
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), x.dtype)
        unbiased = variance * (count / tf.maximum(count - 1.0, 1.0))
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            running.assign(exact(running) * self.momentum + batch * (1.0 - self.momentum))
        scale = tf.math.rsqrt(variance + self.epsilon) * exact(self.gamma)
        return tf.cast(x * scale + (exact(self.beta) - mean * scale), self.compute_dtype)


def exact(x: Any) -> Any:
    """x in float32 at least: sums overflow float16 and lose digits in bfloat16."""
    return tf.cast(x, keras.backend.result_type(x.dtype, "float32"))


def places_mean(x: Any, keepdims: bool = False) -> Any:
    """The mean over all places: (n, h, w, c) -> (n, c), with keepdims (n, 1, 1, c), in x's dtype."""
    return tf.cast(tf.reduce_mean(exact(x), axis=(1, 2), keepdims=keepdims), x.dtype)
