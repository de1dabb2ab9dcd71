"""BatchFeature: what a processor returns, and how single arrays become one tensor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np


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
    """`pixel_values`: the list itself for None, one array for "np", one torch tensor for "pt".

    Raises ValueError for other kinds and for images of unequal size.
    """
    if return_tensors is None:
        return BatchFeature(pixel_values=images)
    if return_tensors in ("tf", "jax"):
        raise ValueError(f"return_tensors={return_tensors!r} is not there yet: take 'np', which both frameworks read")
    if return_tensors not in ("np", "pt"):
        raise ValueError(f"return_tensors must be 'np', 'pt' or None, got {return_tensors!r}")
    if len({image.shape for image in images}) > 1:
        shapes = ", ".join(sorted({str(image.shape) for image in images}))
        raise ValueError(f"images of unequal size make no tensor ({shapes}): resize them or take return_tensors=None")
    stacked = np.stack(images)
    if return_tensors == "np":
        return BatchFeature(pixel_values=stacked)
    import torch

    return BatchFeature(pixel_values=torch.from_numpy(stacked))
