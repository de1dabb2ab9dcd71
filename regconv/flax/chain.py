"""Nested names: the parameter tree is the hub's dotted name, split at the dots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import linen as nn


class Chain(nn.Module):
    """Layers in turn, one level of names: `parts` are pairs of a name and what makes the layer of that name.

    Everything after x goes to every layer alike.
    """

    parts: tuple[tuple[str, Callable[..., nn.Module]], ...]

    @nn.compact
    def __call__(self, x: Any, *rest: Any) -> Any:
        for name, make in self.parts:
            x = make(name=name)(x, *rest)
        return x


def numbered(*makers: Any) -> tuple[tuple[str, Callable[..., nn.Module]], ...]:
    """Parts of a Chain whose names are 0, 1, 2, …"""
    return tuple((str(index), make) for index, make in enumerate(makers))
