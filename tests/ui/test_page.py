import gradio as gr

from index.library import Library
from ui.context import PageContext
from ui.page import build_page


def test_the_page_has_its_tabs_and_their_parts(library: Library):
    page = build_page(PageContext.of(library))
    assert isinstance(page, gr.Blocks)
    parts = {part["props"].get("elem_id"): part for part in page.get_config_file()["components"]}
    expected = ("query", "labels", "neighbours", "stages", "folders", "start", "pause", "job", "counts", "unreadable")
    assert set(expected) <= set(parts)
    labels = [part["props"].get("label") for part in parts.values()]
    tabs = [part["props"].get("label") for part in page.get_config_file()["components"] if part["type"] == "tabitem"]
    assert tabs == ["Look", "Why", "Stages", "Map", "Duplicates", "Library"]
    assert "Your picture" in labels
    assert not page.analytics_enabled


def test_no_event_is_open_to_strangers_by_name(library: Library):
    page = build_page(PageContext.of(library))
    assert all(event["api_visibility"] == "private" for event in page.get_config_file()["dependencies"])


def test_a_new_library_says_what_to_do_next(empty_library: Library):
    page = build_page(PageContext.of(empty_library))
    values = [str(part["props"].get("value")) for part in page.get_config_file()["components"]]
    assert any("Open the Library tab" in value for value in values)
