"""The Why tab in headless Chromium: a neighbour is chosen, a part, a cell by the mouse and by the keyboard, and back."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.ui.page_in_browser import MARKS, Watched

pytestmark = MARKS

PLACE = (
    "frame => { const [one, all] = [frame, frame.parentElement].map(element => element.getBoundingClientRect());"
    " return [one.left - all.left, one.top - all.top, one.right - all.left, one.bottom - all.top]; }"
)


def look_at(watched: Watched, server: str, file: Path) -> Page:
    """The page, with a picture that Look has looked at."""
    page = watched.page
    page.goto(server)
    expect(page.locator("#header")).to_contain_text("FAISS")
    watched.upload(file)
    expect(page.locator("#labels .rc-percent").first).to_contain_text("%")
    return page


def test_a_neighbour_a_part_and_cells_of_either_picture(watched: Watched, server: str, photo_folder: Path) -> None:
    page = look_at(watched, server, photo_folder / "coffee-again.jpg")
    page.get_by_role("tab", name="Why").click()
    expect(page.locator("#why-pair")).to_contain_text("Choose one of the photos below")
    rows = page.locator("#why-row button")
    expect(rows).to_have_count(12)
    chosen = page.locator("#why-row li", has_text="coffee.jpg").first
    score = chosen.locator(".rc-score").inner_text()
    chosen.locator("button").click()
    expect(page.locator("#why-scores h2")).to_have_text("Why coffee-again.jpg is like coffee.jpg")
    told = page.locator("#why-pair .rc-why-told")
    expect(told).to_contain_text("The cells of either picture sum to 0.")
    assert f"{float(told.inner_text().split('sum to ')[1].split()[0].rstrip(';')):.3f}" == score

    page.locator("#why-scores button", has_text="stage 3").click()
    expect(page.locator("#why-scores button", has_text="stage 3")).to_have_attribute("aria-pressed", "true")
    for side in (0, 1):
        cells = page.locator(f"#why-pair .rc-why-cells[data-side='{side}']")
        cells.scroll_into_view_if_needed()
        box = cells.bounding_box()
        assert box is not None
        x, y = box["width"] * 0.31, box["height"] * 0.72
        cells.click(position={"x": x, "y": y})
        frame = page.locator(f"#why-pair .rc-why-view:has([data-side='{side}']) .rc-why-window + .rc-why-frame")
        expect(frame).to_have_count(1)
        left, top, right, bottom = frame.evaluate(PLACE)
        assert left <= x <= right
        assert top <= y <= bottom
        assert right - left < box["width"] / 5
        expect(page.locator(f"#why-pair .rc-why-view:has([data-side='{1 - side}']) .rc-why-frame")).to_have_count(3)
        expect(told).to_contain_text("This cell adds +")
        expect(page.locator("#why-pair .rc-why-best li")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator("#why-pair .rc-why-frame")).to_have_count(0)
    expect(told).to_contain_text("The cells of either picture sum to")


def test_all_of_it_by_the_keyboard_and_picture_or_map_alone(watched: Watched, server: str, photo_folder: Path) -> None:
    page = look_at(watched, server, photo_folder / "rocket.jpg")
    page.get_by_role("tab", name="Why").click()
    page.locator("#why-row button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#why-row button").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#why-row button").nth(1)).to_be_focused()

    cells = page.locator("#why-pair .rc-why-cells[data-side='1']")
    cells.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("#why-pair .rc-why-at")).to_contain_text(", row 2, column 2: ")
    page.keyboard.press("Enter")
    expect(page.locator("#why-pair .rc-why-view:has([data-side='1']) .rc-why-window")).to_be_visible()
    expect(cells).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#why-pair .rc-why-at")).to_contain_text(", row 2, column 3: ")
    page.keyboard.press("Escape")
    expect(page.locator("#why-pair .rc-why-window")).to_have_count(0)

    photo, layer = page.locator("#why-pair .rc-why-photo").first, page.locator("#why-pair .rc-why-map").first
    for show, seen in (("Picture", ("1", "0")), ("Map", ("0", "1")), ("Both", ("0.55", "1"))):
        page.get_by_label(show, exact=True).check()
        expect(photo).to_have_css("opacity", seen[0])
        expect(layer).to_have_css("opacity", seen[1])


def test_without_a_picture_the_tab_says_what_to_do_and_it_fits_a_phone(
    watched: Watched, server: str, photo_folder: Path
) -> None:
    page = watched.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server)
    page.get_by_role("tab", name="Why").click()
    expect(page.locator("#why-pair .rc-empty")).to_contain_text("Open the Look tab")
    page.get_by_role("tab", name="Look").click()
    watched.upload(photo_folder / "moon.jpg")
    expect(page.locator("#labels .rc-percent").first).to_contain_text("%")
    page.get_by_role("tab", name="Why").click()
    page.locator("#why-row li", has_text="onerror").locator("button").click()
    expect(page.locator("#why-scores h2")).to_contain_text("Why moon.jpg is like <img src=x onerror=alert(1)>")
    expect(page.locator("#why-scores h2")).to_be_in_viewport()
    first, second = (page.locator(".rc-why-view").nth(side).bounding_box() for side in (0, 1))
    assert first is not None
    assert second is not None
    assert second["y"] > first["y"] + first["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
