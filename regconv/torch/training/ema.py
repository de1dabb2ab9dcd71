"""A running average of a network's weights, which measures better than the weights of any one step."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class AveragedNetwork:
    """`network` is the average, in evaluation mode; `update` moves it towards the trained one.

    Early on the average follows fast, so that it forgets where the weights started. Batch-norm statistics are averaged
    too.
    """

    def __init__(self, trained: nn.Module, decay: float) -> None:
        self.network: Any = copy.deepcopy(trained).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, trained: nn.Module, step: int) -> None:
        """One step of the average; `step` counts from 0."""
        kept = min(self.decay, (1 + step) / (10 + step))
        own, new = self.network.state_dict(), trained.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floats], [new[name] for name in floats], 1 - kept)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])
