from datetime import UTC, datetime, timedelta

import pytest

from index.runner import JobRecord
from ui.job_words import duration, job_view


def job(state: str, progress: dict | None = None, report: dict | None = None, *, stop: bool = False) -> JobRecord:
    now = datetime.now(UTC).replace(tzinfo=None)
    finished = None if state == "running" else now - timedelta(minutes=5)
    return JobRecord(1, "index", state, ["/photos"], now, finished, progress or {}, report, stop)


def test_no_job_yet():
    assert job_view(None) is None


def test_a_running_job_shows_share_rate_time_left_and_the_file():
    progress = {
        "phase": "embedding", "done": 250, "total": 1000, "embedded": 240, "unchanged": 0, "moved": 0, "failed": 10,
        "gone": 0, "images_per_second": 12.34, "seconds_left": 61.0, "current": "/photos/2024/cat.jpg",
    }  # fmt: skip
    view = job_view(job("running", progress))
    assert view is not None
    assert (view.running, view.share, view.current) == (True, 0.25, "cat.jpg")
    assert view.facts == ["250 of 1,000", "12.3 pictures a second", "about 1 min left", "10 unreadable"]


def test_a_job_that_has_just_begun_knows_nothing_yet():
    view = job_view(job("running"))
    assert view is not None
    assert (view.share, view.current) == (None, None)
    assert view.facts == ["0 found so far"]


def test_a_job_that_was_asked_to_stop_says_so():
    view = job_view(job("running", {"phase": "embedding", "done": 1, "total": 2}, stop=True))
    assert view is not None
    assert "Stopping" in view.headline


def test_an_empty_folder_does_not_divide_by_zero():
    view = job_view(job("running", {"phase": "finishing", "done": 0, "total": 0}))
    assert view is not None
    assert view.share is None


def test_a_complete_job_shows_its_report():
    report = {
        "seen": 1204, "embedded": 12, "unchanged": 1190, "moved": 0, "gone": 3, "seconds": 75.0, "images_per_second": 0.16,
        "failed": [{"path": "/a", "reason": "is empty"}] * 2, "failed_count": 2,
        "skipped_folders": [{"path": "/photos/private", "reason": "Permission denied"}],
    }  # fmt: skip
    view = job_view(job("done", report=report))
    assert view is not None
    assert view.headline == "The last run is complete, 5 min ago"
    assert view.facts[:5] == ["1,204 photos seen", "12 new", "1,190 unchanged", "3 gone", "2 unreadable"]
    assert view.skipped == [("/photos/private", "Permission denied")]
    assert view.failed == 2


def test_a_failed_job_says_why():
    view = job_view(job("failed", report={"error": "The disk is full."}))
    assert view is not None
    assert view.problem == "The disk is full."


def test_a_killed_job_without_a_report_is_shown_as_stopped():
    view = job_view(job("interrupted"))
    assert view is not None
    assert not view.running
    assert "kept" in view.headline


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59, "59 s"), (59.6, "1 min"), (3600, "1 h"), (7500, "2 h 5 min"), (3599, "1 h")],
)
def test_durations(seconds: float, words: str):
    assert duration(seconds) == words
