"""The rate that progress lines show: nothing before there is a measure, then a true one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import index.progress
from index.evaluate import evaluate
from index.job import index_folder
from index.library import Library
from index.progress import Rate


class Clock:
    """A time that goes on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(index.progress, "time", clock)
    return clock


def rates(clock: Clock, *moments: tuple[float, int]) -> list[float | None]:
    """What a Rate says at these seconds with so many done."""
    rate, start, said = Rate(), clock.now, []
    for second, done in moments:
        clock.now = start + second
        said.append(rate.update(done))
    return said


def test_nothing_is_said_before_three_seconds_after_the_first_batch(clock: Clock) -> None:
    said = rates(clock, (0, 7), (5, 7), (9, 7), (10, 39), (11, 71), (12.9, 103), (13, 135))
    assert said == [None] * 6 + [pytest.approx(96 / 3)]  # neither the ten seconds before nor the first 32 count


def test_nothing_is_said_of_one_batch_however_long_it_takes(clock: Clock) -> None:
    assert rates(clock, (0, 0), (8, 32), (60, 32)) == [None] * 3


def test_between_two_batches_the_rate_stays_and_sinks_only_when_the_next_is_late(clock: Clock) -> None:
    said = rates(clock, (0, 0), (1, 32), (5, 64), (5.1, 64), (8.9, 64), (21, 64), (41, 64))
    assert said[2:] == [pytest.approx(rate) for rate in (8, 8, 8, 64 / 20, 64 / 40)]


def test_a_disk_that_slows_down_shows(clock: Clock) -> None:
    fast = [(second, 100 * second) for second in range(1, 60)]
    slow = [(60 + second, 5900 + second) for second in range(30)]
    said = rates(clock, (0, 0), *fast, *slow)
    assert said[59] == pytest.approx(100)
    assert said[-1] == pytest.approx(1)
    assert None not in said[5:]


@pytest.mark.usefixtures("inline_decoder")
@pytest.mark.parametrize("job", ["index", "index, the first file unreadable", "evaluate"])
def test_jobs_measure_what_the_network_has_seen(
    job: str,
    library: Library,
    paint: Callable[..., Path],
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that takes 60 s to load and then 4 s for a batch of 4."""
    for number in range(20):
        paint(tmp_path / "photos" / "red" / f"{number}.png", "red", number)
    if "unreadable" in job:
        (tmp_path / "photos" / "red" / "!.png").write_bytes(b"no picture")
    network = type(library.backbone)
    embed, late = network.embed, iter([60])

    def slow(self: Any, pictures: Any) -> Any:
        clock.now += next(late, 4)
        return embed(self, pictures)

    monkeypatch.setattr(network, "embed", slow)
    folder = str(tmp_path / "photos")
    steps = list(index_folder(library, [folder]) if job != "evaluate" else evaluate(library, folder))
    said = [(step.images_per_second, step.seconds_left) for step in steps if step.images_per_second is not None]
    assert said
    assert [rate for rate, _ in said] == [pytest.approx(1)] * len(said)
    lefts = [left or 0 for _, left in said]
    assert all(before >= after for before, after in pairwise(lefts))
    assert 8 <= lefts[0] <= 13
