"""How the whole page behaves, in headless Chromium: contrast and names by axe-core, widths, steadiness, other hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.ui.page_in_browser import MARKS, PATIENCE_MS, Watched

pytestmark = MARKS

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
SHIFTS = """() => { window.shifts = []; new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput)
    window.shifts.push([one.value, one.sources.map((source) => source.node?.parentElement?.outerHTML?.slice(0, 80))]);
}).observe({ type: "layout-shift", buffered: true }); }"""
READY = {
    "Look": "#neighbours .rc-score",
    "Why": "#why-pair img",
    "Stages": "#stage-photos img",
    "Map": "#map .rc-map-photos button",
    "Duplicates": "#duplicates-start",
    "Library": "#counts dd",
}


def tabs(page: Page, address: str, photo: int) -> Iterator[str]:
    """Goes through the tabs of a query; a step for each."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/?photo={photo}")
    for name, ready in READY.items():
        if name == "Why":
            page.locator("#neighbours [data-event=why]").nth(1).click()
        elif name != "Look":
            page.get_by_role("tab", name=name, exact=True).click()
        page.locator(ready).first.wait_for()
        yield name


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_every_tab_is_legible_named_and_fits(
    browser: Browser, server: str, photo_ids: dict[str, int], scheme: str, width: int
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    ) as context:  # type: ignore[arg-type]
        page = context.new_page()
        faults = {}
        for name in tabs(page, server, photo_ids["coffee.jpg"]):
            page.wait_for_timeout(500)  # what waits for an answer is paler
            faults[name] = [
                (one["id"], node["target"], node["html"][:100])
                for one in Axe().run(page, options=RULES).response["violations"]
                for node in one["nodes"]
            ]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert set(faults) == set(READY)
        assert not any(faults.values()), faults


def test_nothing_jumps_or_runs_over_on_a_wide_screen_and_no_other_host_is_asked(
    browser: Browser, server: str, photo_ids: dict[str, int]
) -> None:
    with browser.new_context(viewport={"width": 2560, "height": 1300}) as context:
        watched = Watched(context.new_page())
        page = watched.page
        page.add_init_script(f"({SHIFTS})()")
        for name in tabs(page, server, photo_ids["moon.jpg"]):
            assert page.evaluate("document.documentElement.scrollWidth") <= 2560, name
            box = page.locator("#tabs").bounding_box()
            assert box is not None
            assert abs((box["x"] + box["width"] / 2) - 1280) < 20, "in the middle"
        shifts = page.evaluate("window.shifts")
        assert sum(value for value, _ in shifts) < 0.1, shifts  # what Chromium calls good
        assert watched.hosts == {"127.0.0.1"}
        expect(page.get_by_role("tab")).to_have_count(6)
