"""A small library, indexed once for all tests of the page, and one that is empty."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import skimage
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from index.job import index_folder
from index.library import Library
from tests.ui.page_in_browser import ARGUMENTS, CHROMIUM, PATIENCE_MS, Watched
from ui.server import build_app, serve

PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "retina.jpg", "moon.png")
HOSTILE = "<img src=x onerror=alert(1)> \"quoted\" 'n' ${1+1} {{x}} Bär 猫.jpg"
SIDEWAYS = 6  # EXIF: to be turned clockwise


@pytest.fixture(scope="session", autouse=True)
def loops_of_gradio() -> Iterator[None]:
    """Building a page makes event loops that Gradio never runs nor closes, which counts as a warning here: close them."""
    made: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop

    def noted() -> asyncio.AbstractEventLoop:
        made.append(new_event_loop())
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", noted)
        yield
    asyncio.set_event_loop(None)
    for loop in made:
        loop.close()


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs with a re-encoded copy each, one that lies on its side and carries a position, one with a hostile name."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in PHOTOGRAPHS:
        picture = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        picture.thumbnail((320, 320))
        picture.save(folder / f"{Path(name).stem}.jpg", quality=90)
        picture.save(folder / f"{Path(name).stem}-again.jpg", quality=60)
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    exif.get_ifd(0x8825)[1] = "N"  # the hemisphere of a position
    lying = Image.open(folder / "rocket.jpg").transpose(Image.Transpose.ROTATE_90)
    lying.save(folder / "lying.jpg", exif=exif, comment=b"a secret note")
    Image.open(folder / "coffee.jpg").rotate(3).save(folder / HOSTILE, quality=80)
    (folder / "broken.jpg").write_bytes((folder / "moon.jpg").read_bytes()[:900])
    return folder


@pytest.fixture(scope="session")
def library_folder(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an indexed library."""
    folder = tmp_path_factory.mktemp("indexed")
    with Library.open(folder, model="starter", device="cpu", create=True) as library:
        for _ in index_folder(library, [str(photo_folder)]):
            pass
    return folder


@pytest.fixture(scope="session")
def library(library_folder: Path) -> Iterator[Library]:
    """The indexed library, open. Nobody may change it."""
    with Library.open(library_folder, device="cpu") as library:
        yield library


@pytest.fixture
def own(library_folder: Path, tmp_path: Path) -> Iterator[Library]:
    """A copy of the indexed library, which may be changed."""
    shutil.copytree(library_folder, tmp_path / "library")
    with Library.open(tmp_path / "library", device="cpu") as library:
        yield library


@pytest.fixture
def empty_library(tmp_path: Path) -> Iterator[Library]:
    """A library without photos."""
    with Library.open(tmp_path / "empty", model="starter", device="cpu", create=True) as library:
        yield library


@pytest.fixture(scope="session")
def photo_ids(library: Library) -> dict[str, int]:
    """Photo ids by file name."""
    states = ("present", "unreadable")
    photos = [photo for state in states for photo in library.catalog.photos_in(state, 100)]
    return {os.path.basename(photo.path): photo.id for photo in photos}


@contextmanager
def serving(library: Library) -> Iterator[str]:
    """The address of a server on a free port, in a thread."""
    ready = threading.Event()
    addresses: list[str] = []

    def note(address: str) -> None:
        addresses.append(address)
        ready.set()

    app = build_app(library)
    thread = threading.Thread(target=serve, args=(app,), kwargs={"port": 0, "ready": note}, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield addresses[0]
    finally:
        app.state.server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(library: Library) -> Iterator[str]:
    """The address of a running server of the indexed library."""
    with serving(library) as address:
        yield address


@pytest.fixture
def empty_server(empty_library: Library) -> Iterator[str]:
    """The address of a running server of a library without photos."""
    with serving(empty_library) as address:
        yield address


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    """Talks to the application without a network between."""
    with TestClient(build_app(library)) as client:
        yield client


@pytest.fixture(scope="module")
def cat(photo_folder: Path) -> bytes:
    """The bytes of a photograph of a cat."""
    return (photo_folder / "chelsea.jpg").read_bytes()


@pytest.fixture(scope="module")  # while one runs, an event loop does: other tests can have none
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI has no chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A page; at the end nothing was asked of another host, and nothing went wrong."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        watched = Watched(context.new_page())
        yield watched
        assert watched.hosts == {"127.0.0.1"}
        assert watched.complaints == []
