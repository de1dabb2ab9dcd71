"""One client of the interface can't starve another."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from index.library import Library
from tests.ui.api_answers import refused
from ui.api import pictures as api_pictures
from ui.api.turns import PER_CLIENT, QUEUE


def test_a_flooding_client_starves_nobody(
    library: Library, photo_ids: dict[str, int], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients, known by their addresses, of a real server: one sends 30 requests that never end by themselves."""
    real, may_end, began = api_pictures.search, threading.Event(), threading.Semaphore(0)
    moon, coffee = photo_ids["moon.jpg"], photo_ids["coffee.jpg"]

    def slow(found_in: Library, ask: api_pictures.Ask) -> object:
        if [pick.picture for pick in ask.pictures] == [moon]:
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
