"""Takes the pictures of the page in docs/screenshots: `make screenshots`. The starter model over the sample library, in Chromium.

What `make demo` runs is started with a library of its own, and each tab is brought to where there is something to see.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {1280: 900, 390: 844}  # pixels wide: high at least
TALLEST = 1800  # pixels of a picture: what is below is more of the same
QUERY, NEIGHBOUR = "coffee.jpg", "coffee-crop-1.jpg"
PATIENCE_MS = 120_000


def main() -> None:
    """Every tab in every width, as WebP files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--tabs", nargs="+", choices=TABS, default=list(TABS))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as folder, running_demo(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        query = _number(browser.new_page(), address)
        for tab in asked.tabs:
            for width, height in WIDTHS.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.set_default_timeout(PATIENCE_MS)
                _shown(page, address, query, tab)
                file = asked.out / f"{tab}-{width}.webp"
                _save(page, file)
                page.close()
                print(f"{file} {file.stat().st_size / 1000:.0f} kB")
        browser.close()


@contextmanager
def running_demo(folder: str) -> Iterator[str]:
    """The address of a running demo."""
    command = [sys.executable, str(ROOT / "app.py"), "demo", "--library", folder, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "RegConv is at " in line:
                    yield line.split("RegConv is at ")[1].split()[0]
                    return
            raise SystemExit("The demo ended before its page could be opened.")
        finally:
            process.terminate()


def _number(page: Page, address: str) -> int:
    """The query's number in the library."""
    names = ((number, page.request.get(f"{address}/api/photos/{number}").json()["name"]) for number in range(1, 155))
    return next(number for number, name in names if name == QUERY)


def _shown(page: Page, address: str, query: int, tab: str) -> None:
    """Opens the page with a query, and the tab."""
    page.goto(f"{address}/?photo={query}")
    expect(page.locator("#neighbours h2")).to_have_text(f"Photos like {QUERY}")
    TABS[tab](page)
    page.wait_for_function(
        "[...document.images].every(one => !one.offsetParent || one.loading === 'lazy' || one.complete)"
    )
    page.wait_for_timeout(1000)  # transitions


def _look(page: Page) -> None:
    page.locator("#stages img").last.scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, 0)")


def _why(page: Page) -> None:
    page.locator("#neighbours li", has_text=NEIGHBOUR).locator("[data-event=why]").click()
    page.locator("#why-pair img").first.wait_for()


def _stages(page: Page) -> None:
    page.get_by_role("tab", name="Stages").click()
    page.get_by_role("radio", name="Stage 2").check()
    page.locator("#stage-channels [data-event=channel]").nth(1).click()
    page.locator("#stage-photos img").first.wait_for()


def _map(page: Page) -> None:
    page.get_by_role("tab", name="Map", exact=True).click()
    page.locator("#map .rc-map-photos button").first.wait_for()
    expect(page.locator("#map .rc-map-wait")).to_be_empty()


def _duplicates(page: Page) -> None:
    page.get_by_role("tab", name="Duplicates").click()
    if not page.locator("#duplicates-group .rc-dup").is_visible():
        page.locator("#duplicates-start").click()
    page.locator("#duplicates-group .rc-dup").wait_for()


def _library(page: Page) -> None:
    page.get_by_role("tab", name="Library").click()
    expect(page.locator("#counts")).to_contain_text("154")


TABS: dict[str, Callable[[Page], None]] = {
    "look": _look, "why": _why, "stages": _stages, "map": _map, "duplicates": _duplicates, "library": _library,
}  # fmt: skip


def _save(page: Page, file: Path) -> None:
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    picture.crop((0, 0, picture.width, min(picture.height, TALLEST))).save(file, "WEBP", quality=86, method=6)


if __name__ == "__main__":
    main()
