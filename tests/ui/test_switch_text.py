"""The words of a change of model."""

from __future__ import annotations

from typing import Any

from ui.switch_text import back_text, forgotten_text, status_text, switch_text

FACTS: dict[str, Any] = {"model": "new", "space": "ab" * 32, "photos": 1204, "without": 0, "previous": None}
RUN = FACTS | {
    "built": 1, "active": True, "failed": [], "failed_count": 0, "checks": [], "problem": None, "seconds": 61.2,
}  # fmt: skip


def test_a_switch_that_was_made() -> None:
    checks = [{"name": "counts", "ok": True, "detail": "all"}, {"name": "recall", "ok": False, "detail": "too low"}]
    more = {"checks": checks, "previous": {"model": "old", "space": "cd"}, "problem": "It did not pass."}
    assert switch_text(RUN | more).splitlines() == [
        "ok   counts: all",
        "NOT  recall: too low",
        "Embedded: 1 photo, in 1 min 01 s.",
        "new answers, for 1,204 photos.",
        "Taken all the same: It did not pass.",
        "`switch-model --back` returns to old at once, --forget gives it up.",
    ]


def test_a_switch_that_was_not_made_names_files_and_reason() -> None:
    failed = [{"path": "/photos/a\n.jpg", "reason": "is not there"}]
    said = switch_text(RUN | {"active": False, "failed": failed, "failed_count": 7, "problem": "Too much is missing."})
    assert said.splitlines() == [
        "Unreadable: /photos/a\\n.jpg: is not there",
        "and 6 more.",
        "Embedded: 1 photo, in 1 min 01 s.",
        "Not switched, the old model answers: Too much is missing.",
    ]


def test_going_back_says_what_is_not_found() -> None:
    assert back_text(FACTS | {"without": 2}) == (
        "new answers, for 1,204 photos. Without vectors of it, and so not found: 2 photos. `switch-model new` or `index` on "
        "their folders makes them."
    )


def test_the_status_is_a_line_for_each_model() -> None:
    spaces = [
        {"model": "new", "space": "ab" * 32, "role": "active", "vectors": 5, "lacking": 0, "bytes": 2_500_000_000},
        {"model": "third", "space": "ef" * 32, "role": "building", "vectors": 2, "lacking": 3, "bytes": 100_000},
    ]
    job = {"state": "running", "model": "third", "progress": {"done": 2, "total": 5}, "report": None}
    assert status_text(FACTS | {"spaces": spaces, "job": job}).splitlines() == [
        "new answers, for 1,204 photos.",
        "   answers  new (abababababab): 5 vectors, 0 lacking, 2.5 GB",
        "half built  third (efefefefefef): 2 vectors, 3 lacking, 0.1 MB",
        "Being built: third, 2 of 5.",
    ]


def test_what_was_given_up() -> None:
    given_up = {"forgotten": [{"model": "old", "space": "cd", "vectors": 9}], "bytes": 1_000_000}
    assert forgotten_text(FACTS | given_up).startswith("Given up: old (9 vectors). 1.0 MB freed. new answers")
    assert "nothing, for there was no other model" in forgotten_text(FACTS | {"forgotten": [], "bytes": 0})
