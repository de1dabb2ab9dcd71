"""RegNetX and RegNetY in TensorFlow (Radosavovic et al. 2020, arXiv 2003.13678).

Pictures and maps are (n, c, h, w) outside and (n, h, w, c) inside, as TensorFlow likes them.
"""

from __future__ import annotations

from typing import Any

import keras

from regconv.configuration import RegNetConfig
from regconv.errors import UnsupportedConfig
from regconv.layer_plan import LayerPlan, layer_plan, stem_plan
from regconv.outputs import TFBaseModelOutputWithPoolingAndNoAttention
from regconv.tensorflow.activations import activation
from regconv.tensorflow.layers import BatchNorm, Chain, Convolution, places_mean
from regconv.tensorflow.network import ClassifierNetwork, channels_first
from regconv.tensorflow.pretrained import PretrainedNetwork


def conv_norm(name: str, width: int, kernel: int, stride: int = 1, groups: int = 1, act: Any = None) -> Chain:
    """Convolution without bias, batch norm, and the activation `act` where there is one."""
    convolution = Convolution(
        width, kernel, margin=kernel // 2, strides=stride, groups=groups, use_bias=False, name="convolution"
    )
    after = [] if act is None else [activation(act, "activation")]
    return Chain([convolution, BatchNorm("normalization"), *after], name)


class SqueezeExcite(keras.layers.Layer):
    """Every channel scaled by 0 to 1, from the means of all channels (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, width: int, squeeze_width: int, name: str) -> None:
        super().__init__(name=name)
        squeeze = Convolution(squeeze_width, 1, activation="relu", name="0")
        excite = Convolution(width, 1, activation="sigmoid", name="2")
        self.attention = Chain([squeeze, excite], "attention")

    def build(self, input_shape: Any) -> None:
        """Builds both convolutions."""
        self.attention.build(input_shape)

    def call(self, x: Any) -> Any:
        return x * self.attention(places_mean(x, keepdims=True))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class RegNetLayer(keras.layers.Layer):
    """One residual bottleneck: 1x1, grouped 3x3, in Y squeeze-and-excitation, 1x1; then the sum's activation."""

    def __init__(self, plan: LayerPlan, config: RegNetConfig, name: str) -> None:
        super().__init__(name=name)
        width, act = plan.width, config.hidden_act
        self.shortcut = conv_norm("shortcut", width, 1, plan.stride) if plan.has_shortcut else None
        inside = [conv_norm("0", width, 1, act=act), conv_norm("1", width, 3, plan.stride, plan.groups, act)]
        # Any layer_type but "x", which only assignment can bring, means Y: as the hub's software has it.
        if config.layer_type != "x":
            inside.append(SqueezeExcite(width, plan.squeeze_width, name="2"))
        self.layer = Chain([*inside, conv_norm(str(len(inside)), width, 1)], "layer")
        self.activation = activation(act, "activation")

    def build(self, input_shape: Any) -> None:
        """Builds branch and shortcut."""
        self.layer.build(input_shape)
        if self.shortcut is not None:
            self.shortcut.build(input_shape)
        self.activation.build(self.compute_output_shape(input_shape))

    def call(self, x: Any) -> Any:
        return self.activation(self.layer(x) + (x if self.shortcut is None else self.shortcut(x)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)


class RegNetTrunk(keras.layers.Layer):
    """(n, h, w, num_channels) -> the stem's map and every stage's (n, h, w, c), and the mean of the last (n, c)."""

    def __init__(self, config: RegNetConfig, name: str) -> None:
        super().__init__(name=name)
        (stem,) = stem_plan(config)
        self.embedder = conv_norm(
            "embedder.embedder", stem.width, stem.kernel[0], stem.stride[0], act=config.hidden_act
        )
        self.stages = [
            Chain(
                [RegNetLayer(layer, config, str(place)) for place, layer in enumerate(stage.layers)],
                f"encoder.stages.{index}.layers",
            )
            for index, stage in enumerate(layer_plan(config))
        ]

    def build(self, input_shape: Any) -> None:
        """Builds stem and stages."""
        for part in (self.embedder, *self.stages):
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)

    def call(self, x: Any) -> tuple[list[Any], Any]:
        maps = [self.embedder(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps, places_mean(maps[-1])


@keras.saving.register_keras_serializable("regconv")
class TFRegNetModel(PretrainedNetwork):
    """The feature extractor: a map per stage and their mean at the end.

    training=True: every batch norm uses the batch's own statistics and updates its running ones as torch does.
    Start values are Keras' own: kernels Glorot-uniform, biases 0; keras.utils.set_random_seed makes them repeatable.
    """

    config_class = RegNetConfig
    base_model_prefix = "regnet"
    trunk_class = RegNetTrunk

    def call(
        self,
        pixel_values: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
    ) -> Any:
        """last_hidden_state (n, c, h, w) and pooler_output (n, c, 1, 1); on request the stem's and every stage's map.

        pixel_values: (n, num_channels, h, w). Raises ValueError as Network says.
        """
        maps, pooled = self.base_model(self.channels_last(pixel_values), training=training)
        return self.handed_out(
            TFBaseModelOutputWithPoolingAndNoAttention, maps, output_hidden_states, return_dict,
            last_hidden_state=channels_first(maps[-1]), pooler_output=pooled[:, :, None, None],
        )  # fmt: skip


@keras.saving.register_keras_serializable("regconv")
class TFRegNetForImageClassification(PretrainedNetwork, ClassifierNetwork):
    """The feature extractor with a linear classifier; num_labels 0 hands the pooled output out as (n, c).

    Training and start values are TFRegNetModel's.
    """

    config_class = RegNetConfig
    base_model_prefix = "regnet"
    trunk_class = RegNetTrunk

    def make_parts(self) -> None:
        if len(self.config.hidden_sizes) > len(self.config.depths):
            raise UnsupportedConfig(
                f"hidden_sizes {self.config.hidden_sizes} is longer than depths {self.config.depths}: "
                "the classifier would not fit the last stage that is built"
            )
        super().make_parts()

    def make_classifier(self) -> Any:
        return keras.layers.Dense(self.config.num_labels, name="classifier.1")  # the hub's classifier.0 only flattens

    def call(
        self,
        pixel_values: Any = None,
        labels: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
    ) -> Any:
        """logits (n, num_labels), with labels the loss (n,) before them (see regconv.tensorflow.losses), on request maps."""
        maps, pooled = self.base_model(self.channels_last(pixel_values), training=training)
        return self.classified(maps, pooled, labels, output_hidden_states, return_dict)
