"""Hostile uploads over HTTP against the running server: answered in words or shown, and the server lives on."""

import os
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
from gradio.utils import get_upload_folder

from tests.ui.page_over_http import PageOverHTTP
from ui import page_routes, server

DATA = os.environ.get("REGCONV_DATA")
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of Gradio's own use of pandas
needs_data = pytest.mark.skipif(not DATA, reason="REGCONV_DATA is not set: the shared pictures are not here")
BOUNDARY = "xxBOUNDARYxx"
PART = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n\r\n'.encode()
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
SAVED = ("application/octet-stream", "attachment")
GROWN_AT_MOST = 300 << 20  # bytes of this process: allocators do not give all back at once


def answered(page: PageOverHTTP, file: Path) -> str:
    """What became of an upload: "shown" or "refused", each in words."""
    answer = page.look(file)
    assert "Traceback" not in answer
    assert str(file.parent) not in answer
    assert get_upload_folder() not in answer.split("could not be read")[-1] or "Photos like" in answer
    shown, refused = "Photos like " in answer, "could not be read as a picture: " in answer
    assert shown or refused, (file, answer[:500])
    assert page.client.get("/health").status_code == 200
    return "refused" if refused else "shown"


def memory() -> int:
    return psutil.Process().memory_info().rss


def hostile_files(*folders: str) -> list[Path]:
    assert DATA is not None
    found = [path for folder in folders for path in Path(DATA, folder).rglob("*")]
    return sorted(
        path for path in found if path.is_file() and path.suffix not in (".csv", ".md") and path.name != "LICENSE"
    )


@needs_data
def test_bombs_and_broken_files_are_answered(server: str):
    files = (
        hostile_files("nasty/bomb", "nasty/not_images", "nasty/wrong_extension") + hostile_files("nasty/corrupt")[:3]
    )
    assert len(files) >= 9
    with PageOverHTTP(server) as page:
        page.look(hostile_files("nasty/exif_rotated")[0])  # the network is loaded
        before = memory()
        results = {file: answered(page, file) for file in files}
    assert "refused" in results.values()
    assert memory() - before < GROWN_AT_MOST


