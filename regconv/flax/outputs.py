"""Makes the outputs known to JAX, so that jit, grad and vmap take and return them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jax import tree_util

from regconv.outputs import (
    FlaxBaseModelOutputWithPoolingAndNoAttention,
    FlaxImageClassifierOutputWithNoAttention,
    Output,
)


def register_outputs() -> None:
    """To be called once in a process: JAX refuses a second time."""
    for kind in (FlaxBaseModelOutputWithPoolingAndNoAttention, FlaxImageClassifierOutputWithNoAttention):
        tree_util.register_pytree_with_keys(kind, _with_keys, _maker(kind), _flat)


def _flat(output: Output) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    return output.to_tuple(), tuple(output)


def _with_keys(output: Output) -> tuple[tuple[tuple[tree_util.DictKey, Any], ...], tuple[str, ...]]:
    return tuple((tree_util.DictKey(name), value) for name, value in output.items()), tuple(output)


def _maker(kind: type[Output]) -> Any:
    def make(names: tuple[str, ...], values: Iterable[Any]) -> Output:
        output = kind()
        # Through dict itself: JAX also rebuilds trees around values that are None, which must not vanish.
        dict.update(output, zip(names, values, strict=True))
        return output

    return make
