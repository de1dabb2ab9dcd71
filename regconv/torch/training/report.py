"""How good a network is on pictures whose classes are known: the end of a training run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_WORST = 10


def measured(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """top1 and top5 as shares, and the pairs of classes most often confused, of logits (n, k) and labels (n,)."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    return {
        "pictures": len(labels),
        "top1": round(float(hits[:, 0].float().mean()), 4),
        "top5": round(float(hits.any(dim=1).float().mean()), 4),
        "confused": _confused(best[:, 0], labels, classes),
    }


def _confused(taken: Tensor, labels: Tensor, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """The pairs by how many pictures of either class were taken for the other, at most ten."""
    k = len(classes)
    table = torch.zeros(k, k, dtype=torch.int64)
    table.index_put_((labels, taken), torch.ones_like(labels), accumulate=True)
    counts = torch.bincount(labels, minlength=k)
    both = (table + table.T).triu(diagonal=1)
    order = both.flatten().sort(descending=True, stable=True).indices[:_WORST].tolist()
    return [
        {
            "classes": [classes[place // k], classes[place % k]],
            "pictures": int(both.flatten()[place]),
            "of": int(counts[place // k] + counts[place % k]),
        }
        for place in order
        if both.flatten()[place]
    ]
