"""The Stages tab in headless Chromium: what a person sees of every stage, clicks, and takes along."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.ui.page_in_browser import MARKS, Watched

pytestmark = MARKS


def open_stages(watched: Watched, server: str, photo: Path) -> Page:
    page = watched.page
    watched.open(server)
    watched.upload(photo)
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {photo.name}")
    page.get_by_role("tab", name="Stages").click()
    expect(page.locator("#stage-channels button[data-channel]")).to_have_count(32)
    return page


def test_every_stage_its_pages_and_one_channel(watched: Watched, server: str, photo_folder: Path):
    page = open_stages(watched, server, photo_folder / "coffee.jpg")
    assert page.locator("#stage-overview h2").inner_text() == "Every stage of coffee.jpg"
    names = page.locator("#stage-overview figcaption b").all_inner_texts()
    assert [name.lower() for name in names] == ["input", "stem", "stage 1", "stage 2", "stage 3", "stage 4"]
    sides = page.eval_on_selector_all(
        "#stage-overview img",
        "all => all.map(one => [one.naturalWidth, Math.round(one.getBoundingClientRect().width)])",
    )
    assert len(sides) == 11
    assert len({tuple(side) for side in sides}) == 1  # of one size, and all there
    assert sides[0][0] == 144
    expect(page.locator("#stage-channel h2")).to_contain_text("of stage 4")
    expect(page.locator("#stage-channel .rc-about")).to_contain_text("The strongest of 512 channels by its mean.")

    page.get_by_role("radio", name="Stage 2").check()
    expect(page.locator("#stage-channels h2")).to_have_text("Channels of stage 2")
    expect(page.locator("#stage-channels [role=status]")).to_have_text("Page 1 of 3")
    first = page.locator("#stage-channels button[data-channel]").first.get_attribute("data-channel")
    page.locator("h1").click()
    page.keyboard.press("n")
    expect(page.locator("#stage-channels [role=status]")).to_have_text("Page 2 of 3")
    page.keyboard.press("p")
    expect(page.locator("#stage-channels [role=status]")).to_have_text("Page 1 of 3")
    assert page.locator("#stage-channels button[data-channel]").first.get_attribute("data-channel") == first

    page.locator("#stage-channels button[data-channel]").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#stage-channel .rc-about")).to_contain_text("Number 2 of 96 channels")
    expect(page.locator("#stage-photos .rc-excited img")).to_have_count(6)
    page.wait_for_function("[...document.querySelectorAll('#stage-photos img')].every(one => one.naturalWidth > 0)")
    expect(page.locator("#stage-numbers dd")).to_have_count(4)

    page.get_by_role("radio", name="Unusual here first").check()
    expect(page.locator("#stage-channels .rc-tiles span").first).to_contain_text("top ")


def test_a_channel_is_shown_as_picture_both_or_map(watched: Watched, server: str, photo_folder: Path):
    page = open_stages(watched, server, photo_folder / "rocket.jpg")
    shown = "getComputedStyle(document.querySelector('.rc-over-map'))"
    look = f"() => [{shown}.opacity, {shown}.mixBlendMode]"
    assert page.evaluate(look) == ["1", "screen"]
    page.locator("#stage-show").get_by_role("radio", name="Picture").check()
    page.wait_for_function(f"{shown}.opacity === '0'")
    page.locator("#stage-channels button[data-channel]").nth(4).click()
    expect(page.locator("#stage-channel .rc-about")).to_contain_text("Number 5 of 512")
    assert page.evaluate(look)[0] == "0"  # the next channel is shown the same way
    page.locator("#stage-show").get_by_role("radio", name="Map").check()
    page.wait_for_function(f"{shown}.opacity === '1'")
    assert page.evaluate(look) == ["1", "normal"]
    boxes = page.eval_on_selector_all(
        ".rc-over-picture img", "all => all.map(one => JSON.stringify(one.getBoundingClientRect()))"
    )
    assert len(boxes) == 2
    assert boxes[0] == boxes[1]  # the map lies exactly on the picture


def test_a_stage_is_saved_as_png_and_npz(watched: Watched, server: str, photo_folder: Path, tmp_path: Path):
    page = open_stages(watched, server, photo_folder / "retina.jpg")
    for kind in ("png", "npz"):
        with page.expect_download() as download:
            page.locator(f"#stage-{kind}").click()
        assert download.value.suggested_filename == f"retina-stage4.{kind}"
        download.value.save_as(tmp_path / f"saved.{kind}")
    expect(page.locator("#stage-note [role=status]")).to_contain_text("maps, float32, 512 x 5 x 5, with the picture.")
    with np.load(tmp_path / "saved.npz", allow_pickle=False) as arrays:
        assert arrays["maps"].shape == (512, 5, 5)
        top = int(arrays["maps"].mean(axis=(1, 2)).argmax())
        assert arrays["order"][0] == top
    assert page.locator("#stage-channels button[data-channel]").first.get_attribute("data-channel") == str(top)
    with Image.open(tmp_path / "saved.png") as sheet:
        assert f"row by row, {top}, " in sheet.info["Description"]
    answer = page.request.get(download.value.url)
    assert answer.body() == (tmp_path / "saved.npz").read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_photo_that_excites_a_channel_becomes_the_query(watched: Watched, server: str, photo_folder: Path):
    page = open_stages(watched, server, photo_folder / "moon.jpg")
    photo = page.locator("#stage-photos button").nth(2)
    name = (photo.get_attribute("aria-label") or "").removeprefix("Search with ").rpartition(", mean")[0]
    photo.click()
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {name}")
    page.get_by_role("tab", name="Stages").click()
    expect(page.locator("#stage-overview h2")).to_have_text(f"Every stage of {name}")


def test_without_a_picture_it_says_what_to_do_and_shows_one_that_came(
    watched: Watched, server: str, photo_folder: Path
):
    page = watched.page
    watched.open(server)
    page.get_by_role("tab", name="Stages").click()
    expect(page.locator("#stage-overview")).to_contain_text("Give a picture in the Look tab")
    expect(page.locator("#stage-panel")).to_be_hidden()
    page.get_by_role("tab", name="Look").click()
    watched.upload(photo_folder / "coffee.jpg")
    page.get_by_role("tab", name="Stages").click()  # before the picture was looked at
    expect(page.locator("#stage-overview h2")).to_have_text("Every stage of coffee.jpg")
    expect(page.locator("#stage-panel")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (2560, "light")])
def test_no_sideways_scrolling_and_a_click_shows_its_channel(
    browser: Browser, server: str, photo_folder: Path, width: int, scheme: str
):
    with browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        watched = Watched(context.new_page())
        page = open_stages(watched, server, photo_folder / "astronaut.jpg")
        tile = page.locator("#stage-channels button[data-channel]").nth(20)
        tile.click()
        expect(page.locator("#stage-channel h2")).to_have_text(
            f"Channel {tile.get_attribute('data-channel')} of stage 4"
        )
        expect(page.locator("#stage-channel .rc-over-picture")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert watched.complaints == []


def test_events_take_whatever_a_browser_sends(watched: Watched, server: str, photo_folder: Path):
    page = open_stages(watched, server, photo_folder / "moon.jpg")
    button = page.locator("#stage-channels button[data-channel]").first
    for value, words in (("99999", "There is no channel 99999 in stage4"), ("-1 OR 1", "Channel 0 of stage 4")):
        button.evaluate("(one, value) => { one.dataset.channel = value; one.click(); }", value)
        expect(page.locator("#stage-channel")).to_contain_text(re.compile(re.escape(words)))
