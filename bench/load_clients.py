"""Clients for bench/load.py: a page in a browser, in Gradio's own protocol, and a program that uses the interface."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import httpx

TIMEOUT_S = 300
AT_ONCE = 6  # pictures that a browser asks for at a time
ALERT = 'role="alert"'
FETCHED = re.compile(r"/photos/\d+/thumbnail")


@dataclass
class Record:
    """What came of the requests, by kind."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @asynccontextmanager
    async def timed(self, kind: str) -> AsyncIterator[None]:
        """Counts what is done within, and what goes wrong there, which goes no further."""
        started = time.perf_counter()
        try:
            yield
        except (httpx.HTTPError, Unexpected, ValueError, KeyError) as error:
            self.errors[kind][f"{type(error).__name__}: {str(error)[:300]}"] += 1
        else:
            self.seconds[kind].append(time.perf_counter() - started)

    @property
    def failed(self) -> int:
        """How many requests went wrong."""
        return sum(sum(words.values()) for words in self.errors.values())


class Unexpected(Exception):
    """An answer that is not the one that was asked for."""


@dataclass(frozen=True)
class Page:
    """What a browser reads of the page once: its parts by elem_id, its tabs by label, and its events."""

    parts: dict[str, int]
    states: frozenset[int]
    events: Sequence[dict[str, Any]]
    values: dict[int, Any]  # what each part shows at first: sent with events that ask for it

    @classmethod
    def of(cls, config: dict[str, Any]) -> Page:
        """From /config."""
        parts = {one["props"]["elem_id"]: one["id"] for one in config["components"] if one["props"].get("elem_id")}
        parts |= {f"tab {one['props']['label']}": one["id"] for one in config["components"] if one["type"] == "tabitem"}
        states = frozenset(one["id"] for one in config["components"] if one["type"] == "state")
        values = {one["id"]: one["props"].get("value") for one in config["components"]}
        return cls(parts, states, config["dependencies"], values)

    def event(self, element: str, name: str) -> dict[str, Any]:
        """What the page sends when this happens to that part. Raises KeyError where it sends nothing."""
        target = [self.parts[element], name]
        for one in self.events:
            if target in [list(pair) for pair in one["targets"]]:
                return one
        raise KeyError(f"the page does not listen to {name} of #{element}")

    def loads(self) -> list[dict[str, Any]]:
        """What it sends when it is opened."""
        return [one for one in self.events if one["backend_fn"] and any(name == "load" for _, name in one["targets"])]


