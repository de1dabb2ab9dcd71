"""Makes the outputs known to Keras, so that fit, predict and functional models look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import optree

from regconv.outputs import (
    Output,
    TFBaseModelOutputWithPooling,
    TFBaseModelOutputWithPoolingAndNoAttention,
    TFSequenceClassifierOutput,
)


def register_outputs() -> None:
    """To be called once in a process: optree, on which Keras' structures rest, refuses a second time."""
    kinds = (
        TFBaseModelOutputWithPoolingAndNoAttention,
        TFBaseModelOutputWithPooling,
        TFSequenceClassifierOutput,
    )
    for kind in kinds:
        optree.register_pytree_node(kind, _flat, _maker(kind), namespace="keras")


def _flat(output: Output) -> tuple[tuple[Any, ...], tuple[str, ...], tuple[str, ...]]:
    names = tuple(output)
    return output.to_tuple(), names, names


def _maker(kind: type[Output]) -> Callable[[Iterable[str], Iterable[Any]], Output]:
    # Not through kind(): Keras also puts None in a value's place, and the structure must stay.
    return lambda names, values: _filled(kind, zip(names, values, strict=True))


def _filled(kind: type[Output], values: Iterable[tuple[str, Any]]) -> Output:
    output = kind()
    dict.update(output, values)
    return output
