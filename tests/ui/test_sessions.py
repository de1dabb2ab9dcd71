from __future__ import annotations

import pytest

import ui.page
from index.library import Library
from ui.server import build_app


def test_only_the_last_visits_are_remembered(library: Library, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ui.page, "SESSIONS", 3)
    sessions = build_app(library).routes[-1].app.state_holder  # type: ignore[attr-defined]
    for name in ("a", "b", "c", "a", "d"):
        sessions[name]
    assert [name in sessions for name in "abcd"] == [True, False, True, True]
