"""The interface's refusals: in one shape with the right status, and limits."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from index.library import Library
from tests.ui.api_answers import refused
from ui.api import pictures as api_pictures
from ui.api import route as api_route
from ui.handlers import Machine
from ui.server import build_app


@pytest.mark.parametrize("path", ["", "/look", "/stages", "/channels"])
def test_unknown_photos(client: TestClient, path: str) -> None:
    assert "999999" in refused(client.get(f"/api/photos/999999{path}"), 404)
    assert "photo_id" in refused(client.get(f"/api/photos/{10**30}{path}"), 422)
    assert "photo_id" in refused(client.get(f"/api/photos/x{path}"), 422)


@pytest.mark.parametrize("path", ["/look", "/stages", "/search", "/why"])
def test_files_that_are_no_pictures(client: TestClient, photo_folder: Path, cat: bytes, path: str) -> None:
    field = "file" if path in ("/look", "/stages") else "files"

    def sent(*contents: bytes) -> httpx.Response:
        return client.post(f"/api{path}", files=[(field, ("my.jpg", content)) for content in contents])

    whole = [cat] if path == "/why" else []
    assert "my.jpg is empty" in refused(sent(*whole, b""), 415)
    assert "my.jpg is no picture" in refused(sent(*whole, b"plain words"), 415)
    broken = (photo_folder / "broken.jpg").read_bytes()
    assert refused(sent(*whole, broken), 422) == "my.jpg could not be read as a picture: the file ends early."


@pytest.mark.parametrize(
    ("data", "words"),
    [({}, "give a picture"), ({"photos": ["x"]}, "photos.0"), ({"photos": [1], "count": 0}, "count"),
     ({"photos": [1], "like": "smell"}, "like"), ({"photos": [1], "after": "never"}, "after: 'never' is no date"),
     ({"photos": [1], "start": 10**9}, "start"), ({"words": ["qqqq"]}, "qqqq"), ({"photos": [1], "stages": [1]}, "weight")],
)  # fmt: skip
def test_searches_that_can_not_be_done(client: TestClient, data: dict, words: str) -> None:
    assert words in refused(client.post("/api/search", data=data), 422)


def test_requests_that_are_too_large_or_not_well_formed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_route, "MOST_BYTES", 2**20)
    form = {"content-type": "multipart/form-data; boundary=b"}
    announced = client.post("/api/look", files={"file": ("x.jpg", b"\xff\xd8\xff" * 2**20)})
    assert "at most 1 MiB" in refused(announced, 413)
    plain = client.post("/api/index", content=b" " * (2**20 + 1), headers={"content-type": "application/json"})
    assert "at most 1 MiB" in refused(plain, 413)
    assert "Too many files" in refused(client.post("/api/search", files=[("files", ("x", b"x"))] * 17), 400)
    assert refused(client.post("/api/look", content=b"nonsense", headers=form), 400)
    assert "maximum size" in refused(client.post("/api/search", files={"words": (None, "x" * 2**17)}), 400)


def test_a_body_without_an_announced_end_is_read_to_the_limit_and_no_further(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_route, "MOST_BYTES", 2**20)
    step, read, said = 2**16, 0, []

    async def receive() -> dict:
        nonlocal read
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        read += step
        return {"type": "http.request", "body": head if read == step else bytes(step), "more_body": True}

    async def send(message: dict) -> None:
        said.append(message)

    names = {"host": "testserver", "content-type": "multipart/form-data; boundary=b", "transfer-encoding": "chunked"}
    headers = [(name.encode(), value.encode()) for name, value in names.items()]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/api/look", "raw_path": b"/api/look",
        "root_path": "", "query_string": b"", "headers": headers, "server": ("testserver", 80), "client": ("testclient", 1),
    }  # fmt: skip
    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)
    assert said[0]["status"] == 413
    assert 2**20 < read <= 2**20 + 3 * step


def test_without_a_network_nothing_is_looked_at(
    client: TestClient, cat: bytes, photo_ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Machine("starter", "", "", "cpu", "The model in /home/me/models/mine is not there.")
    monkeypatch.setattr("ui.api.uploads.machine", lambda _: lost)
    words = refused(client.post("/api/look", files={"file": ("x", cat)}), 503)
    assert words == "The model in mine is not there."
    stored = client.post("/api/search", data={"photos": [photo_ids["moon.jpg"]]})
    assert stored.status_code == 200


def test_a_failure_is_said_in_one_line(
    library: Library, photo_ids: dict[str, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("secret /etc/passwd")

    monkeypatch.setattr(api_pictures, "search", fails)
    with TestClient(build_app(library)) as client:
        answer = client.post("/api/search", data={"photos": [photo_ids["moon.jpg"]]})
    assert refused(answer, 500) == "The server failed; its log says more."
    assert "secret" in caplog.text


def test_behind_the_password(library: Library, photo_ids: dict[str, int]) -> None:
    with TestClient(build_app(library, password="a long secret")) as client:
        for path in ("/api/", "/openapi.json", f"/api/photos/{photo_ids['moon.jpg']}", "/api/nothing"):
            assert client.get(path).status_code == 401
        assert client.post("/api/look", files={"file": ("x", b"x")}).status_code == 401
        answer = client.get(f"/api/photos/{photo_ids['moon.jpg']}", auth=("me", "a long secret"))
        assert answer.json()["name"] == "moon.jpg"
