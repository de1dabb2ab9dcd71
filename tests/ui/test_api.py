"""The interface's routes: right answers, refusals in one shape with the right status, limits, and nobody starved."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from index.library import Library
from ui import api_pictures, api_route
from ui.api_turns import PER_CLIENT, QUEUE
from ui.handlers import Machine
from ui.server import build_app


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    with TestClient(build_app(library)) as client:
        yield client


@pytest.fixture(scope="module")
def cat(photo_folder: Path) -> bytes:
    return (photo_folder / "chelsea.jpg").read_bytes()


def refused(answer: httpx.Response, status: int) -> str:
    """The words of a refusal, which has nothing else in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    words = answer.json()["error"]
    assert "Traceback" not in words
    assert "/tmp" not in words
    return words


def uploads_left() -> list[str]:
    return [str(path) for path in Path(os.environ.get("TMPDIR", "/tmp")).glob("regconv-upload-*")]


def test_an_upload_is_looked_at_and_deleted(client: TestClient, cat: bytes, photo_ids: dict[str, int]) -> None:
    before = uploads_left()
    look = client.post("/api/look", files={"file": ("../../../etc/my cat.jpg", cat)}).json()
    assert look["name"] == "my cat.jpg"
    assert len(look["labels"]) == 5
    assert look["stages"][0] == {"name": "stem", "channels": 32, "height": 72, "width": 72, "stride": 2}
    assert look["similar"][0]["photo_id"] == photo_ids["chelsea.jpg"]
    assert look["similar"][0]["score"] > 0.999
    of_photo = client.get(f"/api/photos/{photo_ids['chelsea.jpg']}/look").json()
    assert [label["label"] for label in of_photo["labels"]] == [label["label"] for label in look["labels"]]
    assert of_photo["similar"][0]["name"] == "chelsea-again.jpg"
    assert uploads_left() == before


def test_a_search_by_uploads_photos_and_words(client: TestClient, cat: bytes, photo_ids: dict[str, int]) -> None:
    chelsea, coffee = photo_ids["chelsea.jpg"], photo_ids["coffee.jpg"]
    by_file = client.post("/api/search", files={"files": ("x", cat)}, data={"count": 2}).json()
    assert by_file["pictures"][0]["photo_id"] == chelsea
    assert (len(by_file["pictures"]), by_file["more"]) == (2, True)
    by_photo = client.post("/api/search", data={"photos": [chelsea], "count": 1}).json()
    assert by_photo["pictures"][0]["name"] == "chelsea-again.jpg"
    second = client.post("/api/search", data={"photos": [chelsea], "count": 1, "start": 1}).json()
    assert second["pictures"][0]["photo_id"] not in (chelsea, by_photo["pictures"][0]["photo_id"])
    unlike = client.post(
        "/api/search", data={"photos": [coffee], "unlike_photos": [chelsea], "like": "colour", "count": 3}
    ).json()
    assert chelsea not in [picture["photo_id"] for picture in unlike["pictures"]]
    weighed = client.post("/api/search", data={"photos": [chelsea], "stages": [1, 0, 0, 0]}).json()
    assert weighed["pictures"][0]["name"] == "chelsea-again.jpg"
    word = client.get("/api/words", params={"count": 1}).json()["words"][0]["word"]
    assert client.post("/api/search", data={"words": [word]}).json()["pictures"]
    nothing = client.post("/api/search", data={"photos": [chelsea], "camera": "Zeiss"}).json()
    assert nothing["pictures"] == []
    assert "camera" in nothing["hint"]


def test_maps_as_numbers_and_as_a_picture(client: TestClient, cat: bytes, photo_ids: dict[str, int]) -> None:
    path = f"/api/photos/{photo_ids['chelsea.jpg']}/stages"
    of_photo = np.load(io.BytesIO(client.get(path).content))
    of_file = np.load(io.BytesIO(client.post("/api/stages", files={"file": ("x", cat)}).content))
    assert list(of_file) == ["picture", "stem", "stage1", "stage2", "stage3", "stage4"]
    assert (of_file["picture"].dtype, of_file["picture"].shape) == (np.uint8, (144, 144, 3))
    for name in of_file:
        np.testing.assert_allclose(of_file[name], of_photo[name], rtol=1e-5, atol=1e-5)
    picture = client.get(path, params={"kind": "png", "stage": "stage2"})
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).format == "PNG"
    assert "It has stem, stage1" in refused(client.get(path, params={"kind": "png", "stage": "x"}), 422)


