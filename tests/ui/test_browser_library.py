"""The Library tab in headless Chromium: folders, jobs, what could not be read, health, models."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from index.library import Library
from tests.ui.page_in_browser import MARKS, Watched

pytestmark = MARKS


def opened(watched: Watched, address: str) -> Page:
    watched.open(address)
    watched.page.get_by_role("tab", name="Library").click()
    expect(watched.page.locator("#counts")).to_contain_text(re.compile(r"\d"))
    return watched.page


def test_a_folder_is_chosen_indexed_shown_again_after_a_reload_and_checked(
    watched: Watched, empty_server: str, photo_folder: Path, tmp_path: Path
):
    page = opened(watched, empty_server)
    expect(page.locator("#start-sample")).to_be_visible()
    page.locator("#folders textarea").fill(str(tmp_path / "missing"))
    page.locator("#start").click()
    expect(page.locator("#start-problem [role=alert]")).to_contain_text("there is no such folder")

    page.locator("#folders textarea").fill(str(photo_folder.parent))
    page.get_by_role("button", name="Choose folders on that computer").click()
    page.locator("#browser .rc-inside").get_by_role("button", name=photo_folder.name, exact=True).click()
    expect(page.locator("#browser")).to_contain_text("15 pictures directly in it")
    page.locator("#folders textarea").fill("")
    page.get_by_role("button", name="Choose this folder").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#folders textarea")).to_have_value(str(photo_folder))
    expect(page.locator("#facts")).to_contain_text("exact: every vector is compared; 0 vectors")
    page.locator("#start").click()
    expect(page.locator("#pause")).to_be_enabled()
    expect(page.locator("#job progress")).to_be_visible()
    expect(page.locator("#start-problem [role=alert]")).to_have_count(0)
    expect(page.locator("#facts")).to_contain_text(
        "exact: every vector is compared; 14 vectors"
    )  # once the job has ended

    page.reload()
    page = opened(watched, empty_server)
    expect(page.locator("#job")).to_contain_text("The last run is complete")
    expect(page.locator("#job")).to_contain_text("14 new")
    expect(page.locator("#counts")).to_contain_text("14")
    expect(page.locator("#start-sample")).to_have_count(0)
    expect(page.locator("#start")).to_be_enabled()
    expect(page.locator("#pause")).to_be_disabled()
    expect(page.locator("#cancel")).to_be_disabled()
    expect(page.locator("#indexed .rc-much")).to_have_text("14 photos, 1 unreadable")
    expect(page.locator("#unreadable tbody tr")).to_have_count(1)
    expect(page.locator("#unreadable")).to_contain_text("the file ends early")

    page.get_by_role("button", name="Try them all again").click()
    expect(page.locator("#job")).to_contain_text("14 unchanged · 1 unreadable")
    page.locator("#check").click()
    expect(page.locator("#health")).to_contain_text("Everything agrees")
    page.locator("#measure").click()
    expect(page.locator("#disk")).to_contain_text("Together")
    page.get_by_role("button", name="Look at your photos").click()
    expect(page.locator("#neighbours")).to_contain_text("Three things to try")


def test_a_job_of_another_process_is_shown_paused_shown_again_and_cancelled(
    watched: Watched, empty_server: str, empty_library: Library
):
    page = opened(watched, empty_server)
    catalog = empty_library.catalog
    job_id = catalog.start_job("index", ["/elsewhere"])  # as a command line beside the server does
    progress = {"phase": "embedding", "done": 25, "total": 100, "images_per_second": 5.0, "seconds_left": 15.0}
    catalog.beat(job_id, progress | {"current": "/elsewhere/<i>cat<i>.jpg"})
    expect(page.locator("#job progress")).to_have_attribute("value", "0.2500")
    expect(page.locator("#job")).to_contain_text("25 of 100 · 5.0 pictures a second · about 15 s left")
    expect(page.locator("#job .rc-current")).to_have_text("<i>cat<i>.jpg")
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("#start-switch")).to_have_count(0)  # folded away
    page.locator("#pause").click()
    expect(page.locator("#job")).to_contain_text("Pausing after the current step")
    assert catalog.beat(job_id, progress)
    catalog.finish_job(job_id, "interrupted")
    for _ in range(2):
        expect(page.locator("#job")).to_contain_text("Paused at 25 of 100")
        expect(page.locator("#resume")).to_be_enabled()
        expect(page.locator("#start")).to_be_enabled()
        page.reload()
        page = opened(watched, empty_server)
    page.locator("#resume").click()  # its folder is not there
    expect(page.locator("#job")).to_contain_text("The last run failed")
    expect(page.locator("#job [role=alert]")).to_contain_text("/elsewhere")

    again = catalog.start_job("index", ["/elsewhere"])
    catalog.beat(again, progress)
    page.locator("#cancel").click()
    expect(page.locator("#job")).to_contain_text("Cancelling after the current step")
    catalog.finish_job(again, "interrupted")
    expect(page.locator("#job")).to_contain_text("Cancelled at 25 of 100")
    expect(page.locator("#resume")).to_have_count(0)
    expect(page.locator("#cancel")).to_be_disabled()


def test_a_change_of_model_shows_its_progress_and_what_came_of_it(
    watched: Watched, empty_server: str, empty_library: Library
):
    page = opened(watched, empty_server)
    expect(page.locator("#models .rc-active")).to_have_text("answers")
    page.get_by_role("button", name="Change over to another model").click()
    page.locator("#start-switch").click()
    expect(page.locator("#switch-problem [role=alert]")).to_contain_text("Name a model first")
    catalog = empty_library.catalog
    job_id = catalog.start_job("switch", ["facebook/convnext-tiny-224"])
    catalog.beat(job_id, {"phase": "embedding", "done": 5, "total": 10, "images_per_second": 2.0, "seconds_left": 2.5})
    expect(page.locator("#change")).to_contain_text("Making vectors of facebook/convnext-tiny-224")
    expect(page.locator("#change")).to_contain_text("5 of 10 · 2.0 pictures a second")
    expect(page.locator("#start")).to_be_disabled()
    page.locator("#stop-switch").click()
    expect(page.locator("#change")).to_contain_text("Stopping after the current step")
    catalog.finish_job(job_id, "interrupted")
    expect(page.locator("#change")).to_contain_text("facebook/convnext-tiny-224: Stopped at 5 of 10")
    expect(page.locator("#start-switch")).to_be_enabled()


def test_another_model_is_named_wherever_the_page_names_it(
    watched: Watched, empty_server: str, tiny_checkpoint: Callable[..., Path]
):
    page, other = opened(watched, empty_server), tiny_checkpoint("regnet-y")
    expect(page.locator("#header .rc-machine")).to_contain_text("starter")
    page.get_by_role("button", name="Change over to another model").click()
    page.locator("#model textarea, #model input").fill(str(other))
    page.locator("#start-switch").click()
    for piece in ("#header .rc-machine", "#facts", "#models"):
        expect(page.locator(piece).first).to_contain_text(other.name)


def test_nothing_is_asked_while_another_tab_is_shown(watched: Watched, server: str):
    page = opened(watched, server)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/run/predict"):  # the tab asks by itself
        pass
    page.get_by_role("tab", name="Look").click()
    expect(page.locator("#counts")).to_be_hidden()
    page.wait_for_timeout(1500)  # what was under way
    asked.clear()
    page.wait_for_timeout(2500)
    assert asked == []
