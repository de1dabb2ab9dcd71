"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) and ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808) in TensorFlow.

Pictures and maps are (n, c, h, w) outside and (n, h, w, c) inside, as TensorFlow likes them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from regconv.configuration import ConvNextConfig, ConvNextV2Config
from regconv.layer_plan import LayerPlan, StagePlan, layer_plan, stem_plan
from regconv.outputs import TFBaseModelOutputWithPooling
from regconv.tensorflow.activations import activation
from regconv.tensorflow.layers import Chain, Convolution, places_mean
from regconv.tensorflow.network import ClassifierNetwork, channels_first
from regconv.tensorflow.norms import ResponseNorm, channel_norm
from regconv.tensorflow.pretrained import PretrainedNetwork

AnyConvNextConfig = ConvNextConfig | ConvNextV2Config


def _kernels(config: AnyConvNextConfig) -> Any:
    """A fresh initialiser: normal values cut at two deviations; one of its own for every layer."""
    return keras.initializers.TruncatedNormal(stddev=config.initializer_range)


class ConvNextLayer(Chain):
    """One residual layer: depthwise 7x7, norm, and two linear maps over the channels of every place."""

    def __init__(self, plan: LayerPlan, config: AnyConvNextConfig, name: str) -> None:
        width = plan.width
        parts = [
            Convolution(width, 7, margin=3, groups=plan.groups, kernel_initializer=_kernels(config), name="dwconv"),
            channel_norm(config.norm_type, "layernorm"),
            keras.layers.Dense(4 * width, kernel_initializer=_kernels(config), name="pwconv1"),
            activation(config.hidden_act, "act"),
            *([ResponseNorm(name="grn")] if plan.response_norm else []),
            keras.layers.Dense(width, kernel_initializer=_kernels(config), name="pwconv2"),
        ]
        super().__init__(parts, name)
        self.layer_scale = plan.layer_scale
        # One draw for a whole picture, and those that are kept are divided by the share that is kept.
        self.drop_path = keras.layers.Dropout(plan.drop_path, noise_shape=(None, 1, 1, 1), name="drop_path")

    def build(self, input_shape: Any) -> None:
        """Builds the parts, and the layer scale with its start value."""
        super().build(input_shape)
        self.drop_path.build(input_shape)
        self.layer_scale_parameter = None
        if self.layer_scale is not None:
            start = keras.initializers.Constant(self.layer_scale)
            self.layer_scale_parameter = self.add_weight(
                shape=(input_shape[-1],), initializer=start, name="layer_scale_parameter"
            )

    def call(self, x: Any, training: bool = False) -> Any:
        branch = super().call(x)
        if self.layer_scale_parameter is not None:
            branch = self.layer_scale_parameter * branch
        return x + self.drop_path(branch)


def _stem(config: AnyConvNextConfig) -> Chain:
    plan, parts = stem_plan(config), []
    for index, conv in enumerate(plan):
        # A single convolution has no number in its name.
        place = "" if len(plan) == 1 else f".{index}"
        parts.append(Convolution(
            conv.width, conv.kernel, margin=conv.padding, strides=conv.stride, kernel_initializer=_kernels(config),
            name=f"patch_embeddings{place}",
        ))  # fmt: skip
        if conv.has_activation:
            parts.append(activation(config.hidden_act, "patch_embeddings.activation"))
    return Chain([*parts, channel_norm(config.norm_type, "layernorm")], "embeddings")


def _stage(plan: StagePlan, config: AnyConvNextConfig, index: int) -> Chain:
    shrinking = []
    if plan.has_downsampling:
        convolution = Convolution(
            plan.width, 2, strides=plan.stride, kernel_initializer=_kernels(config), name="downsampling_layer.1"
        )
        shrinking = [channel_norm(config.norm_type, "downsampling_layer.0"), convolution]
    layers = [ConvNextLayer(layer, config, f"layers.{place}") for place, layer in enumerate(plan.layers)]
    return Chain([*shrinking, *layers], f"encoder.stages.{index}")


