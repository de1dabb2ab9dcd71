"""A job's record in words and numbers for a person."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

from index.runner import JobRecord

PHASES = {
    "scanning": "Looking for pictures",
    "embedding": "Reading pictures",
    "finishing": "Finishing",
    "done": "Finishing",
}


@dataclass(frozen=True)
class JobView:
    """What the page shows of the newest job."""

    running: bool
    headline: str
    share: float | None  # of the work, 0 to 1; None while nobody knows
    facts: list[str] = field(default_factory=list)
    current: str | None = None  # the file last dealt with
    problem: str | None = None
    failed: int = 0  # files that this run could not read
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (folder, why it was left as it was)


def job_view(job: JobRecord | None) -> JobView | None:
    """The newest job, in words; None where there was none yet."""
    if job is None:
        return None
    return _running(job) if job.state == "running" else _ended(job)


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


def _running(job: JobRecord) -> JobView:
    progress = job.progress
    done, total = progress.get("done", 0), progress.get("total")
    phase = PHASES.get(progress.get("phase", "scanning"), "Working")
    headline = "Stopping after the current step" if job.stop_asked else phase
    facts = [f"{done:,} of {total:,}" if total is not None else f"{done:,} found so far"]
    if rate := progress.get("images_per_second"):
        facts.append(f"{rate:,.1f} pictures a second")
    if (left := progress.get("seconds_left")) is not None and progress.get("phase") == "embedding":
        facts.append(f"about {duration(left)} left")
    if failed := progress.get("failed", 0):
        facts.append(f"{failed:,} unreadable")
    current = progress.get("current")
    share = min(1.0, done / total) if total else None
    return JobView(True, headline, share, facts, os.path.basename(current) if current else None)


def _ended(job: JobRecord) -> JobView:
    report = job.report or {}
    when = _ago(job.finished_at)
    if job.state == "failed":
        return JobView(False, f"The last run failed{when}", None, problem=report.get("error") or "No reason was left.")
    if job.state == "interrupted":
        headline = f"The last run was stopped{when}; what it had done is kept. Start goes on from there"
    else:
        headline = f"The last run is complete{when}"
    failed = report.get("failed_count", len(report.get("failed", ())))
    skipped = [(folder["path"], folder["reason"]) for folder in report.get("skipped_folders", ())]
    return JobView(False, headline, None, _facts(report, failed), failed=failed, skipped=skipped)


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


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    seconds = (datetime.now(UTC).replace(tzinfo=None) - moment).total_seconds()
    return (
        ", just now" if seconds < 90 else f", {duration(seconds)} ago" if seconds < 86_400 else f", {moment:%Y-%m-%d}"
    )
