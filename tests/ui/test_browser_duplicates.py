"""The Duplicates tab in headless Chromium: looked for, decided about by keyboard, remembered, taken back."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from index.job import index_folder
from index.library import Library
from tests.ui.page_in_browser import MARKS, Watched

pytestmark = MARKS


@pytest.fixture
def copies(photo_folder: Path, empty_library: Library, tmp_path: Path) -> Path:
    """A folder with copies, indexed beside the photographs."""
    folder = tmp_path / "Kopien, 猫"
    folder.mkdir()
    for name in ("moon-1.jpg", "moon-2.jpg", "coffee.jpg"):
        shutil.copy(photo_folder / f"{name.split('-')[0].removesuffix('.jpg')}.jpg", folder / name)
    for _ in index_folder(empty_library, [str(photo_folder), str(folder)]):
        pass
    return folder


def open_tab(watched: Watched, address: str) -> Page:
    watched.open(address)
    watched.page.get_by_role("tab", name="Duplicates").click()
    return watched.page


def decided(page: Page, words: str) -> None:
    expect(page.locator(".rc-decided")).to_have_text(words)


def test_groups_are_decided_by_keyboard_remembered_and_taken_back(watched: Watched, empty_server: str, copies: Path):
    page = open_tab(watched, empty_server)
    expect(page.locator("#duplicates-group")).to_contain_text("Press “Look for duplicates”")
    expect(page.locator("#duplicates-keys")).to_be_hidden()
    page.locator("#duplicates-start").click()
    expect(page.locator(".rc-dup-why b")).to_have_text("Exact copies")
    total = int(page.locator(".rc-dup-at").inner_text().split(" of ")[1])
    assert total >= 7
    decided(page, f"0 of {total} decided")

    # compare: by key and by hand, and one in the place of the other while S is held
    other = page.locator("[data-pane=other]")
    while page.locator("[data-compare]").count() < 2:  # the group of three
        at = page.locator(".rc-dup").get_attribute("aria-label")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".rc-dup")).not_to_have_attribute("aria-label", at or "")
    names = page.locator("[data-compare]").evaluate_all("all => all.map(one => one.ariaLabel)")
    page.keyboard.press("2")
    expect(page.locator("[data-compare]").nth(1)).to_have_attribute("aria-pressed", "true")
    assert other.locator("dd").first.inner_text() in names[1]
    page.keyboard.down("s")
    expect(page.locator(".rc-over")).to_be_visible()
    assert page.locator(".rc-over").evaluate("one => one.src") == other.locator("img").evaluate("one => one.src")
    page.keyboard.up("s")
    expect(page.locator(".rc-over")).to_be_hidden()

    page.keyboard.press("n")
    expect(page.locator("#duplicates-problem [role=alert]")).to_contain_text("equal byte for byte")
    outcome = page.locator(".rc-outcome p")
    expect(outcome.first).to_contain_text(re.compile(r"keeps moon.jpg and lets 2 files go \(\d+ kB\)"))
    page.locator("[data-verdict=keep-one]").focus()
    page.keyboard.press("Enter")
    decided(page, f"1 of {total} decided")
    expect(outcome.last).to_contain_text(
        re.compile(r"moon.jpg stays, 2 files may go \(\d+ kB\). RegConv itself deletes nothing")
    )
    expect(page.locator("[data-verdict=keep-one]")).to_be_focused()
    expect(page.locator("#duplicates-problem [role=alert]")).to_have_count(0)
    page.keyboard.press("k")
    decided(page, f"2 of {total} decided")
    page.keyboard.press("u")
    decided(page, f"1 of {total} decided")

    page.reload()
    page.get_by_role("tab", name="Duplicates").click()
    decided(page, f"1 of {total} decided")
    page.locator("#duplicates-may-go button").first.click()
    expect(page.locator("#duplicates-paths textarea")).to_have_value(f"{copies}/moon-1.jpg\n{copies}/moon-2.jpg")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "copies.csv"
    assert download.value.path().read_text().count(str(copies)) == 2
    assert (copies / "moon-1.jpg").is_file()
    page.locator("#duplicates-decided button").first.click()
    page.get_by_role("button", name="Take back").click()
    decided(page, f"0 of {total} decided")

    page.locator("[data-kind=burst]").click()
    expect(page.locator("#duplicates-group")).to_contain_text("Nothing is left to decide of this kind")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("[data-kind=edited]").click()
    expect(page.locator(".rc-dup")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
