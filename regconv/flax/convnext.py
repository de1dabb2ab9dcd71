"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) and ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808) in Flax.

Pictures and maps are (n, c, h, w) outside and (n, h, w, c) inside, as JAX likes them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from flax import linen as nn
from jax import Array
from jax import numpy as jnp

from regconv.configuration import ConvNextConfig, ConvNextV2Config
from regconv.flax.activations import Activation
from regconv.flax.chain import Chain, numbered
from regconv.flax.pretrained import Network
from regconv.layer_plan import LayerPlan, StagePlan, StemConv, layer_plan, stem_plan
from regconv.outputs import (
    FlaxBaseModelOutputWithPoolingAndNoAttention,
    FlaxImageClassifierOutputWithNoAttention,
)

_EPS = 1e-6  # of every norm but the last, which has config.layer_norm_eps


class SimpleNorm(nn.Module):
    """x over its deviation around the mean, which is not taken away, times a scale; the variance is the unbiased one."""

    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return (exact * jax.lax.rsqrt(exact.var(axis=-1, ddof=1, keepdims=True) + self.epsilon) * scale).astype(self.dtype)


def norm_of(config: Any, dtype: Any, epsilon: float = _EPS) -> partial[nn.Module]:
    """What makes the configuration's norm over the last axis."""
    if config.norm_type == "simple":
        return partial(SimpleNorm, epsilon, dtype)
    kind = nn.RMSNorm if config.norm_type == "rms" else nn.LayerNorm
    # The fast variance, a difference of two means of squares, loses digits.
    return partial(kind, epsilon=epsilon, use_fast_variance=False, dtype=dtype)


class ResponseNorm(nn.Module):
    """Global response normalisation: every channel is scaled by its size over the picture against the others' mean."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (1, 1, 1, x.shape[-1])
        weight = self.param("weight", nn.initializers.zeros, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # sums of squares overflow float16
        size = jnp.sqrt(jnp.square(exact).sum(axis=(1, 2), keepdims=True))  # (n, 1, 1, c)
        response = size / (size.mean(axis=-1, keepdims=True) + _EPS)
        return (weight * (exact * response) + bias + exact).astype(self.dtype)


class ConvNextLayer(nn.Module):
    """One residual layer: depthwise 7x7, norm, and two linear maps over the channels of every place."""

    plan: LayerPlan
    config: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        config, plan = self.config, self.plan
        given = {"kernel_init": nn.initializers.normal(config.initializer_range), "dtype": self.dtype}
        branch = nn.Conv(plan.width, (7, 7), padding=3, feature_group_count=plan.groups, name="dwconv", **given)(x)
        branch = norm_of(config, self.dtype)(name="layernorm")(branch)
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


class ConvNextStages(nn.Module):
    """All stages in turn; out come the given map and every stage's."""

    plan: tuple[StagePlan, ...]
    config: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> list[Array]:
        maps = [x]
        for index, stage in enumerate(self.plan):
            maps.append(ConvNextStage(stage, self.config, self.dtype, name=str(index))(maps[-1], train))
        return maps


class ConvNextStage(nn.Module):
    """Where width or size change a norm and a convolution; then the layers."""

    plan: StagePlan
    config: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        plan, config, dtype = self.plan, self.config, self.dtype
        if plan.has_downsampling:
            conv = patches(StemConv(plan.width_in, plan.width, (2, 2), (plan.stride, plan.stride), 0), config, dtype)
            x = Chain(numbered(norm_of(config, dtype), conv), name="downsampling_layer")(x)
        layers = numbered(*(partial(ConvNextLayer, layer, config, dtype) for layer in plan.layers))
        return Chain(layers, name="layers")(x, train)


def patches(plan: StemConv, config: Any, dtype: Any) -> partial[nn.Module]:
    """What makes a convolution that shrinks the map; no padding, or the same on all sides."""
    init = nn.initializers.normal(config.initializer_range)
    return partial(nn.Conv, plan.width, plan.kernel, plan.stride, padding=plan.padding, kernel_init=init, dtype=dtype)


class Embeddings(nn.Module):
    """The stem: one convolution for the patches, or two that overlap, and a norm."""

    config: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        config, dtype = self.config, self.dtype
        convs = [patches(plan, config, dtype) for plan in stem_plan(config)]
        if len(convs) == 1:
            x = convs[0](name="patch_embeddings")(x)
        else:
            x = self.overlapping(convs)(x)
        return norm_of(config, dtype)(name="layernorm")(x)


class ConvNextModule(nn.Module):
    """(n, num_channels, h, w) -> last_hidden_state (n, c, h, w), pooler_output (n, c), on request every map.

    Raises ValueError for pictures of which the stages leave nothing. Training with a drop path needs the stream of
    random numbers "dropout".
    """

    config: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixel_values: Array, train: bool = False, output_hidden_states: bool = False
    ) -> FlaxBaseModelOutputWithPoolingAndNoAttention:
        config, dtype = self.config, self.dtype
        x = jnp.transpose(pixel_values, (0, 2, 3, 1)).astype(dtype)  # (n, h, w, c)
        x = Embeddings(config, dtype, name="embeddings")(x)
        stages = partial(ConvNextStages, layer_plan(config), config, dtype)
        maps = Chain((("stages", stages),), name="encoder")(x, train)
        if 0 in maps[-1].shape[1:3]:
            raise ValueError(
                f"pixel_values of {pixel_values.shape[2]} x {pixel_values.shape[3]} pixels leave no place in the last "
                f"stage: {2 ** (len(maps) - 2)} times the stem's stride is the least a side"
            )
        pooled = norm_of(config, dtype, config.layer_norm_eps)(name="layernorm")(maps[-1].mean(axis=(1, 2)))
        maps = [jnp.transpose(x, (0, 3, 1, 2)) for x in maps]  # (n, c, h, w)
        return FlaxBaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=maps[-1],
            pooler_output=pooled,
            hidden_states=tuple(maps) if output_hidden_states else None,
        )


class ConvNextClassifierModule(nn.Module):
    """(n, num_channels, h, w) -> logits (n, num_labels), with num_labels 0 the pooled output; on request every map."""

    config: Any
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


class FlaxConvNextModel(Network):
    """The feature extractor: a map per stage and the normalised mean of the last.

    Called with train=True and a drop path in the configuration it needs dropout_rng. Start values: kernels plain
    normal of deviation initializer_range, biases 0, norms 1 and 0, the layer scale as configured.
    """

    config_class = ConvNextConfig
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
