from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from index.runner import JobRecord
from ui.job_words import duration, job_view, size


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


@pytest.mark.parametrize(
    ("kind", "cancel", "headline"),
    [
        ("index", False, "Pausing after the current step"),
        ("index", True, "Cancelling after the current step"),
        ("switch", False, "Stopping after the current step"),
    ],
)
def test_a_job_that_was_asked_to_end_says_so(kind: str, cancel: bool, headline: str):
    asked = job("running", {"phase": "embedding", "done": 1, "total": 2}, stop=True)
    view = job_view(replace(asked, kind=kind, cancel_asked=cancel))
    assert view is not None
    assert (view.running, view.headline) == (True, headline)


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


HALF = {"phase": "embedding", "done": 1204, "total": 10_000, "failed": 2}


def test_a_paused_job_says_where_it_is_and_can_be_gone_on_with():
    view = job_view(job("interrupted", HALF, {"seen": 1204}, stop=True))
    assert view is not None
    assert (view.running, view.can_resume, view.share, view.failed) == (False, True, 0.1204, 2)
    assert view.headline == "Paused at 1,204 of 10,000, 5 min ago"
    assert view.facts == ["what was done is kept", "Resume goes on from there", "2 unreadable"]
    switch = job_view(replace(job("interrupted", HALF, stop=True), kind="switch"))
    assert switch is not None
    assert switch.headline.startswith("Stopped at 1,204")
    assert "another start goes on from there" in switch.facts


def test_a_killed_job_says_that_nobody_paused_it():
    view = job_view(replace(job("interrupted", HALF), finished_at=None))
    assert view is not None
    assert (view.running, view.can_resume) == (False, True)
    assert view.headline == "Interrupted at 1,204 of 10,000"
    assert view.facts[:2] == [
        "the program that ran it has ended",
        "what was done is kept, but for its last half minute at most",
    ]


def test_a_job_paused_before_it_knew_how_much_there_is():
    view = job_view(job("interrupted", {"phase": "scanning", "done": 30, "total": None}, stop=True))
    assert view is not None
    assert (view.headline, view.share) == ("Paused, 5 min ago", None)


def test_a_cancelled_job_keeps_what_it_did_and_is_not_gone_on_with():
    view = job_view(job("cancelled", HALF, stop=True))
    assert view is not None
    assert (view.headline, view.can_resume) == ("Cancelled at 1,204 of 10,000, 5 min ago", False)
    assert not any("Resume" in fact for fact in view.facts)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59, "59 s"), (59.6, "1 min"), (3600, "1 h"), (7500, "2 h 5 min"), (3599, "1 h")],
)
def test_durations(seconds: float, words: str):
    assert duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 kB"), (4096, "4 kB"), (35e6, "35.0 MB"), (1.24e9, "1.2 GB")])
def test_sizes(count: int, words: str):
    assert size(count) == words
