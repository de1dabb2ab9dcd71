"""What the server remembers of visits: of the last ones alone, and little of each."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import gradio as gr
import pytest

import ui.page
import ui.server
from index.library import Library
from tests.ui.page_over_http import PageOverHTTP
from ui.server import build_app
from ui.visits import Visits


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[Visits]:
    """The visits of every server that is made from now on."""
    made: list[Visits] = []

    def noted(page: gr.Blocks) -> Visits:
        made.append(Visits(page))
        return made[-1]

    monkeypatch.setattr(ui.server, "Visits", noted)
    return made


def test_only_the_last_visits_are_remembered(
    visits: list[Visits], library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui.page, "SESSIONS", 3)
    build_app(library)
    (kept,) = visits
    for name in ("a", "b", "c", "a", "d"):
        kept[name]
    assert [name in kept for name in "abcd"] == [True, False, True, True]


def test_of_what_a_visit_was_shown_nothing_is_kept_and_what_it_asked_is(
    visits: list[Visits], empty_server: str, photo_folder: Path
) -> None:
    with PageOverHTTP(empty_server) as page:
        assert "What the network sees" in page.look(photo_folder / "coffee.jpg")
        visit = visits[0].session_data[page.session]
    assert list(visit.components) == []
    assert [ask for ask in visit.state_data.values() if "coffee.jpg" in str(ask)]


def test_a_visit_takes_little_memory(visits: list[Visits], library: Library) -> None:
    build_app(library)
    visits[0]["first"]
    tracemalloc.start()
    try:
        for number in range(10):
            visits[0][str(number)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 10 * 40_000  # bytes; 262 kB each with what Gradio's own keep
