"""How PyTorch, TensorFlow and Flax name and arrange the same tensor; PyTorch's way is the hub's.

Convolutions are (out, in, h, w) on the hub and (h, w, in, out) in the other two, matrices (out, in) and (in, out). The
last part of a name differs too: what the hub calls `weight` is a `kernel` there, or in norms a `gamma` or `scale`.
Layer scales and response norms are the same everywhere. Pure NumPy; no framework is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

Shape = tuple[int, ...]

# The last part of a name there -> on the hub; parts that are not listed are the same.
TENSORFLOW_LEAVES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
FLAX_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
COUNTER = "num_batches_tracked"  # of batch norms, in PyTorch alone

_HUB_TO_KERNEL = {4: (2, 3, 1, 0), 2: (1, 0)}
_KERNEL_TO_HUB = {4: (3, 2, 0, 1), 2: (1, 0)}
_UNCHANGED = (".grn.", "layer_scale_parameter")  # (1, 1, 1, c) and (c,) in all three


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of an open file. `read` gives its values; bfloat16 comes as uint16 of the same bits."""

    shape: Shape
    dtype: str  # NumPy's name, or "bfloat16"
    read: Callable[[], np.ndarray]


def is_kernel(name: str, shape: Shape) -> bool:
    """Whether this hub tensor has its axes in another order elsewhere."""
    return name.endswith("weight") and len(shape) in _HUB_TO_KERNEL and not any(part in name for part in _UNCHANGED)


def kernel_axes(array: np.ndarray) -> np.ndarray:
    """A hub convolution or matrix as (h, w, in, out) or (in, out); a view."""
    return array.transpose(_HUB_TO_KERNEL[array.ndim])


def hub_axes(array: np.ndarray) -> np.ndarray:
    """A kernel (h, w, in, out) or (in, out) as the hub has it; a view."""
    return array.transpose(_KERNEL_TO_HUB[array.ndim])


def kernel_shape(shape: Shape) -> Shape:
    """The shape that `kernel_axes` gives to an array of this shape."""
    return tuple(shape[axis] for axis in _HUB_TO_KERNEL[len(shape)])


def hub_shape(shape: Shape) -> Shape:
    """The shape that `hub_axes` gives to an array of this shape."""
    return tuple(shape[axis] for axis in _KERNEL_TO_HUB[len(shape)])


def hub_name(name: str, leaves: Mapping[str, str]) -> str:
    """A dotted name of TensorFlow or Flax (see TENSORFLOW_LEAVES, FLAX_LEAVES) as the hub has it."""
    before, dot, leaf = name.rpartition(".")
    return before + dot + leaves.get(leaf, leaf)


def own_names(shapes: Mapping[str, Shape], leaves: Mapping[str, str]) -> dict[str, str]:
    """Hub name -> dotted name of TensorFlow or Flax, for all tensors of a network at once.

    All at once, because whether a bias is a norm's can be seen only from the weight beside it. Counters are left out.
    """
    norm_leaves = {hub: own for own, hub in leaves.items() if own != "kernel"}
    names = {}
    for name, shape in shapes.items():
        before, dot, leaf = name.rpartition(".")
        if leaf == COUNTER:
            continue
        if is_kernel(name, shape):
            leaf = "kernel"
        elif len(shapes.get(f"{before}.weight", ())) == 1:
            leaf = norm_leaves.get(leaf, leaf)
        names[name] = before + dot + leaf
    return names


def in_hub_layout(name: str, stored: StoredTensor, leaves: Mapping[str, str]) -> tuple[str, StoredTensor]:
    """Name and tensor of a TensorFlow or Flax file as the hub has them."""
    if name.endswith("kernel") and len(stored.shape) in _KERNEL_TO_HUB:
        stored = replace(stored, shape=hub_shape(stored.shape), read=lambda read=stored.read: hub_axes(read()))  # type: ignore[misc]
    return hub_name(name, leaves), stored