@pytest.mark.slow
@needs_data
def test_every_hostile_file_is_answered(server: str):
    files = hostile_files("nasty", "near_duplicates")
    assert len(files) > 90
    with PageOverHTTP(server) as page:
        page.look(files[0])
        before = memory()
        results = [answered(page, file) for file in files]
    assert min(results.count("shown"), results.count("refused")) > 10
    assert memory() - before < GROWN_AT_MOST


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Uploads may be a megabyte, in a folder of their own; to be asked for before the server."""
    monkeypatch.setattr(server, "UPLOAD_BYTES", 1 << 20)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setattr(page_routes, "PATIENCE_S", 1.0)


@pytest.fixture
def strict(small_limit: None, empty_server: str) -> str:
    """The address of a server with small limits."""
    return empty_server


def raw(server: str, head: bytes, body: bytes = b"", shut: bool = False) -> bytes:
    """The answer to bytes sent as they are."""
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            connection.sendall(head + body)
            if shut:
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # refused before everything was sent
            pass
        try:
            return connection.recv(1000)
        except ConnectionResetError:
            return b""


def head(server: str, *lines: str) -> bytes:
    host = server.removeprefix("http://")
    first = ["POST /gradio_api/upload HTTP/1.1", f"Host: {host}", f"Content-Type: {FORM['Content-Type']}", *lines]
    return ("\r\n".join(first) + "\r\n\r\n").encode()


def uploads() -> set[str]:
    return {str(path) for path in Path(get_upload_folder()).rglob("*") if path.is_file()}


def test_too_large_is_said_whether_announced_lied_about_or_not_announced(strict: str):
    with PageOverHTTP(strict) as page:
        announced = page.upload("x.jpg", b"x" * (2 << 20))
        assert announced.status_code == 413
        assert announced.text == "That is too large: at most 1 MB.\n"
        assert page.client.get("/health").status_code == 200
    for length in (1 << 50, 1 << 21):
        refused = raw(strict, head(strict, f"Content-Length: {length}"), PART)
        assert b" 413 " in refused.partition(b"\r\n")[0]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (PART, *[b"x" * (1 << 16)] * 40))
    chunked = raw(strict, head(strict, "Transfer-Encoding: chunked"), chunks)
    assert b" 413 " in chunked.partition(b"\r\n")[0]
    assert b" 40" in raw(strict, head(strict, "Content-Length: -5"), PART).partition(b"\r\n")[0]
    assert b" 40" in raw(strict, head(strict, "Content-Length: nine"), PART).partition(b"\r\n")[0]
    raw(strict, head(strict, "Content-Length: 5000"), PART + b"x" * 100, shut=True)  # ends early
    time.sleep(0.2)
    assert httpx.get(f"{strict}/health").status_code == 200
    assert uploads() == set()  # nothing of all that is left on the disk


def test_a_form_of_many_files_is_one_upload(strict: str):
    parts = (PART + b"x" * (100 << 10) + b"\r\n") * 12 + f"--{BOUNDARY}--\r\n".encode()
    answer = httpx.post(f"{strict}/gradio_api/upload", content=parts, headers=FORM)
    assert answer.status_code == 413


def test_a_slow_client_blocks_nobody_and_is_not_waited_for_for_ever(strict: str, photo_folder: Path):
    host, port = strict.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=20) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(head(strict, "Content-Length: 100000") + PART)
        started = time.monotonic()
        with PageOverHTTP(strict) as page:
            assert page.upload("moon.jpg", (photo_folder / "moon.jpg").read_bytes()).status_code == 200
        assert time.monotonic() - started < 30  # all of them together would be waited for far longer
        assert all(b" 408 " in connection.recv(1000).partition(b"\r\n")[0] for connection in slow)
    finally:
        for connection in slow:
            connection.close()


def test_uploads_under_way_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch, small_limit: None, strict: str):
    monkeypatch.setattr(page_routes, "UNDER_WAY", 0)
    answer = httpx.post(f"{strict}/gradio_api/upload", files={"files": ("x.jpg", b"x", "image/jpeg")})
    assert answer.status_code == 503
    assert "Too many uploads" in answer.text
    monkeypatch.setattr(page_routes, "UNDER_WAY", 1)
    assert httpx.post(f"{strict}/gradio_api/upload", files={"files": ("x.jpg", b"x", "image/jpeg")}).status_code == 200


@pytest.mark.parametrize(
    ("name", "mime"),
    [("../../../../etc/cron.d/x.jpg", "image/jpeg"), ("..\\..\\x.jpg", "image/jpeg"), ("/etc/x.jpg", "image/jpeg"),
     ("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x\x00.jpg", "image/jpeg"), ("", "image/jpeg"), ("." * 300, "x/y"),
     ("n" * 4000 + ".jpg", "image/jpeg"), ("<script>alert(1)</script>.jpg", "image/jpeg"), ("猫 Bär.jpg", "image/jpeg")],
)  # fmt: skip
def test_file_names_lead_nowhere_and_no_upload_is_a_page(server: str, name: str, mime: str):
    script = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
    with PageOverHTTP(server) as page:
        answer = page.upload(name, script, mime)
        assert answer.status_code in (200, 400, 422), answer.text
        assert "Traceback" not in answer.text
        for kept in answer.json() if answer.status_code == 200 and answer.json() else []:
            assert Path(kept).resolve().is_relative_to(Path(get_upload_folder()).resolve())
            served = page.client.get("/gradio_api/file=" + quote(kept))
            assert served.headers["content-type"].split(";")[0] not in (
                "text/html",
                "image/svg+xml",
                "application/xhtml+xml",
            ) or (served.headers["content-disposition"].startswith("attachment"))
            shown = page.look_at(kept, name)
            assert "could not be read as a picture" in shown
            assert "<script" not in shown
            again = page.client.get(
                "/gradio_api/file=" + quote(kept)
            )  # Gradio itself now takes an SVG for the page's own
            assert again.status_code == 200
            kind = again.headers["content-type"]
            assert kind == "image/jpeg" or (kind, again.headers["content-disposition"]) == SAVED
        assert page.client.get("/health").status_code == 200


@pytest.mark.parametrize("photo", [-1, 0, 2**70, "x", "../1", None, {"a": 1}, [1], 1.5, "1; DROP TABLE photos", True])
def test_a_click_on_what_is_no_photo_is_answered(server: str, photo: Any):
    with PageOverHTTP(server) as page:
        answer = page.choose(photo)
        assert "Traceback" not in answer
        assert "sqlite" not in answer.lower()
        assert page.client.get("/health").status_code == 200