def test_why_gives_maps_that_sum_to_the_cosine(client: TestClient, cat: bytes, photo_ids: dict[str, int]) -> None:
    data = {"photos": [photo_ids["coffee.jpg"]], "part": "stage3", "cell": [2, 3]}
    found = client.post("/api/why", files={"files": ("x", cat)}, data=data).json()
    assert [part["part"] for part in found["parts"]] == ["stage3"]
    part = found["parts"][0]
    for side, constant in zip(("first", "second"), part["constants"], strict=True):
        assert np.sum(part[side]) + constant == pytest.approx(part["cosine"], abs=1e-5)
    (cell,) = part["cells"]
    assert (cell["row"], cell["column"]) == (2, 3)
    assert np.sum(cell["over_second"]) + cell["constant"] == pytest.approx(cell["share"], abs=1e-6)
    assert "two pictures" in refused(client.post("/api/why", data={"photos": [1]}), 422)
    assert "It has" in refused(client.post("/api/why", data={"photos": [1, 2], "part": "x"}), 422)


def test_facts_of_a_photo_have_no_folder(client: TestClient, photo_ids: dict[str, int], photo_folder: Path) -> None:
    answer = client.get(f"/api/photos/{photo_ids['moon.jpg']}")
    assert answer.json()["name"] == "moon.jpg"
    assert answer.json()["state"] == "present"
    assert len(answer.json()["labels"]) == 5
    broken = client.get(f"/api/photos/{photo_ids['broken.jpg']}")
    assert broken.json()["reason"] == "the file ends early"
    assert str(photo_folder) not in answer.text + broken.text


def test_channels(client: TestClient, photo_ids: dict[str, int]) -> None:
    own = client.get(f"/api/photos/{photo_ids['moon.jpg']}/channels", params={"count": 3}).json()
    values = [channel["value"] for channel in own["channels"]]
    assert values == sorted(values, reverse=True)
    found = client.get(f"/api/channels/{own['channels'][0]['channel']}", params={"count": 14}).json()
    mine = next(photo for photo in found["photos"] if photo["photo_id"] == photo_ids["moon.jpg"])
    assert mine["value"] == pytest.approx(values[0], rel=1e-3)
    assert "There is no channel" in refused(client.get("/api/channels/99999"), 422)


def test_model_and_doctor(client: TestClient, library: Library, photo_folder: Path) -> None:
    model = client.get("/api/model").json()
    assert (model["model"], model["photos"], model["running"]) == ("starter", 14, False)
    answer = client.get("/api/doctor")
    report = answer.json()
    assert report["ok"], report
    assert report["photos"] == {"present": 14, "unreadable": 1, "gone": 0}
    assert {"shards", "index"} <= {check["name"] for check in report["checks"]}
    assert "vectors" not in {check["name"] for check in report["checks"]}
    assert str(library.folder) not in answer.text
    assert str(photo_folder) not in answer.text


def test_the_index_job_is_begun_watched_and_refused(empty_library: Library, photo_folder: Path) -> None:
    with TestClient(build_app(empty_library)) as client:
        assert client.get("/api/index").json()["state"] is None
        assert "No photo" in client.post("/api/search", data={"words": ["cat"]}).json()["hint"]
        assert "No index job" in refused(client.post("/api/index/stop"), 409)
        assert "no such folder" in refused(client.post("/api/index", json={"folders": ["/nowhere"]}), 422)
        assert "JSON" in refused(client.post("/api/index", data={"folders": "/nowhere"}), 422)
        other = empty_library.catalog.start_job("index", [])  # another process is at work
        assert "at work" in refused(client.post("/api/index", json={"folders": [str(photo_folder)]}), 409)
        empty_library.catalog.finish_job(other, "done")
        begun = client.post("/api/index", json={"folders": [str(photo_folder)]})
        assert begun.status_code == 202
        ends = time.monotonic() + 60
        while client.get("/api/index").json()["running"]:
            assert time.monotonic() < ends
            time.sleep(0.1)
        job = client.get("/api/index").json()
        assert (job["state"], job["failed"]) == ("done", 1)
        assert client.get("/health").json()["photos"] == 14


