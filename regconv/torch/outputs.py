"""Makes the outputs known to torch, so that torch.export, torch.func and distributed training look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.utils import _pytree

from regconv.outputs import (
    BackboneOutput,
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
    Output,
)


def register_outputs() -> None:
    """To be called once in a process: torch refuses a second time."""
    for kind in (BackboneOutput, BaseModelOutputWithPoolingAndNoAttention, ImageClassifierOutputWithNoAttention):
        _pytree.register_pytree_node(
            kind, _flat, _maker(kind), serialized_type_name=f"regconv.{kind.__name__}", flatten_with_keys_fn=_with_keys
        )


def _flat(output: Output) -> tuple[list[Any], list[str]]:
    return list(output.values()), list(output)


def _with_keys(output: Output) -> tuple[list[tuple[_pytree.KeyEntry, Any]], list[str]]:
    return [(_pytree.MappingKey(name), value) for name, value in output.items()], list(output)


def _maker(kind: type[Output]) -> Callable[[Iterable[Any], list[str]], Output]:
    def make(values: Iterable[Any], names: list[str]) -> Output:
        output = kind()
        # Through dict itself: torch also rebuilds trees around values that are None, which must not vanish.
        dict.update(output, zip(names, values, strict=True))
        return output

    return make