class ConvNextTrunk(keras.layers.Layer):
    """(n, h, w, num_channels) -> the stem's map and every stage's (n, h, w, c), and the last one's normed mean (n, c)."""

    def __init__(self, config: AnyConvNextConfig, name: str) -> None:
        super().__init__(name=name)
        self.embeddings = _stem(config)
        self.stages = [_stage(stage, config, index) for index, stage in enumerate(layer_plan(config))]
        self.layernorm = channel_norm(config.norm_type, "layernorm", epsilon=config.layer_norm_eps)

    def build(self, input_shape: Any) -> None:
        """Builds stem, stages and the last norm."""
        for part in (self.embeddings, *self.stages):
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)
        self.layernorm.build((None, input_shape[-1]))

    def call(self, x: Any) -> tuple[list[Any], Any]:
        maps = [self.embeddings(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps, self.layernorm(places_mean(maps[-1]))


@keras.saving.register_keras_serializable("regconv")
class TFConvNextModel(PretrainedNetwork):
    """The feature extractor: a map per stage and the normalised mean of the last.

    add_pooling_layer=False leaves pooler_output out; the norm stays, so that checkpoints go in and out unchanged.
    training=True lets the drop path of the configuration act. Start values: kernels normal of deviation
    initializer_range, cut at two deviations; biases 0, norms 1 and 0, the layer scale as configured.
    """

    config_class: ClassVar[type[AnyConvNextConfig]] = ConvNextConfig
    base_model_prefix = "convnext"
    trunk_class = ConvNextTrunk
    class_options = (*PretrainedNetwork.class_options, "add_pooling_layer")

    def __init__(self, config: AnyConvNextConfig, add_pooling_layer: bool = True, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.add_pooling_layer = add_pooling_layer

    def call(
        self,
        pixel_values: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
    ) -> Any:
        """last_hidden_state (n, c, h, w), not normalised, and pooler_output (n, c); on request every map.

        pixel_values: (n, num_channels, h, w), at least 32 pixels a side with the default patch and stages. Raises
        ValueError as Network says, and for pictures of which the stages leave nothing.
        """
        maps, pooled = self.base_model(self.channels_last(pixel_values), training=training)
        return self.handed_out(
            TFBaseModelOutputWithPooling, maps, output_hidden_states, return_dict,
            last_hidden_state=channels_first(maps[-1]), pooler_output=pooled if self.add_pooling_layer else None,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """As Network's, with add_pooling_layer."""
        return super().get_config() | {"add_pooling_layer": self.add_pooling_layer}


@keras.saving.register_keras_serializable("regconv")
class TFConvNextForImageClassification(PretrainedNetwork, ClassifierNetwork):
    """The feature extractor with a linear classifier; num_labels 0 hands the pooled output out as (n, c).

    Training and start values are TFConvNextModel's.
    """

    config_class: ClassVar[type[AnyConvNextConfig]] = ConvNextConfig
    base_model_prefix = "convnext"
    trunk_class = ConvNextTrunk

    def make_classifier(self) -> Any:
        return keras.layers.Dense(self.config.num_labels, kernel_initializer=_kernels(self.config), name="classifier")

    def call(
        self,
        pixel_values: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Any = None,
        training: bool = False,
    ) -> Any:
        """logits (n, num_labels), with labels the loss (n,) before them (see regconv.tensorflow.losses), on request maps.

        pixel_values: as in TFConvNextModel.
        """
        maps, pooled = self.base_model(self.channels_last(pixel_values), training=training)
        return self.classified(maps, pooled, labels, output_hidden_states, return_dict)


@keras.saving.register_keras_serializable("regconv")
class TFConvNextV2Model(TFConvNextModel):
    """TFConvNextModel of the second generation: global response normalisation in place of the layer scale."""

    config_class = ConvNextV2Config
    base_model_prefix = "convnextv2"


@keras.saving.register_keras_serializable("regconv")
class TFConvNextV2ForImageClassification(TFConvNextForImageClassification):
    """TFConvNextForImageClassification of the second generation."""

    config_class = ConvNextV2Config
    base_model_prefix = "convnextv2"
