"""What the catalogue keeps of a space, so that it can be searched without the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regconv.description import ModelDescription
from storage.shards import shard_dtype


@dataclass(frozen=True)
class SpaceFacts:
    """What a search needs to know of the library's space: readable without the model."""

    key: str  # vectors of two keys are never compared
    parts: tuple[tuple[str, int], ...]
    pooled: str  # the part that a search asks by default
    labels: Mapping[int, str]
    note: str | None  # what the checkpoint says of itself, e.g. that its weights are random

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the space's shards."""
        return shard_dtype(self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names, stages first."""
        return tuple(name for name, _ in self.parts)


def facts_of(description: ModelDescription) -> dict[str, Any]:
    """What the catalogue keeps of a space, as JSON has it."""
    return {
        "parts": [[name, width] for name, width in description.parts],
        "pooled": description.pooled,
        "labels": {str(index): label for index, label in description.labels.items()},
        "note": description.note,
        "preprocessing": description.preprocessing,
        "weights": description.weights_digest,
    }
