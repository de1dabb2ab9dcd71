"""The interface's routes: right answers."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from index.library import Library
from tests.ui.api_answers import refused, uploads_left
from ui.server import build_app


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
    both = {"photos": [chelsea, coffee], "count": 1}
    for weights, name in (([1, 0.05], "chelsea-again.jpg"), ([0.05, 1], "coffee-again.jpg")):
        found = client.post("/api/search", data=both | {"weights": weights}).json()
        assert found["pictures"][0]["name"] == name
    for weights in ([1], [1, 0], [1, "nan"]):
        assert "a weight above zero" in refused(client.post("/api/search", data=both | {"weights": weights}), 422)
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
        assert "No index job" in refused(client.post("/api/index/cancel"), 409)
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


def test_the_index_job_is_paused_resumed_and_cancelled(empty_library: Library, photo_folder: Path) -> None:
    catalog = empty_library.catalog
    with TestClient(build_app(empty_library)) as client:
        for ends in ("cancel", "resume"):
            job = catalog.start_job("index", [str(photo_folder)])  # another process is at work
            catalog.beat(job, {"done": 3, "total": 12})
            assert "at work" in refused(client.post("/api/index/resume"), 409)
            paused = client.post("/api/index/pause")
            assert (paused.status_code, paused.json()["headline"]) == (202, "Pausing after the current step")
            catalog.finish_job(job, "interrupted")
            answer = client.get("/api/index").json()
            assert (answer["state"], answer["can_resume"], answer["share"]) == ("interrupted", True, 0.25)
            answer = client.post(f"/api/index/{ends}").json()
            assert (answer["state"], answer["can_resume"]) == (
                ("cancelled", False) if ends == "cancel" else ("running", False)
            )
        deadline = time.monotonic() + 60
        while client.get("/api/index").json()["running"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get("/health").json()["photos"] == 14
        assert "no paused job" in refused(client.post("/api/index/resume"), 409)


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
