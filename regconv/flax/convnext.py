"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) and ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808) in Flax.

Pictures and maps are (n, c, h, w) outside and (n, h, w, c) inside, as JAX likes them.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from flax import linen as nn
from jax import Array
from jax import numpy as jnp

from regconv.configuration import ConvNextConfig, ConvNextV2Config
from regconv.flax.activations import Activation
from regconv.flax.chain import Chain, numbered
from regconv.flax.norms import ResponseNorm, channel_norm
from regconv.flax.pretrained import PretrainedNetwork
from regconv.layer_plan import LayerPlan, StagePlan, StemConv, layer_plan, stem_plan
from regconv.outputs import (
    FlaxBaseModelOutputWithPoolingAndNoAttention,
    FlaxImageClassifierOutputWithNoAttention,
)

AnyConvNextConfig = ConvNextConfig | ConvNextV2Config


class ConvNextLayer(nn.Module):
    """One residual layer: depthwise 7x7, norm, and two linear maps over the channels of every place."""

    plan: LayerPlan
    config: AnyConvNextConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        config, plan = self.config, self.plan
        given = {"kernel_init": nn.initializers.normal(config.initializer_range), "dtype": self.dtype}
        branch = nn.Conv(plan.width, (7, 7), padding=3, feature_group_count=plan.groups, name="dwconv", **given)(x)
        branch = channel_norm(config.norm_type, self.dtype)(name="layernorm")(branch)
        branch = nn.Dense(4 * plan.width, name="pwconv1", **given)(branch)
        branch = Activation(config.hidden_act, name="act")(branch)
        if plan.response_norm:
            branch = ResponseNorm(self.dtype, name="grn")(branch)
        branch = nn.Dense(plan.width, name="pwconv2", **given)(branch)
        if plan.layer_scale is not None:
            start = nn.initializers.constant(plan.layer_scale)
            branch = self.param("layer_scale_parameter", start, (plan.width,)).astype(self.dtype) * branch
        # One draw for a whole picture, and those that are kept are divided by the share that is kept.
        return x + nn.Dropout(plan.drop_path, broadcast_dims=(1, 2, 3), name="drop_path")(branch, not train)


class ConvNextStage(nn.Module):
    """Where width or size change a norm and a convolution; then the layers."""

    plan: StagePlan
    config: AnyConvNextConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        plan, config, dtype = self.plan, self.config, self.dtype
        if plan.has_downsampling:
            conv = StemConv(plan.width_in, plan.width, (2, 2), (plan.stride, plan.stride), 0)
            parts = numbered(channel_norm(config.norm_type, dtype), _shrinking(conv, config, dtype))
            x = Chain(parts, name="downsampling_layer")(x)
        layers = numbered(*(partial(ConvNextLayer, layer, config, dtype) for layer in plan.layers))
        return Chain(layers, name="layers")(x, train)


class ConvNextStages(nn.Module):
    """All stages in turn; out come the given map and every stage's."""

    config: AnyConvNextConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> list[Array]:
        maps = [x]
        for index, stage in enumerate(layer_plan(self.config)):
            maps.append(ConvNextStage(stage, self.config, self.dtype, name=str(index))(maps[-1], train))
        return maps


def _shrinking(plan: StemConv, config: AnyConvNextConfig, dtype: Any) -> partial[nn.Module]:
    init = nn.initializers.normal(config.initializer_range)
    return partial(nn.Conv, plan.width, plan.kernel, plan.stride, padding=plan.padding, kernel_init=init, dtype=dtype)


def _stem(config: AnyConvNextConfig, dtype: Any) -> Chain:
    plan = stem_plan(config)
    convs: list[tuple[str, Any]] = []
    for index, conv in enumerate(plan):
        convs.append((str(index), _shrinking(conv, config, dtype)))
        if conv.has_activation:
            convs.append(("activation", partial(Activation, config.hidden_act)))
    # A single convolution has no number in its name.
    patches = convs[0][1] if len(plan) == 1 else partial(Chain, tuple(convs))
    parts = (("patch_embeddings", patches), ("layernorm", channel_norm(config.norm_type, dtype)))
    return Chain(parts, name="embeddings")


class ConvNextModule(nn.Module):
    """(n, num_channels, h, w) -> last_hidden_state (n, c, h, w), pooler_output (n, c), on request every map.

    Raises ValueError for pictures of which the stages leave nothing. Training with a drop path needs the stream of
    random numbers "dropout".
    """

    config: AnyConvNextConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixel_values: Array, train: bool = False, output_hidden_states: bool = False
    ) -> FlaxBaseModelOutputWithPoolingAndNoAttention:
        config, dtype = self.config, self.dtype
        x = jnp.transpose(pixel_values, (0, 2, 3, 1)).astype(dtype)  # (n, h, w, c)
        x = _stem(config, dtype)(x)
        maps = Chain((("stages", partial(ConvNextStages, config, dtype)),), name="encoder")(x, train)
        if 0 in maps[-1].shape[1:3]:
            raise ValueError(
                f"pixel_values of {pixel_values.shape[2]} x {pixel_values.shape[3]} pixels leave no place in the last "
                f"stage: {2 ** (len(maps) - 2)} times the stem's stride is the least a side"
            )
        norm = channel_norm(config.norm_type, dtype, epsilon=config.layer_norm_eps)
        pooled = norm(name="layernorm")(maps[-1].mean(axis=(1, 2)))
        maps = [jnp.transpose(x, (0, 3, 1, 2)) for x in maps]  # (n, c, h, w)
        return FlaxBaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=maps[-1],
            pooler_output=pooled,
            hidden_states=tuple(maps) if output_hidden_states else None,
        )


class ConvNextClassifierModule(nn.Module):
    """(n, num_channels, h, w) -> logits (n, num_labels), with num_labels 0 the pooled output; on request every map."""

    config: AnyConvNextConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixel_values: Array, train: bool = False, output_hidden_states: bool = False
    ) -> FlaxImageClassifierOutputWithNoAttention:
        config = self.config
        base = ConvNextModule(config, self.dtype, name=config.model_type)
        features = base(pixel_values, train, output_hidden_states)
        logits = features.pooler_output
        if config.num_labels > 0:
            init = nn.initializers.normal(config.initializer_range)
            logits = nn.Dense(config.num_labels, kernel_init=init, dtype=self.dtype, name="classifier")(logits)
        return FlaxImageClassifierOutputWithNoAttention(logits=logits, hidden_states=features.hidden_states)


class FlaxConvNextModel(PretrainedNetwork):
    """The feature extractor: a map per stage and the normalised mean of the last.

    Called with train=True and a drop path in the configuration it needs dropout_rng. Start values: kernels plain
    normal of deviation initializer_range, biases 0, norms 1 and 0, the layer scale as configured.
    """

    config_class: ClassVar[type[AnyConvNextConfig]] = ConvNextConfig
    base_model_prefix = "convnext"
    module_class = ConvNextModule


class FlaxConvNextForImageClassification(FlaxConvNextModel):
    """The feature extractor with a linear classifier; num_labels 0 hands the pooled output out. Else as its base."""

    module_class = ConvNextClassifierModule


class FlaxConvNextV2Model(FlaxConvNextModel):
    """FlaxConvNextModel with global response normalisation, whose start values are 0, in place of the layer scale."""

    config_class = ConvNextV2Config
    base_model_prefix = "convnextv2"


class FlaxConvNextV2ForImageClassification(FlaxConvNextV2Model):
    """The feature extractor with a linear classifier; num_labels 0 hands the pooled output out. Else as its base."""

    module_class = ConvNextClassifierModule
