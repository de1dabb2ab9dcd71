"""How heavy and how quick the page is, in headless Chromium: `python -m bench.page`.

The demo (starter, sample library) is started as `make demo` does. Times are from the click (or the file given) to the moment when
what was asked for is on the screen, decoded pictures included; medians of several. The layout shift is Chromium's own measure.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from docs.screenshots import running_demo

SHIFTS = """() => { window.shifts = 0; new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts += one.value;
}).observe({ type: "layout-shift", buffered: true }); }"""
SETTLED = """[...document.images].every((one) => !one.offsetParent || one.loading === "lazy" || one.complete)"""


def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder, running_demo(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        _weights(context.new_page(), address)
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#neighbours .rc-photo")
        page.evaluate(SHIFTS)
        photo = Path(folder) / "sample-photos" / "coffee.jpg"
        _times(page, photo, asked.rounds)
        print(f"\nCumulative layout shift over all of that: {page.evaluate('window.shifts'):.4f}")
        browser.close()


def _weights(page: Page, address: str) -> None:
    """What the browser fetches, by what it is for."""
    received: Counter[str] = Counter()
    watch = page.context.new_cdp_session(page)
    watch.send("Network.enable")
    # What came of an answer that goes on, an event's stream above all, is not compressed; of an ended one the wire's size is told.
    watch.on("Network.dataReceived", lambda event: received.update({event["requestId"]: event["dataLength"]}))
    watch.on(
        "Network.loadingFinished",
        lambda event: received.__setitem__(event["requestId"], event["encodedDataLength"]),
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    steps: dict[str, Callable[[], object]] = {
        "the page, first visit": lambda: page.goto(address) and page.wait_for_selector("#neighbours .rc-photo"),
        "a photo becomes the query": lambda: _choose(page, 1),
        "Why": lambda: (page.locator("[data-event=why]").nth(1).click(), page.wait_for_selector("#why-pair img")),
        "Stages": lambda: (_tab(page, "Stages"), page.wait_for_selector("#stage-overview img[src^=data]")),
        "Map": lambda: (_tab(page, "Map"), page.wait_for_selector("#map .rc-map-photos button")),
    }
    print("| step | requests | kB on the wire |\n|---|--:|--:|")
    for name, step in steps.items():
        received.clear()
        asked.clear()
        step()
        page.wait_for_timeout(3000)
        print(f"| {name} | {len(asked)} | {received.total() / 1000:,.0f} |")
    page.close()


def _times(page: Page, photo: Path, rounds: int) -> None:
    steps: dict[str, Callable[[int], object]] = {
        "upload to labels, maps and photos": lambda number: _upload(page, photo, number),
        "click on a photo to labels, maps and photos": lambda number: _choose(page, number % 3),
        "to the next page of photos": lambda number: _turn(page, number),
        "why: both pictures with their maps": lambda number: _why(page, number),
    }
    print("\n| what | median ms | slowest ms |\n|---|--:|--:|")
    for name, step in steps.items():
        taken = []
        for number in range(rounds + 1):
            begun = time.perf_counter()
            step(number)
            page.wait_for_function(SETTLED)
            taken.append(1000 * (time.perf_counter() - begun))
            page.wait_for_timeout(200)
        print(f"| {name} | {statistics.median(taken[1:]):.0f} | {max(taken[1:]):.0f} |")


def _heading(page: Page) -> str:
    return page.locator("#neighbours h2").inner_text()


def _changed(page: Page, before: str) -> None:
    page.wait_for_function("old => document.querySelector('#neighbours h2').innerText !== old", arg=before)


def _upload(page: Page, photo: Path, number: int) -> None:
    before = _heading(page)
    renamed = {"name": f"picture-{number}.jpg", "mimeType": "image/jpeg", "buffer": photo.read_bytes()}
    page.set_input_files("#query input[type=file]", renamed)  # type: ignore[arg-type]
    _changed(page, before)


def _choose(page: Page, number: int) -> None:
    before = _heading(page)
    page.locator("#neighbours .rc-photo").nth(number).click()
    _changed(page, before)


def _turn(page: Page, number: int) -> None:
    ways = "More" if number % 2 == 0 else "Previous"
    before = page.locator(".rc-pager span").inner_text()
    page.locator(".rc-pager button", has_text=ways).click()
    page.wait_for_function("old => document.querySelector('.rc-pager span').innerText !== old", arg=before)


def _why(page: Page, number: int) -> None:
    if number:
        _tab(page, "Look")
    page.locator("#neighbours [data-event=why]").nth(number).click()
    page.wait_for_function(
        "old => { const title = document.querySelector('#why-scores h2'); return title?.offsetParent && title.innerText !== old; }",
        arg=page.evaluate("document.querySelector('#why-scores h2')?.innerText ?? ''"),
    )


def _tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


if __name__ == "__main__":
    main()
