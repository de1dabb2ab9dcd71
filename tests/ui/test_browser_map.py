"""The Map tab in headless Chromium: drawn, zoomed and moved by mouse and keyboard, and a photo on it becomes the query."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from index.library import Library
from tests.ui.conftest import serving
from tests.ui.page_in_browser import MARKS, Watched

pytestmark = MARKS

PHOTOS = "#map .rc-map-photos button"
SPREAD = """() => {
  const boxes = [...document.querySelectorAll("#map .rc-map-photos button")].map((one) => one.getBoundingClientRect());
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  return boxes.every((one, at) => boxes.slice(at + 1).every((other) => apart(one, other)));
}"""


@pytest.fixture(scope="module")
def map_server(library_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a copy of the shared library, whose map is drawn when the first test opens it."""
    folder = shutil.copytree(library_folder, tmp_path_factory.mktemp("mapped") / "library")
    with Library.open(folder, device="cpu") as library, serving(library) as address:
        yield address


def opened(watched: Watched, address: str) -> Page:
    page = watched.page
    page.goto(address)
    page.get_by_role("tab", name="Map", exact=True).click()
    expect(page.locator(PHOTOS).first).to_be_visible()
    expect(page.locator("#map .rc-map-wait")).to_be_empty()
    return page


def places(page: Page) -> dict[str, tuple[float, float]]:
    """The middle of each photo that is shown, by its number."""
    script = """all => all.map((one) => {
      const box = one.getBoundingClientRect();
      return [one.dataset.photo, box.x + box.width / 2, box.y + box.height / 2];
    })"""
    return {photo: (x, y) for photo, x, y in page.eval_on_selector_all(PHOTOS, script)}


def test_the_map_is_drawn_by_itself_coloured_and_zoomed_by_mouse(watched: Watched, map_server: str) -> None:
    page = opened(watched, map_server)
    expect(page.locator("#map-state")).to_contain_text("14 photos.")
    assert page.locator(".js-plotly-plot, .rc-map-plot .main-svg").count() >= 1
    assert page.evaluate(SPREAD)
    expect(page.locator("#map .rc-map-colours button")).to_have_text(["Label", "Folder"])
    expect(page.locator("#map .rc-map-legend li").first).not_to_be_empty()
    page.locator("#map .rc-map-colours button", has_text="Folder").click()
    expect(page.locator("#map .rc-map-legend li")).to_have_count(1)

    first = places(page)
    box = page.locator("#map .rc-map-field").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -300)
    moved = (
        "([id, x]) => Math.abs(document.querySelector(`#map [data-photo='${id}']`).getBoundingClientRect().x - x) > 60"
    )
    photo, (x, _) = max(first.items(), key=lambda one: abs(one[1][0] - box["x"] - box["width"] / 2))
    page.wait_for_function(
        f"(old) => !document.querySelector(`#map [data-photo='${{old[0]}}']`) || ({moved})(old)", arg=[photo, x]
    )
    page.locator("#map [data-zoom=all]").click()
    page.wait_for_function(
        "(old) => Object.entries(old).every(([id, [x, y]]) => { const box = document.querySelector("
        "`#map button[data-photo='${id}']`)?.getBoundingClientRect(); return box && Math.hypot(box.x + box.width / 2 - x, "
        "box.y + box.height / 2 - y) < 2; })",
        arg={photo: list(place) for photo, place in first.items()},
    )
    assert page.evaluate(SPREAD)


def test_a_photo_clicked_becomes_the_query_and_is_marked(watched: Watched, map_server: str) -> None:
    page = opened(watched, map_server)
    photo, (x, y) = next(iter(places(page).items()))
    page.mouse.move(x, y)
    name = page.locator("#map .rc-map-name").inner_text()
    assert re.search(r"\.jpg$", name)
    page.mouse.click(x, y)
    expect(page.get_by_role("tab", name="Look", exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#neighbours")).to_contain_text(name)
    page.get_by_role("tab", name="Map", exact=True).click()
    expect(page.locator("#map .rc-map-query")).to_have_attribute("data-photo", photo)


def test_it_is_used_by_keyboard_alone(watched: Watched, map_server: str) -> None:
    page = opened(watched, map_server)
    before = places(page)
    photo = next(iter(before))
    page.locator("#map .rc-map-plot").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    after = places(page)
    assert all(after[one][0] < before[one][0] - 50 for one in before.keys() & after.keys())
    page.keyboard.press("0")
    page.wait_for_timeout(500)
    page.keyboard.press("+")
    page.wait_for_timeout(500)
    page.keyboard.press("0")
    expect(page.locator(f'{PHOTOS}[data-photo="{photo}"]')).to_be_visible()
    page.wait_for_timeout(500)
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.dataset.photo")
    assert focused in places(page)
    (x, y) = places(page)[focused]
    arrow = next(
        (
            key
            for key, way in {
                "ArrowLeft": (-1, 0),
                "ArrowRight": (1, 0),
                "ArrowUp": (0, -1),
                "ArrowDown": (0, 1),
            }.items()
            if any((left - x) * way[0] + (top - y) * way[1] > 20 for left, top in places(page).values())
        )
    )
    page.keyboard.press(arrow)
    chosen = page.evaluate("document.activeElement.dataset.photo")
    assert chosen in places(page)
    assert chosen != focused
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Look", exact=True)).to_have_attribute("aria-selected", "true")


def test_an_empty_library_says_what_to_do(watched: Watched, empty_server: str) -> None:
    page = watched.page
    page.goto(empty_server)
    page.get_by_role("tab", name="Map", exact=True).click()
    expect(page.locator("#map-state")).to_contain_text("Open the Library tab")
    expect(page.locator("#map .rc-map-field")).to_be_hidden()
    assert page.evaluate("typeof window.Plotly") == "undefined"  # nobody waits for 1.5 MB that show nothing
