"""Drives the running page over HTTP, without a browser: what a hostile client would do as well."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx


class PageOverHTTP:
    """One visit. `look` and `choose` answer with all HTML and values that the page would show, as one JSON text."""

    def __init__(self, address: str, timeout_s: float = 60) -> None:
        self.client = httpx.Client(base_url=address, timeout=timeout_s)
        self.session = uuid.uuid4().hex
        self.config = self.client.get("/config").json()

    def __enter__(self) -> PageOverHTTP:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def upload(self, name: str, data: bytes, mime: str = "image/jpeg") -> httpx.Response:
        """The answer to one uploaded file."""
        return self.client.post("/gradio_api/upload", files={"files": (name, data, mime)})

    def look(self, file: Path, name: str | None = None) -> str:
        """What the page shows of an uploaded file."""
        answer = self.upload(name or file.name, file.read_bytes())
        assert answer.status_code == 200, answer.text
        return self.look_at(answer.json()[0], name or file.name)

    def look_at(self, path: Any, name: str = "x.jpg") -> str:
        """What the page shows of a path that it is told was uploaded."""
        given = {"path": path, "orig_name": name, "size": 1, "meta": {"_type": "gradio.FileData"}}
        return self.event("query", "input", [given])

    def choose(self, photo_id: Any) -> str:
        """What the page shows once a photo of the library was clicked."""
        return self.event("neighbours", "choose", [], {"photo": photo_id})

    def event(self, element: str, kind: str, data: list[Any], event_data: Any = None) -> str:
        """The answer to any event of the page."""
        answer = self.join(element, kind, data, event_data)
        if answer.status_code != 200:
            return answer.text
        told = []
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    told.append(line)
                    if json.loads(line[5:])["msg"] in ("process_completed", "close_stream"):
                        break
        return "\n".join(told)

    def join(self, element: str, kind: str, data: list[Any], event_data: Any = None) -> httpx.Response:
        """The answer to the request that puts an event into the queue."""
        ids = [part["id"] for part in self.config["components"] if part["props"].get("elem_id") == element]
        dependency = next(
            one
            for one in self.config["dependencies"]
            if any(list(target) == [ids[0], kind] for target in one["targets"])
        )
        values = {part["id"]: part["props"].get("value") for part in self.config["components"]}
        rest = [values.get(one) for one in dependency["inputs"][len(data) :]]  # as the page first shows them
        event = {
            "data": data + rest,
            "event_data": event_data,
            "fn_index": dependency["id"],
            "trigger_id": ids[0],
            "session_hash": self.session,
        }
        return self.client.post("/gradio_api/queue/join", json=event)
