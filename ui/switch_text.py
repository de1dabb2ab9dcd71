"""What the terminal and the page say of a change of model, in words."""

from __future__ import annotations

from typing import Any

from ui.terminal import duration, shown

ROLES = {"active": "answers", "previous": "--back", "building": "half built", "kept": "kept"}


def switch_text(report: dict[str, Any]) -> str:
    """A run of `switch-model NAME`."""
    lines = [f"Unreadable: {shown(failure['path'])}: {failure['reason']}" for failure in report["failed"]]
    more = report["failed_count"] - len(report["failed"])
    lines += [f"and {more} more."] if more else []
    lines += [f"{'ok ' if check['ok'] else 'NOT'}  {check['name']}: {check['detail']}" for check in report["checks"]]
    if report["built"] or not report["active"]:
        lines.append(f"Embedded: {_photos(report['built'])}, in {duration(report['seconds'])}.")
    if not report["active"]:
        return "\n".join([*lines, f"Not switched, the old model answers: {report['problem']}"])
    lines.append(_answers(report))
    lines += [f"Taken all the same: {report['problem']}"] if report["problem"] else []
    if report["previous"]:
        lines.append(
            f"`switch-model --back` returns to {shown(report['previous']['model'])} at once, --forget gives it up."
        )
    return "\n".join(lines)


def back_text(report: dict[str, Any]) -> str:
    """A run of `switch-model --back`."""
    return _answers(report)


def status_text(report: dict[str, Any]) -> str:
    """The spaces, a line each."""
    lines = [_answers(report)]
    for space in report["spaces"]:
        held = f"{space['vectors']} vectors, {space['lacking']} lacking, {_size(space['bytes'])}"
        lines.append(f"{ROLES[space['role']]:>10}  {shown(space['model'])} ({space['space'][:12]}): {held}")
    job = report["job"]
    if job is not None and job["state"] == "running":
        progress = job["progress"]
        lines.append(
            f"Being built: {shown(job['model'] or '')}, {progress.get('done', 0)} of {progress.get('total', '?')}."
        )
    return "\n".join(lines)


def forgotten_text(report: dict[str, Any]) -> str:
    """A run of `switch-model --forget`."""
    names = ", ".join(f"{shown(space['model'])} ({space['vectors']} vectors)" for space in report["forgotten"])
    return f"Given up: {names or 'nothing, for there was no other model'}. {_size(report['bytes'])} freed. {_answers(report)}"


def lacking_note(report: dict[str, Any]) -> str | None:
    """What to do about photos that the model that answers has no vectors of."""
    if not report["without"]:
        return None
    return (
        f"Without vectors of it, and so not found: {_photos(report['without'])}. `switch-model {shown(report['model'])}` or "
        "`index` on their folders makes them."
    )


def _answers(report: dict[str, Any]) -> str:
    note = lacking_note(report)
    return f"{shown(report['model'])} answers, for {_photos(report['photos'])}." + (f" {note}" if note else "")


def _size(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _photos(count: int) -> str:
    return f"{count:,} photo{'s' * (count != 1)}"
