"""The norms of ConvNeXt: over the channels of every place, and V2's over the responses to a whole picture.

All but the layer norm are for checkpoints of timm's small networks, and have no bias.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from flax import linen as nn
from jax import Array
from jax import numpy as jnp

_EPS = 1e-6


def channel_norm(norm_type: str, dtype: Any, *, epsilon: float = _EPS) -> partial[nn.Module]:
    """What makes the norm of a configuration's norm_type, for (…, c)."""
    if norm_type == "simple":
        return partial(SimpleNorm, epsilon, dtype)
    kind = nn.RMSNorm if norm_type == "rms" else nn.LayerNorm
    # Flax's faster variance, a difference of two means of squares, loses digits.
    return partial(kind, epsilon=epsilon, use_fast_variance=False, dtype=dtype)


class SimpleNorm(nn.Module):
    """x divided by its deviation around the mean, which stays in it, times a scale per channel; no bias."""

    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        x = _exact(x)
        # The deviation is the sample's: divided by the number of channels less one.
        x = x * jax.lax.rsqrt(x.var(axis=-1, keepdims=True, ddof=1) + self.epsilon) * scale
        return x.astype(self.dtype)


class ResponseNorm(nn.Module):
    """Global response normalisation (Woo et al. 2023, arXiv 2301.00808) of (n, h, w, c).

    Every channel is scaled by its length over the picture in proportion to the mean length of all channels.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (1, 1, 1, x.shape[-1])
        weight = self.param("weight", nn.initializers.zeros, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        x = _exact(x)
        lengths = _length(x)  # (n, 1, 1, c)
        shares = lengths / (lengths.mean(axis=-1, keepdims=True) + _EPS)
        return (weight * (x * shares) + bias + x).astype(self.dtype)


def _exact(x: Array) -> Array:
    """x in float32 at least: sums of squares overflow float16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _length(x: Array) -> Array:
    squares = jnp.square(x).sum(axis=(1, 2), keepdims=True)
    # The root of 0 has an infinite slope, and `where` hands on the gradient of the side that it leaves out as well.
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)
