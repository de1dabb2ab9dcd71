"""Learning rates over a training run, and which parameters decay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """The rate of a step: a straight rise for `warmup` steps, then half a cosine down to about 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def parameter_groups(network: nn.Module, weight_decay: float) -> Iterator[dict[str, Any]]:
    """Kernels with decay; biases, norms and layer scales, which have one axis, without."""
    parameters = list(network.parameters())
    yield {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay}
    yield {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
