"""Clocks that are wrong, or set while a library is in use: of files, and of the system."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.compact import GRACE_S, sweep
from index.doctor import examine
from index.job import index_folder
from index.library import Library
from storage.errors import JobRunning

Run = Callable[..., dict[str, Any]]
Paint = Callable[..., Path]
Open = Callable[..., Library]
DAY_S = 86_400

pytestmark = pytest.mark.usefixtures("inline_decoder")


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the system's clock so many seconds forward, or back."""
    real = time.time

    def shift(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return shift


@pytest.mark.parametrize("when", [0, 1, 1_000_000_000, 4_000_000_000, 15_000_000_000])
def test_a_file_is_looked_at_again_whatever_its_new_time_is(
    library: Library, photos: Path, run: Run, paint: Paint, when: int
) -> None:
    one = paint(photos / "one.bmp", "red", seed=5)  # a format whose size says nothing of its colours
    run(library, photos)
    size = one.stat().st_size
    paint(one, "blue", seed=5)
    os.utime(one, (when, when))  # a camera whose clock was reset, a copy that kept the time, a wrong century
    assert one.stat().st_size == size
    report = run(library, photos)
    assert (report["embedded"], report["unchanged"]) == (1, 5)
    assert run(library, photos)["unchanged"] == 6
    assert examine(library)["ok"]


@pytest.mark.parametrize("days", [-400, -1, 1, 4000])
def test_a_clock_set_between_two_runs_changes_nothing(
    library: Library, open_library: Open, photos: Path, run: Run, set_clock: Callable[[float], None], days: int
) -> None:
    run(library, photos)
    library.close()
    set_clock(days * DAY_S)
    again = open_library()
    report = run(again, photos)
    assert (report["unchanged"], report["gone"]) == (5, 0)
    job = again.catalog.latest_job("index")
    assert job is not None
    assert job.report is not None
    # The newest is the one begun last, not the one with the latest time.
    assert (job.state, job.report["unchanged"]) == ("done", 5)
    assert examine(again)["ok"]


@pytest.mark.parametrize("days", [-400, -1, 1, 4000])
def test_a_clock_set_while_a_job_runs_takes_nothing_from_it(
    library: Library, open_library: Open, photos: Path, set_clock: Callable[[float], None], days: int
) -> None:
    steps = index_folder(library, [str(photos)])
    next(steps)
    set_clock(days * DAY_S)
    with pytest.raises(JobRunning, match=f"process {os.getpid()}"):
        next(index_folder(open_library(), [str(photos)]))
    *_, last = steps
    assert last.report is not None
    assert last.report["embedded"] == 5
    assert 0 <= last.report["seconds"] < 1000


def test_what_a_kill_left_is_swept_though_its_time_is_to_come(library: Library, photos: Path, run: Run) -> None:
    run(library, photos)
    new, old, later = (library.shards.folder / f"{name}.npy" for name in ("new", "old", "later"))
    half = library.thumbnails.folder / "half.jpg.12345678.tmp"
    for path, age_s in ((new, 0), (old, 2 * GRACE_S), (later, -DAY_S), (half, 2 * GRACE_S)):
        path.write_bytes(b"left by a kill")
        os.utime(path, (time.time() - age_s,) * 2)
    sweep(library)
    assert [path.exists() for path in (new, old, later, half)] == [True, False, False, False]
    assert examine(library)["ok"]
