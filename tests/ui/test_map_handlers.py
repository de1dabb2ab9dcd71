"""The map's handlers and routes: drawn in the background, stopped, stale, sampled, kept, or only remembered."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from index import atlas
from index.atlas import Atlas
from index.library import Library
from index.progress import step
from index.teach import teach
from storage.records import Filter
from ui import map_handlers
from ui.api.map import MapAnswer
from ui.api.routes import add_api
from ui.context import PageContext
from ui.handlers import EMPTY_LIBRARY
from ui.map_handlers import COLOURS, EDGE, Colouring, MapDrawing, MapPoints, MapView
from ui.tabs.map_markup import PLOTLY

PATIENCE_S = 60


@pytest.fixture
def copied(library_folder: Path, tmp_path: Path) -> Iterator[Library]:
    """A copy of the shared library, without the map that tests of the page may have drawn of it."""
    shutil.copytree(library_folder, tmp_path / "library", ignore=shutil.ignore_patterns("map-*"))
    with Library.open(tmp_path / "library", device="cpu") as library:
        yield library


def finished(library: Library) -> MapDrawing:
    drawing = MapDrawing(library)
    drawing.start()
    drawing.wait(PATIENCE_S)
    assert not drawing.view().running
    return drawing


def test_a_map_is_drawn_kept_and_found_again_with_everything_that_the_page_shows(copied: Library) -> None:
    assert MapDrawing(copied).view() == MapView(total=14)
    drawing = finished(copied)
    view = drawing.view()
    assert (view.shown, view.total, view.new, view.is_sample, view.problem, view.hint) == (14, 14, 0, False, None, None)
    assert MapDrawing(copied).view() == view

    points = MapDrawing(copied).points()
    assert points.stamp == view.stamp
    assert len(set(points.photos)) == len(points.names) == len(points.x) == len(points.y) == 14
    assert any("Bär 猫" in name for name in points.names)
    assert min(points.x) == min(points.y) == 0
    assert max(points.x + points.y) == EDGE
    for photo_id, name in zip(points.photos, points.names, strict=True):
        record = copied.catalog.photo(photo_id)
        assert record is not None
        assert Path(record.path).name == name
        assert drawing.photo_on_it(photo_id) == photo_id


def test_names_that_are_no_text_can_be_sent() -> None:
    points = MapPoints("1", [7], ["B\udce4r.jpg"], [0], [0], [Colouring("Folder", ["B\udce4ren"], [0])])
    answer = json.loads(MapAnswer.model_validate(points, from_attributes=True).model_dump_json())
    assert answer["names"] == ["B?r.jpg"]
    assert answer["colourings"][0]["groups"] == ["B?ren"]


def test_points_are_grouped_by_label_word_and_folder(copied: Library) -> None:
    by_name = {Path(one[0].path).name: content for content, one in photos_of(copied).items()}
    teach(copied, {"cat": [by_name["chelsea.jpg"]], "moon": [by_name["moon.jpg"]]})
    points = finished(copied).points()
    found = {one.name: one for one in points.colourings}
    assert set(found) == {"Label", "Your words", "Folder"}
    for one in found.values():
        assert len(one.of) == 14
        assert len(one.groups) <= COLOURS
        assert set(one.of) <= set(range(len(one.groups) + 1))
        sizes = [one.of.count(group) for group in range(len(one.groups))]
        assert sizes == sorted(sizes, reverse=True)
    place = points.names.index("chelsea.jpg")
    content = by_name["chelsea.jpg"]
    ((label, _), *_) = copied.catalog.labels(content, copied.space_id)
    assert [*found["Label"].groups, copied.label(label)][found["Label"].of[place]] == copied.label(label)
    words = found["Your words"]
    assert words.groups[words.of[place]] == "cat"
    assert found["Folder"].groups == [Path(photos_of(copied)[content][0].path).parent.name]


def photos_of(library: Library) -> dict[int, Any]:
    return library.catalog.photos(library.catalog.matching(Filter()).tolist(), Filter(), library.space_id)


def test_an_empty_library_says_what_to_do_and_draws_nothing(empty_library: Library) -> None:
    drawing = MapDrawing(empty_library)
    drawing.start_first()
    drawing.wait(PATIENCE_S)
    assert drawing.view() == MapView(hint=EMPTY_LIBRARY)
    assert drawing.points().photos == []
    assert drawing.photo_on_it(1) is None


def test_a_library_is_counted_anew_only_where_something_may_have_changed(
    copied: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = finished(copied)
    counted: list[int] = []
    counts = copied.catalog.counts

    def noted(space_id: int | None) -> dict[str, int]:
        counted.append(1)
        return counts(space_id)

    drawing.view()
    monkeypatch.setattr(copied.catalog, "counts", noted)
    assert drawing.view() == drawing.view()
    assert not counted
    job_id = copied.catalog.start_job("index", ["/photos"])
    drawing.view()
    copied.catalog.mark_gone([str(Path(copied.catalog.photos_in("present", 1)[0].path).parent)], [], set(), 10**9)
    copied.catalog.finish_job(job_id, "done")
    assert drawing.view() == MapView(hint=EMPTY_LIBRARY)
    assert len(counted) == 2

    monkeypatch.setattr(map_handlers, "IDLE_S", 0.0)
    drawing.view()
    assert len(counted) == 3


def test_what_is_not_on_the_map_yet_is_counted_and_comes_with_the_next(copied: Library) -> None:
    found = finished(copied).points()
    drawn = atlas.load(copied)
    assert drawn is not None
    atlas.save(copied, Atlas(drawn.contents[:9], drawn.places[:9]))
    drawing = MapDrawing(copied)
    assert (drawing.view().shown, drawing.view().new) == (9, 5)
    assert len(drawing.points().photos) == 9
    assert sum(drawing.photo_on_it(one) is None for one in found.photos) == 5
    drawing.start_first()  # there is one
    assert not drawing.view().running
    drawing.start()
    drawing.wait(PATIENCE_S)
    assert (drawing.view().shown, drawing.view().new) == (14, 0)


def test_a_sample_is_said(copied: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "MOST", 10)
    view = finished(copied).view()
    assert (view.shown, view.total, view.new, view.is_sample) == (10, 14, 0, True)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Drawing takes until this is set, in steps."""
    go_on = threading.Event()

    def draw(library: Library, old: Atlas | None) -> Iterator[tuple[Any, Atlas | None]]:
        yield step("arranging", 40, 100), None
        assert go_on.wait(PATIENCE_S)
        contents = atlas.contents_to_show(library)
        yield step("arranging", 100, 100), Atlas(contents, np.zeros((len(contents), 2), np.float32))

    monkeypatch.setattr(atlas, "draw", draw)
    return go_on


