"""The page in headless Chromium, against the running server. What a person does, and what they then see."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from index.job import index_folder
from index.library import Library
from tests.ui.page_in_browser import MARKS, Watched
from ui import handlers

pytestmark = MARKS


def test_a_picture_shows_labels_maps_and_neighbours_and_a_click_goes_on(
    watched: Watched, server: str, photo_folder: Path
):
    page = watched.page
    watched.open(server)
    expect(page.locator(".rc-tries button")).to_have_count(3)
    expect(page.locator("#header")).to_contain_text("FAISS")

    watched.upload(photo_folder / "coffee-again.jpg")
    expect(page.locator("#neighbours h2")).to_have_text("Photos like coffee-again.jpg")
    expect(page.locator("#labels .rc-label").first).not_to_be_empty()
    expect(page.locator("#stages figure b")).to_have_text(["input", "stem", "stage 1", "stage 2", "stage 3", "stage 4"])
    assert all(page.eval_on_selector_all("#stages img", "all => all.map(one => one.complete && one.naturalWidth > 0)"))
    expect(page.locator("#neighbours .rc-name")).to_have_count(14)
    assert page.locator("#neighbours .rc-score").all_inner_texts()[0] >= "0.99"
    page.wait_for_function("[...document.querySelectorAll('#neighbours img')].every(one => one.naturalWidth > 0)")

    second = page.locator("#neighbours .rc-name").nth(1).inner_text()
    page.locator("#neighbours .rc-photo").nth(1).click()
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {second}")
    assert second not in page.locator("#neighbours .rc-name").all_inner_texts()
    expect(page.locator("#query img")).to_be_visible()

    page.locator("#neighbours .rc-photo").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    chosen = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert chosen == page.locator("#neighbours .rc-photo").nth(1).get_attribute("aria-label")
    third = page.locator("#neighbours .rc-name").nth(1).inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {third}")
    expect(page.locator("#trail button")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {second}")

    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator(".rc-tries button")).to_have_count(3)


def test_a_view_is_its_address_and_back_goes_back(watched: Watched, server: str, photo_ids: dict[str, int]):
    page = watched.page
    coffee, moon = photo_ids["coffee.jpg"], photo_ids["moon.jpg"]
    watched.open(f"{server}/?photo={coffee}&photo={moon}:-0.5&like=colour")
    heading = page.locator("#neighbours h2")
    expect(heading).to_have_text("Photos like coffee.jpg, unlike 1 other")
    expect(page.locator("#picks output")).to_have_text(["like 1", "unlike 0.5"])
    expect(page.get_by_role("radio", name="Colour")).to_be_checked()
    page.get_by_role("radio", name="Pattern").check()
    page.wait_for_url("**like=pattern")
    page.locator("#picks button").nth(1).click()
    expect(heading).to_have_text("Photos like coffee.jpg")
    page.wait_for_url(f"**/?photo={coffee}&like=pattern")
    page.go_back()
    expect(heading).to_have_text("Photos like coffee.jpg, unlike 1 other")
    watched.go(page.url)
    expect(heading).to_have_text("Photos like coffee.jpg, unlike 1 other")
    expect(page.get_by_role("radio", name="Pattern")).to_be_checked()

    watched.go(f"{server}/?photo={coffee}&tab=stages")
    expect(page.get_by_role("tab", name="Stages")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#stage-overview")).to_contain_text("coffee.jpg")
    watched.go(f"{server}/?photo=999999")
    expect(page.locator("#look-problem")).to_contain_text("no photo with the number 999999")
    watched.go(f"{server}/?photo={coffee}&mix=5,1,1,1")
    expect(heading).to_have_text("Photos like coffee.jpg")
    page.get_by_role("radio", name="Parts").check()
    page.wait_for_url("**like=parts")
    watched.go(f"{server}/?after=tomorrow&tab=map")
    expect(page.get_by_role("tab", name="Look")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#answer-problem [role=alert]")).to_contain_text("'tomorrow' is no date")


def test_a_link_is_not_overtaken_by_what_the_first_tab_shows_without_one(
    watched: Watched, server: str, photo_ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    try_later = handlers.photos_to_try

    def slowly(*asked: Any) -> Any:
        time.sleep(2)
        return try_later(*asked)

    monkeypatch.setattr(handlers, "photos_to_try", slowly)
    watched.open(f"{server}/?photo={photo_ids['coffee.jpg']}")
    heading = watched.page.locator("#neighbours h2")
    expect(heading).to_have_text("Photos like coffee.jpg")
    watched.page.wait_for_timeout(2500)
    expect(heading).to_have_text("Photos like coffee.jpg")
    assert watched.page.url.endswith(f"?photo={photo_ids['coffee.jpg']}")


def test_a_link_with_ones_own_mix_keeps_it(watched: Watched, server: str, photo_ids: dict[str, int]):
    page, link = watched.page, f"{server}/?photo={photo_ids['coffee.jpg']}&mix=0,0,0,1"
    watched.open(link)
    expect(page.locator("#neighbours h2")).to_have_text("Photos like coffee.jpg")
    page.wait_for_timeout(1000)  # the words, which the link sets as well, once told of sliders that were not there yet
    assert page.url == link
    assert page.locator(".rc-mix input[type=number]").evaluate_all("all => all.map(one => one.value)") == [
        "0", "0", "0", "1",
    ]  # fmt: skip


def test_a_query_grows_narrows_and_is_weighed(
    watched: Watched, server: str, photo_ids: dict[str, int], photo_folder: Path
):
    page = watched.page
    watched.open(f"{server}/?photo={photo_ids['coffee.jpg']}")
    heading, names = page.locator("#neighbours h2"), page.locator("#neighbours .rc-name")
    expect(heading).to_have_text("Photos like coffee.jpg")
    page.locator("#neighbours [data-event=more]").nth(3).click()
    expect(heading).to_have_text("Photos like coffee.jpg and 1 more picture")
    page.locator("#neighbours [data-event=less]").last.click()
    expect(page.locator("#picks output")).to_have_text(["like 1", "like 1", "unlike 1"])
    before = names.all_inner_texts()
    page.locator("#picks input").nth(1).press("End")
    expect(page.locator("#picks output")).to_have_text(["like 1", "like 2", "unlike 1"])
    page.wait_for_url("**:2&photo=**")
    assert names.all_inner_texts() != before

    with page.expect_file_chooser() as chooser:
        page.locator("#add").click()
    chooser.value.set_files(photo_folder / "moon-again.jpg")
    expect(page.locator("#picks .rc-name")).to_have_text(
        ["coffee.jpg", re.compile("."), re.compile("."), "moon-again.jpg"]
    )
    page.locator("#picks button").last.click()
    expect(page.locator("#picks output")).to_have_count(3)

    page.get_by_role("radio", name="My own mix").check()
    expect(page.locator(".rc-mix")).to_be_visible()
    page.wait_for_url("**mix=1,1,1,1")
    page.locator("#filters button").first.click()
    page.locator("#after textarea, #after input").fill("2031")
    page.keyboard.press("Enter")
    expect(page.locator("#neighbours .rc-empty")).to_contain_text("none with after")
    page.locator("#after textarea, #after input").fill("soon")
    page.keyboard.press("Enter")
    expect(page.locator("#dates-problem [role=alert]")).to_contain_text("Taken from: 'soon' is no date")
    expect(names.first).to_be_visible()  # what is no date narrows nothing
    page.locator("#after textarea, #after input").fill("")
    page.keyboard.press("Enter")
    expect(page.locator("#dates-problem")).to_be_empty()
    # what was typed just now counts for what is clicked next
    page.locator("#before textarea, #before input").fill("1999")
    page.locator("#neighbours .rc-photo").nth(1).click()
    page.wait_for_url("**before=1999*")
    expect(page.locator("#neighbours .rc-empty")).to_contain_text("No photo was found")
    page.wait_for_timeout(1500)  # until the field's own event, sent as it was left, is answered as well
    page.locator("#before textarea, #before input").fill("")
    page.keyboard.press("Enter")
    expect(names.first).to_be_visible()
    page.locator("#words input").fill("no such thing")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#neighbours [role=alert]")).to_contain_text("no such thing")


@pytest.mark.slow  # makes and embeds the 154 pictures of the sample
def test_a_first_visit_to_an_empty_library_begins_with_the_sample(watched: Watched, empty_server: str):
    page = watched.page
    watched.open(empty_server)
    expect(page.locator("#neighbours")).to_contain_text("Open the Library tab")
    page.locator("#neighbours [data-event=sample]").click()
    expect(page.get_by_role("tab", name="Library")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#job")).to_contain_text("154 new", timeout=5 * 60_000)
    page.get_by_role("tab", name="Look").click()
    expect(page.locator(".rc-tries button")).to_have_count(3)


def test_a_word_finds_without_a_picture(watched: Watched, server: str):
    watched.open(server)
    page = watched.page
    said = page.locator(".rc-tries [data-event=say]")
    word = said.get_attribute("data-word")
    said.click()
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos called {word}")
    expect(page.locator("#neighbours .rc-photo").first).to_be_visible()
    expect(page.locator("#neighbours .rc-score")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".rc-tries button")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(said).to_be_visible()
    assert page.url == f"{server}/"


def test_names_stay_words_and_a_broken_upload_is_refused_where_it_happened(
    watched: Watched, server: str, photo_folder: Path
):
    page = watched.page
    watched.open(server)
    watched.upload(photo_folder / "coffee.jpg")
    hostile = page.locator("#neighbours .rc-name", has_text="onerror")
    expect(hostile).to_have_count(1)
    assert hostile.inner_text().startswith("<img src=x onerror=alert(1)> \"quoted\" 'n' ${1+1} {{x}}")
    page.locator("#neighbours li", has_text="onerror").locator(".rc-photo").click()
    expect(page.locator("#neighbours h2")).to_contain_text("Photos like <img src=x")

    watched.upload(photo_folder / "broken.jpg")
    expect(page.locator("#look-problem [role=alert]")).to_have_text(
        "broken.jpg could not be read as a picture: the file ends early."
    )
    expect(page.locator(".rc-tries button")).to_have_count(3)
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
def test_a_phone_shows_picture_labels_and_answer_with_no_sideways_scrolling(
    browser: Browser, server: str, photo_folder: Path, scheme: str
):
    with browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        watched = Watched(context.new_page())
        watched.open(server)
        watched.upload(photo_folder / "moon.jpg")
        heading = watched.page.locator("#neighbours h2")
        expect(heading).to_have_text("Photos like moon.jpg")
        for seen in (heading, watched.page.locator("#query"), watched.page.locator("#labels .rc-label").last):
            expect(seen).to_be_in_viewport()
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
        photo = page.locator("#neighbours .rc-photo").nth(4 * number)
        name = (photo.get_attribute("aria-label") or "").removeprefix("Search with ").split(",")[0]
        photo.click()
        expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {name}")
        page.locator("#word textarea, #word input").fill(word)
        page.locator("#teach").click()
        expect(page.locator("#taught")).to_contain_text(f"{name} marked. {word}: 1 photo.")
    expect(page.locator("#own-labels h2")).to_have_text("Your words")
    expect(page.locator("#own-labels .rc-label", has_text="<b>day</b>")).to_have_count(1)
    page.locator("#teach").click()
    expect(page.locator("#taught [role=alert]")).to_contain_text("is no word to teach")
