"""HTML in file names, EXIF, label words and taught words stays words: over HTTP, and once in Chromium, where no script may run."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from index.job import index_folder
from index.library import Library
from index.teach import teach
from tests.ui.page_over_http import PageOverHTTP
from ui import handlers

ATTACK = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>\'${ran=1}{{ran=1}}'
NAME = ATTACK.replace("/", "\N{DIVISION SLASH}") + ".jpg"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RAW = re.compile(r"<(img src=x|script)")  # what the attack would be, had it not been escaped

pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of Gradio's own use of pandas


@pytest.fixture
def attacked(
    empty_library: Library, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Library, dict[str, int]]:
    """A library with the attack in file names, folder names, EXIF, labels and taught words, and its photos' ids by name."""
    folder = tmp_path / NAME.removesuffix(".jpg")
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x010E] = ATTACK, ATTACK, ATTACK  # maker, camera, description
    for name, source in ((NAME, "moon.jpg"), ("two.jpg", "coffee.jpg"), ("three.jpg", "rocket.jpg")):
        Image.open(photo_folder / source).save(folder / name, exif=exif)
    (folder / f"broken{NAME}").write_bytes((photo_folder / "moon.jpg").read_bytes()[:900])
    for _ in index_folder(empty_library, [str(folder)]):
        pass
    photos = {os.path.basename(photo.path): photo for photo in empty_library.catalog.photos_in("present", 9)}
    contents = {name: photo.content_id for name, photo in photos.items()}
    teach(empty_library, {ATTACK: [contents["two.jpg"]], f"other {ATTACK}": [contents["three.jpg"]]})
    labels = dict(empty_library.backbone.description.labels)
    for index in labels:
        monkeypatch.setitem(empty_library.backbone.description.labels, index, f"{index} {ATTACK}")  # type: ignore[index]
    return empty_library, {name: photo.id for name, photo in photos.items()}


def html_of(answer: str) -> str:
    """All HTML in an event's answer: its outputs are texts, apart from the picture and the buttons."""
    told = [json.loads(line.removeprefix("data:")) for line in answer.splitlines()]
    data = next(one["output"]["data"] for one in told if one["msg"] == "process_completed")
    return "\n".join(value for value in data if isinstance(value, str))


def test_no_answer_of_the_page_holds_the_attack_as_html(
    attacked: tuple[Library, dict[str, int]], empty_server: str, photo_folder: Path
):
    library, ids = attacked
    plain = handlers.look_at_photo(library, ids[NAME])
    assert plain.title == NAME  # handlers give words as they are; escaping is the markup's task
    with PageOverHTTP(empty_server) as page:
        answers = [
            page.look(photo_folder / "astronaut.jpg", NAME),
            page.choose(ids[NAME]),
            page.look(Path(__file__), NAME),
        ]
        answers.append(page.event("start", "click", [f"/nowhere/{ATTACK}", False]))
    for answer in map(html_of, answers):
        assert "&lt;img src=x onerror=" in answer
        assert not RAW.search(answer)
    chosen = html_of(answers[1])
    for place in (
        "Photos like &lt;img",
        'class="rc-label">other &lt;img',
        'class="rc-label">&lt;img',
    ):  # a name, taught words
        assert place in chosen
    assert re.search(r'class="rc-label">\d+ &lt;img', chosen)  # the model's labels


def test_what_the_interface_answers_is_json_and_its_pages_no_html_of_others(
    attacked: tuple[Library, dict[str, int]], empty_server: str
):
    with PageOverHTTP(empty_server) as page:
        for path in (
            "/photos/999999",
            "/photos/<script>",
            "/<script>alert(1)</script>",
            "/api/<script>",
            "/?x=<script>alert(1)",
        ):
            answer = page.client.get(path)
            kind = answer.headers["content-type"]
            assert "text/html" not in kind or "<script>alert(1)" not in answer.text, path
        view = page.client.get(f"/photos/{attacked[1][NAME]}")
        assert view.headers["content-type"] == "image/jpeg"
        assert b"window.ran" not in view.content  # no EXIF, and so none of its words


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="chromium is not installed")
def test_no_script_of_a_name_or_word_runs_in_a_browser(
    attacked: tuple[Library, dict[str, int]], empty_server: str, photo_folder: Path, tmp_path: Path
):
    assert CHROMIUM is not None, "CI has no chromium"
    upload = tmp_path / NAME
    shutil.copy(photo_folder / "astronaut.jpg", upload)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(45_000)
        expect.set_options(timeout=45_000)
        page.goto(empty_server)
        page.set_input_files("#query input[type=file]", upload)
        expect(page.locator("#neighbours h2")).to_contain_text("Photos like img src=x onerror=")
        expect(page.locator("#own-labels .rc-label").first).to_contain_text("<img src=x")
        page.locator("#neighbours button", has=page.locator("img")).first.click()
        expect(page.locator("#neighbours .rc-name").first).to_be_visible()
        page.get_by_role("tab", name="Library").click()
        expect(page.locator("#unreadable")).to_contain_text("<script>")
        assert page.evaluate("typeof window.ran") == "undefined"
        assert page.locator("img[src=x]").count() == 0
        # And were the attack there as HTML, this test would see it:
        page.evaluate("html => { document.querySelector('#unreadable').innerHTML = html }", ATTACK)
        page.wait_for_function("window.ran === 1")
        browser.close()
