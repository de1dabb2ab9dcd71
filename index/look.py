"""What the network sees in one picture: labels, features of every stage, and the vectors to search by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Protocol

import numpy as np

from index.decode import Decoder
from index.errors import ModelMismatch
from regconv.backbone import Backbone, Features, ModelDescription, describe, load_backbone


class Sees(Protocol):
    """What it takes to look at a picture; a Library is one."""

    @property
    def decoder(self) -> Decoder: ...
    @property
    def backbone(self) -> Backbone: ...


class Eyes:
    """A model without a library."""

    def __init__(self, model: str, device: str = "auto") -> None:
        self.description: ModelDescription = describe(model)
        self.device = device

    @cached_property
    def backbone(self) -> Backbone:
        """The network, loaded when first asked for."""
        return load_backbone(self.description, self.device)

    @cached_property
    def decoder(self) -> Decoder:
        """The worker processes that read pictures."""
        return Decoder(self.description.recipe)

    def __enter__(self) -> Eyes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "decoder" in self.__dict__:
            self.decoder.close()


@dataclass(frozen=True)
class Example:
    """One picture of a query: its vector (d,) for each part, its content where it is of the library, how much it counts."""

    vectors: Mapping[str, np.ndarray]
    content_id: int | None = None
    space: str | None = None  # the key of the space that the vectors are of; None where nobody says
    weight: float = 1.0  # beside the query's other pictures, above zero


def must_be_of(space: str, examples: Iterable[Example]) -> None:
    """Raises ModelMismatch where one of the examples was made in another space than the one with this key."""
    if any(example.space not in (None, space) for example in examples):
        raise ModelMismatch(
            "The library's model was changed since this picture was looked at: the two can't be compared. Look at it again."
        )


@dataclass(frozen=True)
class Glance:
    """A picture's labels and vectors."""

    picture: np.ndarray  # uint8 (h, w, 3), as the network got it
    labels: list[tuple[int, str, float]]  # (index, words, probability), the most likely first
    example: Example


@dataclass(frozen=True)
class Look(Glance):
    """A picture's labels, vectors and every stage's maps."""

    features: Features


def glance_at(eyes: Sees, path: str) -> Glance:
    """Decode a picture in a worker and run it through the network. Raises UnreadableImage."""
    picture = eyes.decoder.picture(path).picture
    parts = eyes.backbone.embed(picture[None])
    words = eyes.backbone.description.labels
    labels = [
        (int(index), words.get(int(index), f"label {index}"), float(score))
        for index, score in zip(parts.labels[0], parts.scores[0], strict=True)
    ]
    vectors = {name: parts.vectors[name][0] for name in parts.names}
    return Glance(picture, labels, Example(vectors, space=eyes.backbone.description.space))


def look_at(eyes: Sees, path: str) -> Look:
    """The same, with the maps of the stem and every stage. Raises UnreadableImage."""
    glance = glance_at(eyes, path)
    return Look(glance.picture, glance.labels, glance.example, eyes.backbone.features(glance.picture[None]))
