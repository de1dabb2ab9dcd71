"""BatchFeature: what a processor returns, and how single arrays become one tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from regconv.errors import FrameworkMissing


class BatchFeature(dict[str, Any]):
    """Named arrays or tensors, by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no {name!r} here, only {', '.join(self)}") from None

    @property
    def data(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return dict(self)

    def to(self, device: Any = None, dtype: Any = None, *, non_blocking: bool = False) -> Self:
        """Itself with every torch tensor moved; a dtype (also as the only argument) changes floating tensors alone.

        Raises TypeError where the values are no torch tensors.
        """
        import torch

        if isinstance(device, torch.dtype):
            device, dtype = None, device
        for name, value in self.items():
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"{name} is no torch tensor but {type(value).__name__}: ask for return_tensors='pt'")
            kind = dtype if value.is_floating_point() else None
            self[name] = value.to(device=device, dtype=kind, non_blocking=non_blocking)
        return self


def batch_of(images: list[np.ndarray], return_tensors: str | None) -> BatchFeature:
    """`pixel_values`: the list itself for None, else one NumPy array, or tensor of the framework that is named.

    The dtype stays, but for JAX's own rule that halves 64 bits. Raises ValueError for other kinds and for images of
    unequal size, FrameworkMissing where the framework is not installed.
    """
    if return_tensors is None:
        return BatchFeature(pixel_values=images)
    # By comparison and not by hash: an enum whose members are strings equals its value but hashes its name.
    kind = next((kind for kind in _KINDS if kind == return_tensors), None)
    if kind is None:
        raise ValueError(
            f"return_tensors must be one of {', '.join(map(repr, _KINDS))} or None, got {return_tensors!r}"
        )
    if len({image.shape for image in images}) > 1:
        shapes = ", ".join(sorted({str(image.shape) for image in images}))
        raise ValueError(f"images of unequal size make no tensor ({shapes}): resize them or take return_tensors=None")
    return BatchFeature(pixel_values=_KINDS[kind](np.stack(images)))


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _torch_tensor(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array)


def _tensorflow_tensor(array: np.ndarray) -> Any:
    try:
        import tensorflow
    except ImportError as error:
        raise FrameworkMissing("TensorFlow", "requirements-tensorflow.txt") from error
    return tensorflow.constant(array)


def _jax_array(array: np.ndarray) -> Any:
    try:
        import jax.numpy
    except ImportError as error:
        raise FrameworkMissing("JAX", "requirements-jax.txt") from error
    return jax.numpy.asarray(array)


_KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "np": _same, "pt": _torch_tensor, "tf": _tensorflow_tensor, "jax": _jax_array,
}  # fmt: skip
