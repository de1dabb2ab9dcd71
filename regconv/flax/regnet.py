"""RegNetX and RegNetY in Flax (Radosavovic et al. 2020, arXiv 2003.13678).

Pictures and maps are (n, c, h, w) outside and (n, h, w, c) inside, as JAX likes them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flax import linen as nn
from jax import Array
from jax import numpy as jnp

from regconv.configuration import RegNetConfig
from regconv.errors import UnsupportedConfig
from regconv.flax.activations import Activation
from regconv.flax.chain import Chain, numbered
from regconv.flax.pretrained import PretrainedNetwork
from regconv.layer_plan import LayerPlan, layer_plan
from regconv.outputs import (
    FlaxBaseModelOutputWithPoolingAndNoAttention,
    FlaxImageClassifierOutputWithNoAttention,
)

# Normal values, cut at two deviations, of variance 2 / (outputs x kernel area).
_KERNEL = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, and the activation `act` where there is one."""

    width: int
    kernel: int
    stride: int = 1
    groups: int = 1
    act: str | Callable[[Array], Array] | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        sides, strides = (self.kernel, self.kernel), (self.stride, self.stride)
        x = nn.Conv(
            self.width,
            sides,
            strides,
            padding=self.kernel // 2,  # on all sides, as torch does; "SAME" is lopsided at stride 2
            feature_group_count=self.groups,
            use_bias=False,
            kernel_init=_KERNEL,
            dtype=self.dtype,
            name="convolution",
        )(x)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,  # torch's 0.1
            epsilon=1e-5,
            use_fast_variance=False,  # the difference of two means of squares loses digits
            dtype=self.dtype,
            name="normalization",
        )(x)
        return x if self.act is None else Activation(self.act, name="activation")(x)


class SqueezeExcite(nn.Module):
    """Every channel scaled by 0 to 1, from the means of all channels (Hu et al. 2018, arXiv 1709.01507)."""

    width: int
    squeeze_width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        squeeze = partial(nn.Conv, self.squeeze_width, (1, 1), kernel_init=_KERNEL, dtype=self.dtype)
        excite = partial(nn.Conv, self.width, (1, 1), kernel_init=_KERNEL, dtype=self.dtype)
        relu = partial(Activation, "relu")
        sigmoid = partial(Activation, "sigmoid")
        attention = Chain(numbered(squeeze, relu, excite, sigmoid), name="attention")
        return x * attention(x.mean(axis=(1, 2), keepdims=True))


class RegNetLayer(nn.Module):
    """One residual bottleneck: 1x1, grouped 3x3, in Y squeeze-and-excitation, 1x1; then the sum's activation."""

    plan: LayerPlan
    config: RegNetConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        width, act = self.plan.width, self.config.hidden_act
        conv_norm = partial(ConvNorm, width, dtype=self.dtype)
        inside = [
            partial(conv_norm, 1, act=act),
            partial(conv_norm, 3, self.plan.stride, self.plan.groups, act),
            # Any layer_type but "x", which only assignment can bring, means Y: as the hub's software has it.
            *([] if self.config.layer_type == "x" else [partial(SqueezeExcite, width, self.plan.squeeze_width, self.dtype)]),
            partial(conv_norm, 1),
        ]  # fmt: skip
        branch = Chain(numbered(*inside), name="layer")(x, train)
        if self.plan.has_shortcut:
            x = conv_norm(1, self.plan.stride, name="shortcut")(x, train)
        return Activation(act, name="activation")(branch + x)


class RegNetStages(nn.Module):
    """All stages in turn; out come the given map and every stage's."""

    config: RegNetConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> list[Array]:
        maps = [x]
        for index, stage in enumerate(layer_plan(self.config)):
            layers = numbered(*(partial(RegNetLayer, layer, self.config, self.dtype) for layer in stage.layers))
            maps.append(Chain((("layers", partial(Chain, layers)),), name=str(index))(maps[-1], train))
        return maps


class RegNetModule(nn.Module):
    """(n, num_channels, h, w) -> last_hidden_state (n, c, h, w), pooler_output (n, c, 1, 1), on request every map."""

    config: RegNetConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixel_values: Array, train: bool = False, output_hidden_states: bool = False
    ) -> FlaxBaseModelOutputWithPoolingAndNoAttention:
        config, dtype = self.config, self.dtype
        x = jnp.transpose(pixel_values, (0, 2, 3, 1)).astype(dtype)  # (n, h, w, c)
        stem = partial(ConvNorm, config.embedding_size, 3, 2, act=config.hidden_act, dtype=dtype)
        x = Chain((("embedder", stem),), name="embedder")(x, train)
        maps = Chain((("stages", partial(RegNetStages, config, dtype)),), name="encoder")(x, train)
        maps = [jnp.transpose(x, (0, 3, 1, 2)) for x in maps]  # (n, c, h, w)
        return FlaxBaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=maps[-1],
            pooler_output=maps[-1].mean(axis=(2, 3), keepdims=True),
            hidden_states=tuple(maps) if output_hidden_states else None,
        )


class RegNetClassifierModule(nn.Module):
    """(n, num_channels, h, w) -> logits (n, num_labels), with num_labels 0 the pooled output; on request every map."""

    config: RegNetConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixel_values: Array, train: bool = False, output_hidden_states: bool = False
    ) -> FlaxImageClassifierOutputWithNoAttention:
        features = RegNetModule(self.config, self.dtype, name="regnet")(pixel_values, train, output_hidden_states)
        logits = features.pooler_output[:, :, 0, 0]
        if self.config.num_labels > 0:
            linear = partial(nn.Dense, self.config.num_labels, dtype=self.dtype)
            logits = Chain((("1", linear),), name="classifier")(logits)  # the hub's classifier.0 only flattens
        return FlaxImageClassifierOutputWithNoAttention(logits=logits, hidden_states=features.hidden_states)


class FlaxRegNetModel(PretrainedNetwork):
    """The feature extractor: a map per stage and their mean at the end.

    Called with train=True every batch norm uses the batch's own mean and variance, and the call returns
    (output, {"batch_stats": new}); the new running values are 0.9 of the old ones and 0.1 of the batch's, whose
    variance is the biased one (divided by n, where torch divides by n - 1). `params` stays as it was.
    """

    config_class = RegNetConfig
    base_model_prefix = "regnet"
    module_class = RegNetModule


class FlaxRegNetForImageClassification(FlaxRegNetModel):
    """The feature extractor with a linear classifier; num_labels 0 hands the pooled output out as (n, c).

    train=True is the same as in FlaxRegNetModel.
    """

    module_class = RegNetClassifierModule

    @classmethod
    def check_config(cls, config: Any) -> None:
        super().check_config(config)
        if len(config.hidden_sizes) > len(config.depths):
            raise UnsupportedConfig(
                f"hidden_sizes {config.hidden_sizes} is longer than depths {config.depths}: "
                "the classifier would not fit the last stage that is built"
            )
