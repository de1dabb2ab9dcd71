"""Who gets an answer at all, and what every answer of the server carries."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import math
import re
from collections.abc import Collection
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.password import Attempts, Hashed, Sessions

# Gradio's page needs inline scripts and eval; what it must never do is to reach for another host.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
}
# Gradio lets every page of the same computer read its answers, and, on any other host, every page there is.
NOT_OURS = ("access-control-allow-origin", "access-control-allow-credentials")
READING = ("GET", "HEAD")
OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)
_GUESSES_AT_ONCE = 2  # each takes 32 MiB and a core


class Guard:
    """ASGI middleware: refuses requests under another host's name, from another host's page, and without the password.

    `names` are the host names that are right besides the address that was reached. A password comes by HTTP Basic, under any
    user name; a session cookie stands for it afterwards.
    """

    def __init__(
        self, app: ASGIApp, password: Hashed | None, names: Collection[str] = (), attempts: Attempts | None = None
    ) -> None:
        self.app = app
        self.password = password
        self.names = frozenset(name.lower() for name in names)
        self.attempts = attempts or Attempts()
        self.sessions = Sessions()
        self._guessing = asyncio.Semaphore(_GUESSES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        cookie = ""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in NOT_OURS:
                    del headers[name]
                for name, value in HEADERS.items():
                    headers[name] = value
                if cookie:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._wrong_host(scope, headers) or self._from_elsewhere(scope, headers)
        if refusal is None and self.password is not None:
            refusal, token = await self._asked(self.password, scope, headers)
            if token:
                secure = "; Secure" if scope["scheme"] in ("https", "wss") else ""
                cookie = f"{_cookie_name(scope)}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
        if refusal is None:
            await self.app(scope, receive, send_guarded)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send_guarded)

    def _wrong_host(self, scope: Scope, headers: Headers) -> Response | None:
        """A page whose name was made to lead to this computer (DNS rebinding) still sends its own name."""
        given = headers.getlist("host")
        name = _host_name(given[0]) if len(given) == 1 else None
        # The port is not compared: it is another one behind a tunnel, and a name alone shows whose page asks.
        if name is not None and self._is_ours(name, scope):
            return None
        return PlainTextResponse(
            "This server does not go by the host name that was asked for. Use the address that it printed at its start; "
            "where a proxy or a name of your network stands before it, start it with --name NAME.\n",
            421,
        )

    def _is_ours(self, name: str, scope: Scope) -> bool:
        reached = (scope.get("server") or ("", None))[0].lower()  # the address of this end of the connection
        if name in self.names or name == reached:
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(reached).is_loopback and name in OWN_NAMES
        return False

    def _from_elsewhere(self, scope: Scope, headers: Headers) -> Response | None:
        """A page of another site can send a browser here, but may neither read nor change anything through it."""
        method = scope.get("method", "GET")
        site = headers.get("sec-fetch-site", "none")
        is_visit = method in READING and headers.get("sec-fetch-mode") == "navigate"
        is_foreign = site in ("cross-site", "same-site") and not is_visit
        origin = headers.get("origin")
        if origin is not None and not self._is_own_page(origin, site, headers):
            is_foreign = True
        if not is_foreign:
            return None
        return PlainTextResponse("Refused: this was asked by a page of another site.\n", 403)

    def _is_own_page(self, origin: str, site: str, headers: Headers) -> bool:
        if origin == "null":  # what a page without referrers sends; no page can write Sec-Fetch-Site itself
            return site == "same-origin"
        try:
            parts = urlsplit(origin)
            named = (parts.hostname or "").lower() in self.names
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and (named or parts.netloc.lower() == headers["host"].lower())

    async def _asked(self, password: Hashed, scope: Scope, headers: Headers) -> tuple[Response | None, str]:
        """(a refusal or None, a new session's token or nothing)."""
        if self._in_session(scope, headers):
            return None, ""
        given = _basic_password(headers.get("authorization", ""))
        if given is None:
            return _unknown(), ""
        client = (scope.get("client") or ("", 0))[0]
        async with self._guessing:
            if wait := self.attempts.wait_s(client):
                seconds = math.ceil(wait)
                words = f"Too many wrong passwords. Try again in {seconds} s.\n"
                return PlainTextResponse(words, 429, {"Retry-After": str(seconds)}), ""
            if await asyncio.to_thread(password.is_of, given):
                self.attempts.passed(client)
                return None, self.sessions.begin()
            self.attempts.failed(client)
            return _unknown(), ""

    def _in_session(self, scope: Scope, headers: Headers) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            cookies.load(headers.get("cookie", ""))
        token = cookies.get(_cookie_name(scope))
        return token is not None and self.sessions.know(token.value)


def _unknown() -> Response:
    challenge = {"WWW-Authenticate": 'Basic realm="RegConv", charset="UTF-8"'}
    return PlainTextResponse("This library asks for its password.\n", 401, challenge)


def _cookie_name(scope: Scope) -> str:
    """By the port: a browser's cookies are shared by all servers of a computer."""
    return f"regconv-{(scope.get('server') or ('', 0))[1] or 0}"


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    return match["name"].strip("[]").lower().rstrip(".") if match else None


def _basic_password(header: str) -> bytes | None:
    """The password of an Authorization header, None where there is none or it can't be read: that is no guess."""
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None
