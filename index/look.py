"""What the network sees in one picture: labels, features of every stage, and the vectors to search by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from index.library import Library
from index.search import Example, example_of_parts
from regconv.backbone import Features


@dataclass(frozen=True)
class Look:
    """One picture through the network."""

    picture: np.ndarray  # uint8 (h, w, 3), as the network got it
    labels: list[tuple[int, str, float]]  # (index, words, probability), the most likely first
    features: Features
    example: Example


def look_at(library: Library, path: str) -> Look:
    """Decode a picture in a worker and run it once for its labels and vectors, once for all its maps.

    Raises UnreadableImage.
    """
    picture = library.decoder.picture(path).picture
    parts = library.backbone.embed(picture[None])
    labels = top_labels(library, parts.labels[0], parts.scores[0])
    return Look(picture, labels, library.backbone.features(picture[None]), example_of_parts(parts))


def top_labels(library: Library, indices: np.ndarray, scores: np.ndarray) -> list[tuple[int, str, float]]:
    """(index, words, probability) from a row of label indices and a row of probabilities."""
    return [(int(index), library.label(int(index)), float(score)) for index, score in zip(indices, scores, strict=True)]
