"""What every TensorFlow network here is: a Keras model of a configuration, which takes and gives (n, c, h, w)."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf

from regconv.configuration import AnyConfig
from regconv.outputs import Output, TFSequenceClassifierOutput
from regconv.tensorflow.losses import MeanLoss, classification_loss

_WRONG_CHANNELS = (
    "Make sure that the channel dimension of the pixel values match with the one set in the configuration."
)


class Network(keras.Model):
    """Base of the networks, built with start values as soon as it is made.

    Keywords are keras.Model's: name, trainable and dtype, a Keras policy such as "mixed_bfloat16" for the whole network.
    Called with pixel_values first, or with a dict of the arguments' names, or with a list in their order; tensors or
    NumPy arrays. Pictures are cast to the policy's compute dtype. Raises ValueError for pixel_values that are missing
    or have another number of channels (in a graph that leaves the channels open: InvalidArgumentError when it runs).
    """

    config_class: ClassVar[type[AnyConfig]]
    base_model_prefix: ClassVar[str]
    trunk_class: ClassVar[Any]
    main_input_name = "pixel_values"
    head_prefix = "classifier."

    def __init__(self, config: Any, **kwargs: Any) -> None:
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__} needs a {self.config_class.__name__}, got {type(config).__name__}")
        trainable = kwargs.pop("trainable", True)
        # Labels keep their precision: without autocast only the pictures become half, and only below.
        super().__init__(autocast=False, **kwargs)
        self.config: Any = config
        with _as_default(self.dtype_policy):
            self.make_parts()
        self.build((None, config.num_channels, None, None))
        self.trainable = trainable

    def make_parts(self) -> None:
        """Makes the layers, by name; they are built afterwards."""
        setattr(self, self.base_model_prefix, self.trunk_class(self.config, name=self.base_model_prefix))

    @property
    def base_model(self) -> Any:
        """The layers without the head; they take and give (n, h, w, c)."""
        return getattr(self, self.base_model_prefix)

    def build(self, input_shape: Any) -> None:
        """Makes all variables; input_shape (n, c, h, w), of which only c counts."""
        if not self.built:
            self.base_model.build((None, None, None, input_shape[1]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parameters = inspect.signature(type(self).call)
        given = parameters.bind(self, *args, **kwargs).arguments
        del given["self"]
        first = given.get("pixel_values")
        if isinstance(first, list | tuple):
            first = dict(zip(list(parameters.parameters)[1:], first, strict=False))
        if isinstance(first, Mapping):
            unknown = first.keys() - parameters.parameters.keys()
            if unknown:
                raise ValueError(f"{type(self).__name__} has no inputs {', '.join(sorted(unknown))}")
            given |= {"pixel_values": None, **first}
        pixel_values = given.pop("pixel_values", None)
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        return super().__call__(pixel_values, **given)

    def channels_last(self, pixel_values: Any) -> Any:
        """(n, c, h, w) -> (n, h, w, c) in the compute dtype. Raises ValueError for another number of channels."""
        count = self.config.num_channels
        pixel_values = tf.convert_to_tensor(pixel_values)
        if pixel_values.shape.rank is not None and pixel_values.shape[1] not in (None, count):
            raise ValueError(_WRONG_CHANNELS)
        if pixel_values.shape.rank is None or pixel_values.shape[1] is None:
            check = tf.debugging.assert_equal(tf.shape(pixel_values)[1], count, _WRONG_CHANNELS)
            with tf.control_dependencies([check] if check is not None else []):
                pixel_values = tf.ensure_shape(tf.identity(pixel_values), (None, count, None, None))
        return tf.cast(tf.transpose(pixel_values, (0, 2, 3, 1)), self.compute_dtype)

    def handed_out(
        self, kind: type[Output], maps: list[Any], wants_maps: bool | None, as_dict: bool | None, **values: Any
    ) -> Any:
        """The output type or its tuple; maps (n, h, w, c) become hidden_states (n, c, h, w) where they are wanted."""
        wants_maps = self.config.output_hidden_states if wants_maps is None else wants_maps
        values["hidden_states"] = tuple(channels_first(x) for x in maps) if wants_maps else None
        output = kind(values)
        as_dict = self.config.return_dict if as_dict is None else as_dict
        return output if as_dict else output.to_tuple()

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of compile, by name of the output where it is a dict; Keras calls it."""
        return super().compute_loss(x, y, _plain(y_pred), sample_weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The metrics so far; Keras calls it."""
        return super().compute_metrics(x, y, _plain(y_pred), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """What a .keras file holds of the model beside its variables."""
        fields = self.config.to_dict()
        if callable(fields["hidden_act"]):
            fields["hidden_act"] = keras.saving.serialize_keras_object(fields["hidden_act"])
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": policy,
            "config": json.loads(json.dumps(fields)),  # as the file will give it back: without tuples
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The model of a get_config, with start values."""
        keywords = dict(config)
        fields = dict(keywords.pop("config"))
        if isinstance(fields["hidden_act"], dict):
            fields["hidden_act"] = keras.saving.deserialize_keras_object(fields["hidden_act"], custom_objects)
        return cls(cls.config_class.from_dict(fields), **keywords)


class ClassifierNetwork(Network):
    """Network with a linear classifier, and with a loss of its own for fit and evaluate.

    compile(loss=None) trains on the mean of the model's loss (see regconv.tensorflow.losses), compile(loss=…) on that;
    labels are y, or stand beside pixel_values in x. Losses and metrics get the logits. A compile without a loss after
    one with a loss keeps that one, as Keras has it.
    """

    def make_parts(self) -> None:
        super().make_parts()
        self.classifier = self.make_classifier() if self.config.num_labels > 0 else None
        self._mean_loss = MeanLoss(self.config)

    make_classifier: Callable[[], Any]  # of a family: the linear layer under the hub's name

    def build(self, input_shape: Any) -> None:
        """Makes all variables, as Network does."""
        if not self.built:
            super().build(input_shape)
            if self.classifier is not None:
                self.classifier.build((None, self.config.hidden_sizes[-1]))

    def classified(
        self, maps: list[Any], pooled: Any, labels: Any, wants_maps: bool | None, as_dict: bool | None
    ) -> Any:
        """The output for pooled (n, c): logits, with labels the loss before them, on request the maps."""
        logits = pooled if self.classifier is None else self.classifier(pooled)
        loss = None if labels is None else classification_loss(logits, labels, self.config)
        return self.handed_out(TFSequenceClassifierOutput, maps, wants_maps, as_dict, loss=loss, logits=logits)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """What fit minimises; Keras calls it. Raises ValueError without labels."""
        labels, logits = _labels(x, y), _logits(x, y_pred)
        if self.loss is not None:
            return super().compute_loss(x, labels, logits, sample_weight, training)
        if labels is None:
            raise ValueError("there are no labels: give them as y, or beside pixel_values in x")
        return tf.add_n([self._mean_loss(labels, logits, sample_weight), *self.losses])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The metrics so far; Keras calls it."""
        return super().compute_metrics(x, _labels(x, y), _logits(x, y_pred), sample_weight)


def channels_first(x: Any) -> Any:
    """(n, h, w, c) -> (n, c, h, w)."""
    return tf.transpose(x, (0, 3, 1, 2))


def _plain(y_pred: Any) -> Any:
    # Keras looks for outputs by name in plain dicts only.
    return dict(y_pred) if isinstance(y_pred, Output) else y_pred


def _labels(x: Any, y: Any) -> Any:
    if isinstance(y, Mapping):
        return y.get("labels", y)
    return x.get("labels") if y is None and isinstance(x, Mapping) else y


def _logits(x: Any, y_pred: Any) -> Any:
    if isinstance(y_pred, Output):
        return y_pred["logits"]
    # A tuple, with config.return_dict=False, begins with the loss where the labels were among the inputs.
    return y_pred[1 if isinstance(x, Mapping) and x.get("labels") is not None else 0]


@contextlib.contextmanager
def _as_default(policy: Any) -> Iterator[None]:
    """Inside, new layers have this dtype policy. Keras keeps the default per thread."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
