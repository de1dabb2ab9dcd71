"""The norms of ConvNeXt: over the channels of every place, and V2's over the responses to a whole picture.

All but the layer norm are for checkpoints of timm's small networks, and have no bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPS = 1e-6


def channel_norm(norm_type: str, width: int, *, eps: float = _EPS, channels_first: bool = False) -> nn.Module:
    """The norm of a configuration's norm_type, for (…, c) or, with channels_first, for (n, c, h, w)."""
    kinds = _CHANNELS_FIRST if channels_first else _CHANNELS_LAST
    return kinds[norm_type](width, eps=eps)


class SimpleNorm(nn.Module):
    """x divided by its deviation around the mean, which stays in it, times a weight per channel; no bias."""

    def __init__(self, width: int, eps: float = _EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def reset_parameters(self) -> None:
        """A weight of 1."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        # The deviation is the sample's: divided by the number of channels less one.
        return x * torch.rsqrt(x.var(dim=-1, keepdim=True) + self.eps) * self.weight

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


class ChannelsFirst(nn.Module):
    """Before a norm in the list of bases: takes and gives (n, c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelsFirstNorm(ChannelsFirst, nn.LayerNorm):
    """Layer norm over the channels of (n, c, h, w), place by place."""


class ChannelsFirstRMSNorm(ChannelsFirst, nn.RMSNorm):
    """The same without taking the mean away."""


class ChannelsFirstSimpleNorm(ChannelsFirst, SimpleNorm):
    """The same for SimpleNorm."""


class ResponseNorm(nn.Module):
    """Global response normalisation (Woo et al. 2023, arXiv 2301.00808) of (n, h, w, c).

    Every channel is scaled by its length over the picture in proportion to the mean length of all channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.bias = nn.Parameter(torch.zeros(1, 1, 1, width))

    def reset_parameters(self) -> None:
        """Both 0: at the start the input goes through unchanged."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)  # (n, 1, 1, c)
        shares = lengths / (lengths.mean(dim=-1, keepdim=True) + _EPS)
        return self.weight * (x * shares) + self.bias + x

    def extra_repr(self) -> str:
        return str(self.weight.shape[-1])


_CHANNELS_LAST = {"layer": nn.LayerNorm, "rms": nn.RMSNorm, "simple": SimpleNorm}
_CHANNELS_FIRST = {"layer": ChannelsFirstNorm, "rms": ChannelsFirstRMSNorm, "simple": ChannelsFirstSimpleNorm}
