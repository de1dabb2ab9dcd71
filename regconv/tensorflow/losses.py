"""The loss of a classification head per picture, and its mean for Keras' fit and evaluate."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from regconv.configuration import PROBLEM_TYPES, AnyConfig

_LEFT_OUT = -100  # a label that counts for nothing, as in torch


def classification_loss(logits: Any, labels: Any, config: AnyConfig) -> Any:
    """The loss of every picture, float32 (n,), from logits (n, num_labels).

    labels: (n,) or (n, 1) for one label a picture, where -100 gives 0; (n, num_labels) for several labels or for
    regression, whose loss is the mean over them. A problem_type of None is settled by num_labels and the labels' shape,
    and stays None. Raises ValueError for an unknown problem_type.
    """
    logits, labels = tf.cast(logits, tf.float32), tf.convert_to_tensor(labels)
    kind = _problem_type(labels, config)
    if kind == "single_label_classification":
        labels = tf.reshape(tf.cast(labels, tf.int32), (-1,))
        counts = labels != _LEFT_OUT
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(counts, labels, 0), logits)
        return tf.where(counts, losses, 0.0)
    labels = tf.reshape(tf.cast(labels, tf.float32), tf.shape(logits))
    if kind == "regression":
        return tf.reduce_mean(tf.math.squared_difference(logits, labels), axis=-1)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)


def _problem_type(labels: Any, config: AnyConfig) -> str:
    if config.problem_type is not None:
        if config.problem_type not in PROBLEM_TYPES:
            expected = ", ".join(PROBLEM_TYPES)
            raise ValueError(f"problem_type got {config.problem_type!r}, expected one of {expected} or None")
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    has_several = labels.shape.rank == 2 and labels.shape[1] == config.num_labels
    return "multi_label_classification" if has_several else "single_label_classification"


class MeanLoss(keras.losses.Loss):
    """The mean of classification_loss, by the samples' weights where there are any; left-out labels do not count."""

    def __init__(self, config: AnyConfig) -> None:
        super().__init__(name="classification_loss", reduction="mean_with_sample_weight", dtype="float32")
        self.config = config

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if _problem_type(y_true, self.config) == "single_label_classification":
            counts = tf.cast(tf.reshape(y_true, (-1,)) != _LEFT_OUT, tf.float32)
            sample_weight = counts if sample_weight is None else counts * tf.cast(sample_weight, tf.float32)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return classification_loss(y_pred, y_true, self.config)
