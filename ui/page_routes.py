"""What of Gradio's own routes is open: those that the page itself uses, and no file or address but its uploads."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

# Everything else that Gradio brings (proxy, monitoring, login, run history, recordings, …) is not there.
OPEN = re.compile(
    r"/(config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(assets|static|svelte)/.*)?"
    r"|/gradio_api/(info/?|app_id/?|startup-events|upload|upload_progress|cancel|reset/?|theme\.css|heartbeat/\w+"
    r"|queue/(join|data)/?|run/predict/?|file=.*)"
)
SMALLER = re.compile(
    r"/(config/?|theme\.css|(assets|static|svelte)/.*)?"
)  # texts that are a third as large when compressed
EVENTS = re.compile(r"/gradio_api/(queue/join|run/predict)/?")
FILE = "/gradio_api/file="
UPLOAD = "/gradio_api/upload"
SHOWN = frozenset(f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif", "bmp", "avif"))  # none can hold a script

EVENT_BYTES = 4 << 20  # of one event: words and numbers, pictures come as uploads
UPLOAD_OVERHEAD = 64 << 10  # what a form may have besides its files
UNDER_WAY = 4  # so many uploads of the largest size may be under way in all
PATIENCE_S = 60.0  # for the next piece of a body


class Refused(Exception):
    """A request that gets no further; the message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class PageRoutes:
    """ASGI middleware around Gradio's application. An upload may be `upload_bytes` in all, its parts together."""

    def __init__(self, app: ASGIApp, upload_bytes: int) -> None:
        self.app = app
        self._compressing = GZipMiddleware(app, minimum_size=1024, compresslevel=6)
        self.upload_bytes = upload_bytes
        self._under_way = 0  # bytes of uploads that have come in and are not answered
        self._uploading = 0  # how many uploads these are, and since when there are any
        self._since = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._answer(scope, receive, noted)
        except Refused as refusal:
            if not started:
                await _words(refusal)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] != "http" or not OPEN.fullmatch(path) or "\0" in path:
            raise Refused(404, "There is nothing here.")
        if path.startswith(FILE):
            if not _is_upload(path.removeprefix(FILE)):
                raise Refused(404, "There is no such upload.")
            send = _never_a_page(send)
        if scope["method"] != "POST":
            await (self._compressing if SMALLER.fullmatch(path) else self.app)(scope, receive, send)
        elif path == UPLOAD:
            await self._upload(scope, receive, send)
        elif EVENTS.fullmatch(path):
            await self._event(scope, receive, send)
        else:
            await self.app(scope, self._limited(receive, EVENT_BYTES), send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = self.upload_bytes + UPLOAD_OVERHEAD
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise self._too_large(self.upload_bytes)
        mine = 0
        limited = self._limited(receive, most)

        async def counted() -> Message:
            nonlocal mine
            message = await limited()
            size = len(message.get("body", b""))
            mine += size
            self._under_way += size
            if self._under_way > UNDER_WAY * most:
                raise Refused(503, "Too many uploads are under way. Try again in a minute.")
            return message

        if not self._uploading:
            self._since = time.time()
        self._uploading += 1
        try:
            await self.app(scope, counted, send)
        except ClientDisconnect:
            pass  # nobody is left to be told
        except Refused:
            raise
        except Exception as error:  # Gradio falls over forms that no browser makes
            log.info("An upload could not be read.", exc_info=True)
            raise Refused(400, "This form can't be read. Send one file with a name.") from error
        finally:
            self._uploading -= 1
            self._under_way -= mine
            await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        """Deletes what Gradio leaves of uploads that were refused or given up half way."""
        oldest = self._since if not self._uploading else 0.0
        too_old = time.time() - 2 * PATIENCE_S  # nothing comes so late to one that is still under way
        for path in Path(get_upload_folder()).glob("tmp*"):
            with suppress(OSError):  # another sweep was faster
                changed = path.stat().st_mtime
                if path.is_file() and (changed < too_old or (oldest and changed >= oldest - 1)):
                    path.unlink()

    async def _event(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        limited = self._limited(receive, EVENT_BYTES)
        more = True
        while more:
            message = await limited()
            if message["type"] != "http.request":
                return  # the client is gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            event = json.loads(body)
            paths = list(_paths(event))
        except (ValueError, RecursionError) as error:
            raise Refused(400, "An event of the page is one JSON object.") from error
        if not isinstance(event, dict) or not all(_is_upload(path) for path in paths):
            raise Refused(400, "An event of the page may name files only that were uploaded to it.")
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)

    def _limited(self, receive: Receive, most: int) -> Receive:
        """`receive` that counts what really comes, whatever was announced, and does not wait for ever."""
        come = 0
        complete = False

        async def limited() -> Message:
            nonlocal come, complete
            if complete:
                return await receive()  # waits for the client to go, which may take long
            try:
                message = await asyncio.wait_for(receive(), PATIENCE_S)
            except TimeoutError as error:
                raise Refused(408, f"Nothing came for {PATIENCE_S:.0f} s.") from error
            come += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if come > most:
                raise self._too_large(most)
            return message

        return limited

    def _too_large(self, most: int) -> Refused:
        return Refused(413, f"That is too large: at most {most / (1 << 20):.0f} MB.")


def _words(refusal: Refused) -> Response:
    # The rest of the body is not read: the connection can't be used again.
    headers = {"Connection": "close"} if refusal.status in (408, 413, 503) else {}
    return PlainTextResponse(f"{refusal}\n", refusal.status, headers)


def _never_a_page(send: Send) -> Send:
    """`send` for an upload: a picture is shown, all else only saved. Gradio would show an SVG, with the scripts in it."""

    async def checked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").partition(";")[0] not in SHOWN:
                headers["Content-Type"] = "application/octet-stream"
                headers["Content-Disposition"] = "attachment"
        await send(message)

    return checked


def _is_upload(path: Any) -> bool:
    """Whether a path, with all links followed, is a file in the folder of the page's uploads."""
    if not isinstance(path, str) or "\\" in path:
        return False
    try:
        folder, file = Path(get_upload_folder()).resolve(), Path(path)
        return file.is_absolute() and file.resolve().is_relative_to(folder) and file.is_file()
    except (ValueError, OSError, RuntimeError):  # a null byte, a name too long, a circle of links
        return False


def _paths(value: Any) -> Iterator[Any]:
    """Everything that Gradio might take for the path of a file, however deep it lies."""
    if isinstance(value, dict):
        if value.get("path") is not None:
            yield value["path"]
        for one in value.values():
            yield from _paths(one)
    elif isinstance(value, list):
        for one in value:
            yield from _paths(one)
