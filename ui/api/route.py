"""How every request to the interface is treated: limits before its body is read, one shape for all errors, turns."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from index.decode import DecoderClosed
from index.errors import LibraryError
from regconv.errors import RegconvError, UnreadableImage
from ui.api.models import Problem
from ui.api.turns import WAIT_S, TooMany, Turns

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 2**20  # of a request with files, all together
MOST_PLAIN_BYTES = 2**20  # of any other
MOST_FILES = 16
MOST_FIELDS = 256
FIELD_BYTES = 2**16
UPLOAD_S = 120  # for a request's body to arrive

# From the root on to the last separator: what is left of a path is its file's name. Names of models have no "/" in front.
_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^/\n:;'\"]+/)+")

ERRORS = {
    400: "The request is not well formed.",
    404: "There is no such photo.",
    409: "A job is at work, or none is.",
    413: "The request is too large.",
    415: "A file is no picture.",
    422: "It can't be done; the words say why.",
    429: "This client has too many requests waiting; Retry-After says when to try again.",
    500: "The server failed; its log says more.",
    503: "The network can't be had, or too many others wait.",
}


class Refused(Exception):
    """The request is answered with this status and these words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says of its errors in the OpenAPI document; those that any route may give are among them."""
    return {status: {"model": Problem, "description": ERRORS[status]} for status in sorted({422, 500, *statuses})}


def without_folders(text: str) -> str:
    """Words in which a path of the computer is only its last part."""
    return _FOLDERS.sub("", text)


class PlainRoute(APIRoute):
    """A route whose errors are all {"error": words}; in light turns, `app.state.light_turns`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            counted = _Counted(request)
            try:
                counted.must_fit()
                try:
                    return await self.answered(original, Request(request.scope, counted))
                except Exception:
                    counted.must_have_fitted()
                    raise
            except Exception as error:  # noqa: BLE001  whatever it is, a client reads one shape
                return refusal(error)

        return handle

    async def answered(
        self, original: Callable[[Request], Coroutine[Any, Any, Response]], request: Request
    ) -> Response:
        """The answer to a request whose size is watched."""
        turns, client = self.turns(request), _client(request.scope)
        async with turns.place(client):
            try:
                async with asyncio.timeout(UPLOAD_S):
                    await self.read(request)
                async with turns.turn(client):
                    if await request.is_disconnected():
                        raise Refused(400, "The client has gone away.")
                    return await original(request)
            finally:
                await request.close()

    def turns(self, request: Request) -> Turns:
        """Those that it takes part in."""
        return request.app.state.light_turns

    async def read(self, request: Request) -> None:
        """Takes the body in, and keeps it for FastAPI to find."""
        await request.body()


class WorkRoute(PlainRoute):
    """A route that takes pictures or works hard: in turns, `app.state.turns`."""

    def turns(self, request: Request) -> Turns:
        return request.app.state.turns

    async def read(self, request: Request) -> None:
        if request.headers.get("content-type", "").startswith(("multipart/", "application/x-www-form")):
            await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)


class PhotoTurns:
    """ASGI middleware: photos are read in light turns, so that who asks for many leaves threads to others."""

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self.app, self.turns = app, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/photos/"):
            await self.app(scope, receive, send)
            return
        client = _client(scope)
        try:
            async with AsyncExitStack() as held:
                await held.enter_async_context(self.turns.place(client))
                await held.enter_async_context(self.turns.turn(client))

                async def send_on(message: Message) -> None:
                    await held.aclose()  # who reads an answer slowly holds nobody up
                    await send(message)

                await self.app(scope, receive, send_on)
        except TooMany as error:
            await refusal(error)(scope, receive, send)


class _TooLarge(MultiPartException):
    """Ends the reading of a form in the way that frees what was read of it."""


class _Counted:
    """A request's body as it arrives, to the limit."""

    def __init__(self, request: Request) -> None:
        kind = request.headers.get("content-type", "")
        self.most = MOST_BYTES if kind.startswith("multipart/") else MOST_PLAIN_BYTES
        self.announced = request.headers.get("content-length", "")
        self.read = 0
        self._receive: Receive = request.receive

    async def __call__(self) -> Message:
        message = await self._receive()
        self.read += len(message.get("body", b""))
        if self.read > self.most:
            raise _TooLarge("too large")
        return message

    def must_fit(self) -> None:
        if self.announced.isdecimal() and int(self.announced) > self.most:
            raise self._refused()

    def must_have_fitted(self) -> None:
        """Reading a body turns an end that was made to it into an error of its own."""
        if self.read > self.most:
            raise self._refused()

    def _refused(self) -> Refused:
        return Refused(413, f"The request is too large: at most {self.most // 2**20} MiB, all files together.")


def _client(scope: Scope) -> str:
    """A client is known by its address."""
    return (scope.get("client") or ("", 0))[0]


def refusal(error: Exception) -> JSONResponse:
    """What a client gets in place of an answer."""
    status, words = _said(error)
    if status == 500:
        log.error("The interface failed.", exc_info=error)
    headers = {"Retry-After": str(WAIT_S)} if isinstance(error, TooMany) else None
    return JSONResponse({"error": words}, status, headers)


def _said(error: Exception) -> tuple[int, str]:
    match error:
        case Refused():
            return error.status, error.words
        case TooMany(is_yours=True):
            return (
                429,
                f"This client has too many requests waiting. Try again in {WAIT_S} seconds, and wait for answers.",
            )
        case TooMany():
            return 503, f"Too many requests wait. Try again in {WAIT_S} seconds."
        case RequestValidationError():
            return 422, "; ".join(dict.fromkeys(_field(one) for one in error.errors()))
        case HTTPException():
            return error.status_code, str(error.detail)
        case TimeoutError():
            return 400, f"The request's body did not arrive within {UPLOAD_S} seconds."
        case UnreadableImage():
            return 422, f"{os.path.basename(error.path)} could not be read as a picture: {error.reason}."
        case LibraryError() | RegconvError():
            return 422, without_folders(str(error))
        case DecoderClosed():
            return 503, "The server is about to end."
    return 500, ERRORS[500]


def _field(one: dict[str, Any]) -> str:
    if one["loc"] == ("body",) or one["type"] == "json_invalid":
        return "The body must be a JSON object, sent as application/json."
    place = ".".join(str(part) for part in one["loc"][1:])
    return f"{place}: {one['msg']}" if place else str(one["msg"])