class Client:
    """One client with an address and connections of its own."""

    def __init__(self, base: str, address: str | None, record: Record, seed: int) -> None:
        self.record, self.random = record, random.Random(seed)
        # The server ends a connection that was idle for 5 s: who sends at that moment is cut off, which browsers try again.
        limits = httpx.Limits(max_connections=12, keepalive_expiry=2)
        transport = httpx.AsyncHTTPTransport(local_address=address, limits=limits)
        self.http = httpx.AsyncClient(base_url=base, transport=transport, timeout=TIMEOUT_S)

    async def ask(self, kind: str, method: str, url: str, status: int = 200, **what: Any) -> httpx.Response | None:
        """The answer, None where it was not the expected one."""
        async with self.record.timed(kind):
            return must_be(await self.http.request(method, url, **what), status)
        return None

    async def thumbnails(self, urls: Sequence[str]) -> None:
        """As a browser gets those of an answer."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(url: str) -> None:
            async with places:
                await self.ask("thumbnail", "GET", url)

        await asyncio.gather(*(one(url) for url in dict.fromkeys(urls)))


class Visitor(Client):
    """Opens the page, uploads a picture, turns pages, goes on from a photo, looks into other tabs, leaves, and comes back."""

    def __init__(self, base: str, address: str | None, record: Record, seed: int, page: Page) -> None:
        super().__init__(base, address, record, seed)
        self.page = page
        self.session = ""
        self.shown: Sequence[str] = ()  # addresses of the thumbnails that the page shows

    async def work(self, pictures: Sequence[bytes], pause_s: float, rounds: int | None) -> None:
        """So many visits, with a pause of about `pause_s` after each thing done; without `rounds` until it is cancelled."""
        for _ in repeat(None) if rounds is None else range(rounds):
            self.session = uuid.uuid4().hex
            alive = asyncio.create_task(self._alive())  # a browser holds this open; that it ends is how a visit ends
            try:
                for step in (self._open, self._upload(pictures), self._turn, self._choose, self._turn, self._tabs):
                    await step()
                    await asyncio.sleep(self.random.expovariate(1 / pause_s) if pause_s else 0)
            finally:
                alive.cancel()
                with suppress(asyncio.CancelledError):
                    await alive

    async def _alive(self) -> None:
        with suppress(httpx.HTTPError):
            async with self.http.stream("GET", f"/gradio_api/heartbeat/{self.session}", timeout=None) as stream:
                async for _ in stream.aiter_bytes():
                    pass

    async def _open(self) -> None:
        await self.ask("page: open", "GET", "/")
        for event in self.page.loads():
            await self._event("page: first events", event)

    def _upload(self, pictures: Sequence[bytes]) -> Any:
        async def upload() -> None:
            name = f"{uuid.uuid4().hex[:8]}.jpg"
            picture = ("files", (name, changed(self.random.choice(pictures)), "image/jpeg"))
            answer = await self.ask("page: upload", "POST", "/gradio_api/upload", files=[picture])
            if answer is not None:
                given = {"path": answer.json()[0], "orig_name": name, "size": 1, "meta": {"_type": "gradio.FileData"}}
                await self._look("page: look", "query", "input", [given])

        return upload

    async def _turn(self) -> None:
        await self._look("page: next page", "neighbours", "turn", bring={"page": str(self.random.randint(1, 4))})

    async def _choose(self) -> None:
        if self.shown:
            photo = self.random.choice(self.shown).split("/")[2]
            await self._look("page: photo clicked", "neighbours", "choose", bring={"photo": photo})

    async def _tabs(self) -> None:
        await self._event("page: other tab", self.page.event("tab Duplicates", "select"))
        await self._event("page: other tab", self.page.event("tab Library", "select"))

    async def _look(self, kind: str, element: str, name: str, given: Sequence[Any] = (), bring: Any = None) -> None:
        found = await self._event(kind, self.page.event(element, name), given, bring)
        self.shown = FETCHED.findall(found) or self.shown
        await self.thumbnails(self.shown)

    async def _event(self, kind: str, event: dict[str, Any], given: Sequence[Any] = (), bring: Any = None) -> str:
        """What the page would show, as one JSON text; "" where it went wrong."""
        left = list(given)
        data = [
            None if one in self.page.states else left.pop(0) if left else self.page.values[one]
            for one in event["inputs"]
        ]
        sent = {"data": data, "event_data": bring, "fn_index": event["id"], "session_hash": self.session}
        sent["trigger_id"] = event["targets"][0][0]
        shown = ""
        async with self.record.timed(kind):
            if event["queue"]:
                must_be(await self.http.post("/gradio_api/queue/join", json=sent))
                shown = await self._told()
            else:
                shown = must_be(await self.http.post("/gradio_api/run/predict", json=sent)).text
            if ALERT in shown or json.dumps(ALERT)[1:-1] in shown:
                raise Unexpected(f"the page shows a problem: {shown[shown.index('alert') :][:200]}")
        return shown

    async def _told(self) -> str:
        """The end of the event that was joined last."""
        ended = ""
        async with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            must_be(stream)
            async for line in stream.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if message["msg"] == "process_completed":
                    ended = line
                    if not message["success"]:
                        raise Unexpected(line[:300])
                elif message["msg"] in ("close_stream", "unexpected_error"):
                    break
        if not ended:
            raise Unexpected("the stream ended before the event did")
        return ended


class Program(Client):
    """Uses the interface: searches by upload and by number, pages, reads photos and states."""

    async def work(self, pictures: Sequence[bytes], pause_s: float, rounds: int | None) -> None:
        """The same in rounds of a program's requests."""
        for _ in repeat(None) if rounds is None else range(rounds):
            file = {"file": ("a.jpg", changed(self.random.choice(pictures)), "image/jpeg")}
            await self.ask("api: look", "POST", "/api/look", files=file)
            files = {"files": ("b.jpg", changed(self.random.choice(pictures)), "image/jpeg")}
            found = await self.ask("api: search by upload", "POST", "/api/search", files=files)
            photos = [] if found is None else [one["photo_id"] for one in found.json()["pictures"]]
            await asyncio.sleep(self.random.expovariate(1 / pause_s) if pause_s else 0)
            for start in (0, 24, 48):
                if photos:
                    asked = {"photos": photos[0], "start": start, "count": 24}
                    await self.ask("api: page of a search", "POST", "/api/search", data=asked)
            await self.thumbnails([f"/photos/{one}/thumbnail" for one in photos])
            if photos:
                await self.ask("photo", "GET", f"/photos/{self.random.choice(photos)}")
                await self.ask("api: photo", "GET", f"/api/photos/{photos[0]}")
            for kind, url in (
                ("api: job", "/api/index"),
                ("api: duplicates", "/api/duplicates"),
                ("health", "/health"),
            ):
                await self.ask(kind, "GET", url)
            await asyncio.sleep(self.random.expovariate(1 / pause_s) if pause_s else 0)


def must_be(answer: httpx.Response, status: int = 200) -> httpx.Response:
    """The answer. Raises Unexpected where it has another status."""
    if answer.status_code != status:
        words = answer.text[:200] if answer.is_closed else ""
        raise Unexpected(f"{answer.status_code} {words}")
    return answer


def changed(picture: bytes) -> bytes:
    """The same JPEG as another file: what comes after its end is not decoded."""
    return picture + uuid.uuid4().bytes
