"""Headless Chromium for the tests of the page: the browser, what marks such tests, and a page that is watched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 45_000


class Watched:
    """A page, the hosts that it asked, and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self._asked(request.url))
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or url)

    def _said(self, kind: str, words: str) -> None:
        if kind == "error":
            self.complaints.append(words)

    def open(self, address: str) -> None:
        self.page.goto(address)
        expect(self.page.locator("#neighbours h2")).to_be_visible()

    def go(self, address: str) -> None:
        """To another address, once the answers that are under way have come: Gradio complains of those that it loses."""
        self.page.wait_for_timeout(1000)
        self.page.goto(address)

    def upload(self, file: Path) -> None:
        self.page.set_input_files("#query input[type=file]", file)

    def title(self) -> str:
        return self.page.locator("#neighbours h2").inner_text()


MARKS = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # of Gradio's own use of pandas
    pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="chromium is not installed"),
]
