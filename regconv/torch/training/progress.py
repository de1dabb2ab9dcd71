"""Where a training run is: what it yields, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Generator, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

from regconv.torch.training.recipe import TrainingRecipe

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class TrainingProgress:
    """A moment of a run: `done` of `total` steps, or of files while they are read. `report` is there at the end only.

    accuracy: of the last measurement, a share; best: the best so far. failed: files that could not be read.
    """

    phase: str
    done: int
    total: int
    failed: int = 0
    epoch: int = 0
    loss: float | None = None
    accuracy: float | None = None
    best: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    report: dict[str, Any] | None = None


def phase_words(epoch: int, epochs: int, loss: float, accuracy: float | None, best: float | None) -> str:
    """What a person reads beside the bar."""
    words = f"epoch {epoch}/{epochs}, loss {loss:.3f}"
    return words if accuracy is None else f"{words}, top-1 {accuracy:.1%}, best {best:.1%}"


class Pace:
    """Pictures a second of late, and the seconds left; larger pictures to come count as much more as they are larger."""

    def __init__(self, recipe: TrainingRecipe, per_epoch: int) -> None:
        self.batch = recipe.batch_size
        areas = [recipe.size_at(epoch) ** 2 for epoch in range(recipe.epochs)]
        self.work = [float(area * per_epoch) for area in areas]
        self.per_epoch = per_epoch
        self.last = time.monotonic()
        self.seconds_per_step: float | None = None
        self.images_per_second: float | None = None
        self.seconds_left: float | None = None

    def count(self, step: int, size: int) -> None:
        """A step is done."""
        now = time.monotonic()
        took, self.last = now - self.last, now
        old = took if self.seconds_per_step is None else self.seconds_per_step
        self.seconds_per_step = old + 0.05 * (took - old)
        epoch, place = divmod(step, self.per_epoch)
        left = sum(self.work[epoch:]) - (self.work[epoch] * place / self.per_epoch if place else 0.0)
        self.images_per_second = self.batch / self.seconds_per_step
        self.seconds_left = self.seconds_per_step * left / size**2


def as_progress(
    reading: Generator[int, None, _Read], before: int, total: int, failures: Sized
) -> Generator[TrainingProgress, None, _Read]:
    """Yields a progress for every file read, returns what the reading returns."""
    while True:
        try:
            done = next(reading)
        except StopIteration as end:
            return end.value
        yield TrainingProgress("reading", before + done, total, len(failures))