def test_it_is_begun_once_and_stopped_and_not_begun_again_by_itself(copied: Library, slow: threading.Event) -> None:
    drawing = MapDrawing(copied)
    drawing.start_first()
    thread = drawing._thread
    drawing.start()
    assert drawing._thread is thread
    assert drawing.view().running
    drawing.stop()
    slow.set()
    drawing.wait(PATIENCE_S)
    assert drawing.view() == MapView(total=14, problem="The drawing was stopped.")
    assert list(copied.cache.glob("map-*")) == []
    drawing.start_first()
    assert not drawing.view().running
    drawing.start()
    drawing.wait(PATIENCE_S)
    assert drawing.view().shown == 14


def test_why_it_failed_is_said(copied: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(*_: Any) -> Iterator[Any]:
        raise OSError("the disk is gone")
        yield

    monkeypatch.setattr(atlas, "draw", draw)
    assert finished(copied).view() == MapView(total=14, problem="the disk is gone")


def test_where_nothing_can_be_written_the_map_is_only_remembered(
    copied: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(copied.catalog), "is_read_only", property(lambda _: True))
    drawing = finished(copied)
    view = drawing.view()
    assert (view.shown, view.problem) == (14, None)
    assert list(copied.cache.glob("map-*")) == []
    drawing.start()
    assert not drawing.view().running, "once is enough where nothing can change"


def test_a_full_disk_leaves_the_map_in_memory_and_says_so(copied: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atlas, "save", save)
    view = finished(copied).view()
    assert view.shown == 14
    assert view.problem == "The map can be used until this server ends; it could not be kept: No space left on device."


@pytest.fixture
def client(copied: Library) -> Iterator[TestClient]:
    app = FastAPI()
    context = PageContext.of(copied)
    add_api(app, context)
    with TestClient(app) as client:
        yield client
    context.map.wait(PATIENCE_S)


def test_the_routes_draw_tell_and_give_the_points(client: TestClient, slow: threading.Event) -> None:
    assert client.get("/api/map").json()["shown"] == 0
    assert client.get("/api/map/points").json()["photos"] == []
    assert client.post("/api/map/stop").status_code == 409
    begun = client.post("/api/map/draw")
    assert (begun.status_code, begun.json()["running"]) == (202, True)
    stopped = client.post("/api/map/stop")
    assert stopped.status_code == 202
    slow.set()


def test_points_and_script_come_compressed_where_that_is_understood(client: TestClient, copied: Library) -> None:
    finished(copied)
    packed = client.get("/api/map/points", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/api/map/points", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert len(json.loads(plain.content)["photos"]) == 14
    assert packed.headers["cache-control"] == "no-store"

    script = client.get(PLOTLY, headers={"Accept-Encoding": "gzip"})
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    assert int(script.headers["content-length"]) < 1_600_000
    assert script.text.startswith("/**\n* plotly.js")
    assert len(gzip.compress(script.content[:1000])) < 1000
