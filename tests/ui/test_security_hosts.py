"""Whose requests are answered: the server's own names and pages. What opens it to others, and what it then says."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from index.library import Library
from index.runner import Runner
from storage import read_only
from storage.errors import ReadOnly
from tests.ui.page_over_http import PageOverHTTP
from ui import handlers, switch_handlers
from ui.duplicate_handlers import DuplicateSearch, decide_group, undo_decision
from ui.folder_handlers import folder_view
from ui.guard import Guard
from ui.health_handlers import Checkup
from ui.job_handlers import cancel_job, pause_job, resume_job, start_job, start_sample
from ui.server import ServerError, build_app, opening, reached_at, serve


@pytest.fixture
def read_only_library(library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """The indexed library, opened as one whose folder can't be written to (rights do not stop root, who runs tests)."""
    monkeypatch.setattr(read_only.os, "access", lambda *_, **__: False)
    with Library.open(library_folder, device="cpu") as library:
        assert library.catalog.is_read_only
        yield library


def asked(server: str, path: str = "/health", method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(
        method, f"{server}{path}", headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def test_a_server_of_this_computer_goes_by_its_own_names_only(server: str):
    port = server.rpartition(":")[2]
    for own in (
        f"127.0.0.1:{port}",
        f"localhost:{port}",
        f"[::1]:{port}",
        "LOCALHOST",
        "localhost:8000",
    ):  # a tunnel's end
        assert asked(server, Host=own).status_code == 200, own
    for other in (
        f"attacker.example:{port}", "127.0.0.1.attacker.example", "localhost.attacker.example", "attacker.example", "", "0.0.0.0",
        "user@localhost", "localhost:1:2", "127.0.0.1/x", "localhost, attacker.example", "[::2]", "192.168.1.5",
    ):  # fmt: skip
        for path in ("/health", "/", "/config", "/photos/1", "/api/openapi.json"):
            refused = asked(server, path, Host=other)
            assert refused.status_code in (400, 421), (other, path)
            assert "moon" not in refused.text
    assert "start it with --name NAME" in asked(server, Host="attacker.example").text


def test_two_host_headers_and_none_are_refused(server: str):
    address, port = "127.0.0.1", int(server.rpartition(":")[2])
    for lines in (b"Host: localhost\r\nHost: attacker.example\r\n", b""):
        with socket.create_connection((address, port), timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
            assert connection.recv(100).split()[1] in (b"400", b"421")


FOREIGN: tuple[dict[str, str], ...] = (
    {"Origin": "http://attacker.example"}, {"Origin": "null"}, {"Origin": "http://localhost:3000"}, {"Origin": "http://127.0.0.1"},
    {"Origin": "chrome-extension://x"}, {"Origin": "http://["}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
)  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_can_start_upload_and_read_nothing(server: str, headers: dict[str, str]):
    for method, path in (("POST", "/gradio_api/upload"), ("POST", "/gradio_api/queue/join"), ("POST", "/gradio_api/run/predict"),
                         ("POST", "/api/jobs"), ("DELETE", "/api/jobs"), ("OPTIONS", "/gradio_api/upload"), ("GET", "/photos/1"),
                         ("GET", "/health")):  # fmt: skip
        answer = asked(server, path, method, **headers)
        assert answer.status_code == 403, (method, path)
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_itself_and_a_link_from_elsewhere_are_answered(server: str, photo_folder: Path):
    with PageOverHTTP(server) as page:
        page.client.headers.update({"Origin": server, "Sec-Fetch-Site": "same-origin"})
        assert "Photos like moon.jpg" in page.look(photo_folder / "moon.jpg")
    assert asked(server, "/", Origin="null", Sec_Fetch_Site="same-origin").status_code == 200  # without referrers
    assert asked(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status_code == 200
    assert asked(server, "/", "POST", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status_code == 403


def test_nobody_is_told_that_other_pages_may_read(server: str):
    answer = asked(server, "/config", Origin=server)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-allow")]


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/photos/1", "/photos/x", "/gradio_api/file=/etc/passwd", "/nowhere", "/theme.css", "/api/"],
)
def test_every_answer_carries_the_headers(server: str, path: str):
    for headers in ({}, {"Host": "attacker.example"}):
        answer = asked(server, path, **headers)
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
        assert not [part for part in policy.values() if "http" in part or "*" in part]  # no other host at all
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_names_given_are_right_and_their_pages_too():
    inner = FastAPI()

    @inner.post("/")
    def inside() -> str:
        return "inside"

    inner.add_middleware(Guard, password=None, names=["Photos.Example"])
    with TestClient(inner) as client:
        assert client.post("/", headers={"Host": "photos.example"}).status_code == 200
        assert client.post("/", headers={"Origin": "https://photos.example"}).status_code == 200  # a proxy in front
        assert client.post("/", headers={"Host": "other.example"}).status_code == 421
        assert client.post("/", headers={"Origin": "https://other.example"}).status_code == 403


def test_names_and_other_addresses_need_a_password(library: Library):
    for made, host in (
        (build_app(library, names=["photos.example"]), "127.0.0.1"),
        (build_app(library, as_demo=True), "0.0.0.0"),
    ):
        with pytest.raises(ServerError, match=r"Give --password.*demo.*only be read"):
            serve(made, host=host, port=0)


def served(app: FastAPI, host: str) -> bool:
    """Whether the application is served on an address, once it was and has ended."""
    answered: list[Any] = []

    def ready(address: str) -> None:
        answered.append(address)
        app.state.server.should_exit = True

    serve(app, host=host, port=0, ready=ready)
    return bool(answered)


def test_a_demo_of_a_library_that_can_only_be_read_is_open_to_all_when_asked_for(read_only_library: Library):
    with pytest.raises(ServerError, match="Give --password"):
        serve(build_app(read_only_library), host="0.0.0.0", port=0)
    assert served(build_app(read_only_library, as_demo=True), "0.0.0.0")


def test_nothing_of_a_read_only_library_can_be_changed_and_it_says_so(read_only_library: Library, photo_folder: Path):
    runner = Runner(read_only_library)
    for folder in (str(photo_folder), "/nowhere/at/all", "/etc/passwd"):  # no answer says what is there
        assert start_job(runner, folder) == handlers.READ_ONLY
    photo = read_only_library.catalog.photos_in("present", 1)[0]
    taught = handlers.teach_word(read_only_library, photo.id, "cat")
    assert taught.problem == handlers.READ_ONLY
    search = DuplicateSearch(read_only_library)
    for refused in (
        decide_group(search, "keep-all", [photo.id]), undo_decision(search, [photo.id]),
        switch_handlers.start_switch(runner, "/etc"), switch_handlers.stop_switch(runner),
        switch_handlers.go_back(read_only_library), switch_handlers.forget_others(read_only_library),
        pause_job(runner), resume_job(runner), cancel_job(runner), start_sample(runner),
        Checkup(read_only_library).start(mend=True), Checkup(read_only_library).start(whole=True),
        folder_view(read_only_library, str(photo_folder)).problem, folder_view(read_only_library, "/nowhere").problem,
    ):  # fmt: skip
        assert refused == handlers.READ_ONLY
    with pytest.raises(ReadOnly, match="not changed"):
        read_only_library.catalog.remember("password", "x")


def test_what_is_opened_is_said(library: Library, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "ui.server._own_addresses", lambda: [(0, 0, 0, "", (one, 0)) for one in ("127.0.1.1", "10.1.2.3", "fd00::7")]
    )
    assert reached_at("0.0.0.0") == reached_at("") == ["10.1.2.3"]
    assert reached_at("::") == ["10.1.2.3", "fd00::7"]
    assert reached_at("192.168.1.5") == ["192.168.1.5"]
    words = opening(library, "0.0.0.0", 7860, has_password=True)
    for part in (
        "http://10.1.2.3:7860",
        "14 photos",
        "upload",
        "index any folder",
        "Nothing is encrypted",
        "TLS",
        "--name",
    ):
        assert part in words
    demo = opening(library, "::", 7860, has_password=False)
    assert "http://[fd00::7]:7860" in demo
    assert "Anybody" in demo
    assert "can't be changed" in demo