def test_duplicates_are_found_decided_and_taken_back(client: TestClient, photo_ids: dict[str, int]) -> None:
    assert client.get("/api/duplicates").json()["groups"] == []
    assert "No search" in refused(client.post("/api/duplicates/stop"), 409)
    assert client.post("/api/duplicates/search").status_code == 202
    ends = time.monotonic() + 60
    while (page := client.get("/api/duplicates", params={"count": 1}).json())["running"]:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert page["problem"] is None
    assert page["groups_total"] > len(page["groups"]) == 1
    ids = [photo["photo_id"] for photo in page["groups"][0]["photos"]]
    assert "/" not in page["groups"][0]["photos"][0]["name"]
    assert client.post("/api/duplicates/decide", json={"verdict": "keep-both", "photo_ids": ids}).json() == {
        "done": True
    }
    assert client.get("/api/duplicates").json()["groups_total"] == page["groups_total"] - 1
    assert client.post("/api/duplicates/undo", json={"photo_ids": ids}).json() == {"done": True}
    assert client.get("/api/duplicates").json()["groups_total"] == page["groups_total"]
    perhaps = {"verdict": "perhaps", "photo_ids": ids}
    assert "is no decision" in refused(client.post("/api/duplicates/decide", json=perhaps), 422)
    unknown = {"verdict": "keep-both", "photo_ids": [ids[0], 10**30]}
    refused(client.post("/api/duplicates/decide", json=unknown), 404)
    assert "there is no 'x'" in refused(client.get("/api/duplicates", params={"kind": "x"}), 422)


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
    monkeypatch.setattr("ui.api_uploads.machine", lambda _: lost)
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


def test_a_flooding_client_starves_nobody(
    library: Library, photo_ids: dict[str, int], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients, known by their addresses, of a real server: one sends 30 requests that never end by themselves."""
    real, may_end, began = api_pictures.search, threading.Event(), threading.Semaphore(0)
    moon, coffee = photo_ids["moon.jpg"], photo_ids["coffee.jpg"]

    def slow(found_in: Library, ask: api_pictures.Ask) -> object:
        if ask.photos == [moon]:
            began.release()
            assert may_end.wait(60)
        return real(found_in, ask)

    monkeypatch.setattr(api_pictures, "search", slow)
    most = PER_CLIENT + QUEUE
    limits = httpx.Limits(max_connections=40)

    def flood(_: int) -> httpx.Response:
        return flooding.post("/api/search", data={"photos": [moon]})

    own = httpx.HTTPTransport(local_address="127.0.0.2")
    with (
        httpx.Client(base_url=server, timeout=60, limits=limits) as flooding,
        httpx.Client(base_url=server, timeout=20, transport=own) as other,
        ThreadPoolExecutor(30) as threads,
    ):
        try:
            answers = [threads.submit(flood, number) for number in range(30)]
            assert began.acquire(timeout=20)
            ends = time.monotonic() + 20
            while sum(answer.done() for answer in answers) < 30 - most:
                assert time.monotonic() < ends
                time.sleep(0.02)
            # All of this while the first client's request is at work and eight more of it wait.
            assert other.get("/health").json()["status"] == "ok"
            assert other.get(f"/photos/{coffee}/thumbnail").status_code == 200
            assert flooding.get("/health").status_code == 200
            for _ in range(3):
                assert other.post("/api/search", data={"photos": [coffee]}).json()["pictures"]
            assert not began.acquire(blocking=False)  # the flood got no second turn
            assert sum(answer.done() for answer in answers) == 30 - most
        finally:
            may_end.set()
        got = [answer.result() for answer in answers]
    assert sorted(answer.status_code for answer in got) == [200] * most + [429] * (30 - most)
    late = next(answer for answer in got if answer.status_code == 429)
    assert late.headers["retry-after"].isdecimal()
    assert "too many requests" in refused(late, 429)


def test_who_asks_for_many_photos_leaves_some_to_others(
    library: Library, photo_ids: dict[str, int], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client asks for more photos than the server has threads, none of which can be read for now."""
    real, may_end = library.decoder.view, threading.Event()

    def slow(path: str, *rest: int, **more: int) -> bytes:
        if path.endswith("moon.jpg"):
            assert may_end.wait(60)
        return real(path, *rest, **more)

    monkeypatch.setattr(library.decoder, "view", slow)
    own = httpx.HTTPTransport(local_address="127.0.0.2")
    with (
        httpx.Client(base_url=server, timeout=60, limits=httpx.Limits(max_connections=60)) as flooding,
        httpx.Client(base_url=server, timeout=20, transport=own) as other,
        ThreadPoolExecutor(60) as threads,
    ):
        try:
            path = f"/photos/{photo_ids['moon.jpg']}"
            answers = [threads.submit(flooding.get, path) for _ in range(60)]
            for _ in range(5):
                assert other.get("/health").status_code == 200
                assert other.get(f"/photos/{photo_ids['coffee.jpg']}").status_code == 200
                time.sleep(0.1)
            assert not any(answer.done() for answer in answers)
        finally:
            may_end.set()
        assert {answer.result().status_code for answer in answers} == {200}
