"""hidden_act -> function: every activation by the name that the hub's configurations use, selu, and any function."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
from flax import linen as nn
from jax import Array
from jax import numpy as jnp

from regconv.errors import UnsupportedConfig


class Activation(nn.Module):
    """A name of ACTIVATIONS, "prelu" (with one learned slope) or a function of one array.

    Raises UnsupportedConfig for a name that is not known.
    """

    hidden_act: str | Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.hidden_act == "prelu":
            # The hub calls it weight; one-dimensional weights are called scale here.
            slope = self.param("scale", nn.initializers.constant(0.25), (1,))
            return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)
        return activation(self.hidden_act)(x)


def check_activation(hidden_act: str | Callable[[Array], Array]) -> None:
    """Raises UnsupportedConfig for a name that no network here has."""
    if hidden_act != "prelu":
        activation(hidden_act)


def activation(hidden_act: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The function of a name without parameters, or the function that was given. Raises UnsupportedConfig."""
    if callable(hidden_act):
        return hidden_act
    if hidden_act not in ACTIVATIONS:
        known = ", ".join(sorted([*ACTIVATIONS, "prelu"]))
        raise UnsupportedConfig(f"hidden_act got {hidden_act!r}, expected one of {known}")
    return ACTIVATIONS[hidden_act]


def _gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=False)  # JAX's default is the tanh formula, the hub's gelu is exact


def _gelu_tanh(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=True)


def _gelu_clipped(x: Array) -> Array:
    return jnp.clip(_gelu(x), -10.0, 10.0)


def _gelu_quick(x: Array) -> Array:
    return x * jax.nn.sigmoid(1.702 * x)


def _laplace(x: Array) -> Array:
    # Mean and deviation from "Mega" (Ma et al. 2022, arXiv 2209.10655): closest to a squared ReLU.
    return 0.5 * (1.0 + jax.lax.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


def _linear(x: Array) -> Array:
    return x


def _relu_squared(x: Array) -> Array:
    return jnp.square(jax.nn.relu(x))


def _sqrt_softplus(x: Array) -> Array:
    return jnp.sqrt(jax.nn.softplus(x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_10": _gelu_clipped,
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": _gelu,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "hardswish": jax.nn.hard_swish,
    "laplace": _laplace,
    "leaky_relu": jax.nn.leaky_relu,  # slope 0.01, as torch has it
    "linear": _linear,
    "mish": jax.nn.mish,
    "quick_gelu": _gelu_quick,
    "relu": jax.nn.relu,
    "relu2": _relu_squared,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "sqrtsoftplus": _sqrt_softplus,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}
