"""The page in headless Chromium, against the running server. What a person does, and what they then see."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from index.job import index_folder
from index.library import Library
from tests.ui.page_in_browser import MARKS, Watched

pytestmark = MARKS


def test_a_picture_shows_labels_maps_and_neighbours_and_a_click_goes_on(
    watched: Watched, server: str, photo_folder: Path
):
    page = watched.page
    watched.open(server)
    expect(page.locator("#neighbours .rc-blank")).to_have_count(12)
    expect(page.locator("#header")).to_contain_text("FAISS")

    watched.upload(photo_folder / "coffee-again.jpg")
    expect(page.locator("#neighbours h2")).to_have_text("Photos like coffee-again.jpg")
    expect(page.locator("#labels .rc-label").first).not_to_be_empty()
    expect(page.locator("#stages figure b")).to_have_text(["input", "stem", "stage 1", "stage 2", "stage 3", "stage 4"])
    assert all(page.eval_on_selector_all("#stages img", "all => all.map(one => one.complete && one.naturalWidth > 0)"))
    expect(page.locator("#neighbours .rc-name")).to_have_count(12)
    assert page.locator("#neighbours .rc-score").all_inner_texts()[0] >= "0.99"
    page.wait_for_function("[...document.querySelectorAll('#neighbours img')].every(one => one.naturalWidth > 0)")

    second = page.locator("#neighbours .rc-name").nth(1).inner_text()
    page.locator("#neighbours button").nth(1).click()
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {second}")
    assert second not in page.locator("#neighbours .rc-name").all_inner_texts()
    expect(page.locator("#query img")).to_be_visible()

    third = page.locator("#neighbours .rc-name").nth(2).inner_text()
    page.locator("#neighbours button").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {third}")

    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#neighbours .rc-blank")).to_have_count(12)


def test_names_stay_words_and_a_broken_upload_is_refused_where_it_happened(
    watched: Watched, server: str, photo_folder: Path
):
    page = watched.page
    watched.open(server)
    watched.upload(photo_folder / "coffee.jpg")
    hostile = page.locator("#neighbours .rc-name", has_text="onerror")
    expect(hostile).to_have_count(1)
    assert hostile.inner_text().startswith("<img src=x onerror=alert(1)> \"quoted\" 'n' ${1+1} {{x}}")
    page.locator("#neighbours li", has_text="onerror").locator("button").click()
    expect(page.locator("#neighbours h2")).to_contain_text("Photos like <img src=x")

    watched.upload(photo_folder / "broken.jpg")
    expect(page.locator("#look-problem [role=alert]")).to_have_text(
        "broken.jpg could not be read as a picture: the file ends early."
    )
    expect(page.locator("#neighbours .rc-blank")).to_have_count(12)
    watched.upload(photo_folder / "moon.jpg")
    expect(page.locator("#neighbours h2")).to_have_text("Photos like moon.jpg")
    expect(page.locator("#look-problem [role=alert]")).to_have_count(0)


def test_a_picture_can_be_pasted(watched: Watched, server: str, photo_folder: Path):
    watched.open(server)
    expect(watched.page.locator("#header")).to_contain_text("FAISS")
    watched.page.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "pasted.jpg", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        }""",
        list((photo_folder / "astronaut.jpg").read_bytes()),
    )
    expect(watched.page.locator("#neighbours h2")).to_have_text("Photos like pasted.jpg")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scrolling(browser: Browser, server: str, photo_folder: Path, scheme: str):
    with browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        watched = Watched(context.new_page())
        watched.open(server)
        watched.upload(photo_folder / "moon.jpg")
        expect(watched.page.locator("#neighbours h2")).to_have_text("Photos like moon.jpg")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_photo_of_the_library_is_taught_a_word(
    watched: Watched, empty_library: Library, empty_server: str, photo_folder: Path
):
    for _ in index_folder(empty_library, [str(photo_folder)]):
        pass
    page = watched.page
    watched.open(empty_server)
    expect(page.locator("#word")).to_have_count(0)
    watched.upload(photo_folder / "moon.jpg")
    expect(page.locator("#neighbours h2")).to_have_text("Photos like moon.jpg")
    expect(page.locator("#word")).to_have_count(0)  # an upload is not kept
    for number, word in enumerate(["night", "<b>day</b>"]):
        photo = page.locator("#neighbours li button").nth(4 * number)
        name = (photo.get_attribute("aria-label") or "").removeprefix("Search with ").split(",")[0]
        photo.click()
        expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {name}")
        page.locator("#word textarea, #word input").fill(word)
        page.locator("#teach").click()
        expect(page.locator("#taught")).to_contain_text(f"{word}: 1 photo.")
    expect(page.locator("#own-labels h2")).to_have_text("Your words")
    expect(page.locator("#own-labels .rc-label", has_text="<b>day</b>")).to_have_count(1)
    page.locator("#teach").click()
    expect(page.locator("#taught [role=alert]")).to_contain_text("is no word to teach")
