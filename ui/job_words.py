"""A job's record in words and numbers for a person."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

from index.runner import CANCELLED, INTERRUPTED, RUNNING, JobRecord

PHASES = {
    "scanning": "Looking for pictures",
    "embedding": "Reading pictures",
    "checking": "Checking the new vectors",
    "finishing": "Finishing",
    "done": "Finishing",
}


@dataclass(frozen=True)
class JobView:
    """What the page shows of the newest job."""

    running: bool
    headline: str
    share: float | None  # of the work, 0 to 1; None while nobody knows, and once it is complete
    facts: list[str] = field(default_factory=list)
    current: str | None = None  # the file last dealt with
    problem: str | None = None
    failed: int = 0  # files that this run could not read
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (folder, why it was left as it was)
    can_resume: bool = False


def job_view(job: JobRecord | None) -> JobView | None:
    """The newest job, in words; None where there was none yet."""
    if job is None:
        return None
    if job.state == RUNNING:
        return _running(job)
    return _half_done(job) if job.state in (INTERRUPTED, CANCELLED) else _ended(job)


def duration(seconds: float) -> str:
    """For instance "40 s", "3 min", "2 h 5 min"."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if hours == 0 else f"{hours} h {rest} min" if rest else f"{hours} h"


def photos(count: int) -> str:
    """For instance "1 photo", "1,204 photos"."""
    return f"{count:,} photo{'s' * (count != 1)}"


def size(count: int) -> str:
    """Bytes, for instance "1.2 GB", "35.0 MB", "4 kB"."""
    if count >= 1e9:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def ago(moment: datetime | None) -> str:
    """How long a moment (UTC, without zone) is past, to go on a sentence: ", 5 min ago"."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC).replace(tzinfo=None) - moment).total_seconds()
    return (
        ", just now" if seconds < 90 else f", {duration(seconds)} ago" if seconds < 86_400 else f", {moment:%Y-%m-%d}"
    )


def _running(job: JobRecord) -> JobView:
    progress = job.progress
    done, total = progress.get("done", 0), progress.get("total")
    headline = PHASES.get(progress.get("phase", "scanning"), "Working")
    if job.stop_asked:
        ends = "Pausing" if job.kind == "index" else "Stopping"
        headline = f"{'Cancelling' if job.cancel_asked else ends} after the current step"
    facts = [f"{done:,} of {total:,}" if total is not None else f"{done:,} found so far"]
    if rate := progress.get("images_per_second"):
        facts.append(f"{rate:,.1f} pictures a second")
    if (left := progress.get("seconds_left")) is not None and progress.get("phase") == "embedding":
        facts.append(f"about {duration(left)} left")
    if failed := progress.get("failed", 0):
        facts.append(f"{failed:,} unreadable")
    current = progress.get("current")
    return JobView(True, headline, _share(job), facts, os.path.basename(current) if current else None)


def _half_done(job: JobRecord) -> JobView:
    """Paused, killed or cancelled: where it was, and that what it had done is kept."""
    done, total = job.progress.get("done", 0), job.progress.get("total")
    stopped = "Paused" if job.kind == "index" else "Stopped"
    word = "Cancelled" if job.state == CANCELLED else stopped if job.stop_asked else "Interrupted"
    where = f" at {done:,} of {total:,}" if total else ""
    facts = ["what was done is kept"]
    if job.state == INTERRUPTED:
        if not job.stop_asked:  # killed, or interrupted at its terminal: see index/pending.py
            facts = ["the program that ran it has ended", "what was done is kept, but for its last half minute at most"]
        facts.append("Resume goes on from there" if job.kind == "index" else "another start goes on from there")
    failed = job.progress.get("failed", 0)
    facts += [f"{failed:,} unreadable"] if failed else []
    can_resume = job.state == INTERRUPTED
    return JobView(
        False, f"{word}{where}{ago(job.finished_at)}", _share(job), facts, failed=failed, can_resume=can_resume
    )


def _ended(job: JobRecord) -> JobView:
    report = job.report or {}
    when = ago(job.finished_at)
    if job.state == "failed":
        return JobView(False, f"The last run failed{when}", None, problem=report.get("error") or "No reason was left.")
    failed = report.get("failed_count", len(report.get("failed", ())))
    skipped = [(folder["path"], folder["reason"]) for folder in report.get("skipped_folders", ())]
    headline = f"The last run is complete{when}"
    return JobView(False, headline, None, _facts(report, failed), failed=failed, skipped=skipped)


def _share(job: JobRecord) -> float | None:
    done, total = job.progress.get("done", 0), job.progress.get("total")
    return min(1.0, done / total) if total else None


def _facts(report: dict, failed: int) -> list[str]:
    if "seen" not in report:
        return []
    facts = [f"{photos(report['seen'])} seen", f"{report['embedded']:,} new"]
    words = {"unchanged": "unchanged", "moved": "moved or copied", "gone": "gone"}
    facts += [f"{report[name]:,} {word}" for name, word in words.items() if report[name]]
    facts += [f"{failed:,} unreadable"] if failed else []
    facts.append(f"in {duration(report['seconds'])}")
    if report["embedded"]:
        facts.append(f"{report['images_per_second']:,.1f} pictures a second")
    return facts
