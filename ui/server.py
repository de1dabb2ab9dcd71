"""The web server: photos by their id, health, and the page mounted on the rest. Nothing is served by path.

`build_app` makes the application, `serve` runs it until it is interrupted.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import gradio as gr
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Response

from index.decode import DecoderClosed
from index.errors import LibraryError
from index.gpu import faiss_device
from index.library import Library
from index.runner import Runner
from regconv.errors import RegconvError, UnreadableImage
from ui.api.routes import add_api
from ui.context import PageContext
from ui.guard import Guard
from ui.handlers import model_name
from ui.page import build_page
from ui.page_routes import PageRoutes
from ui.password import hashed, kept
from ui.theme import HEAD, STYLES, theme
from ui.visits import Visits

UPLOAD_BYTES = 128 << 20  # of one upload; scans and panoramas are well below
KEPT_S = 300  # a browser may show a photo this long without asking again: a file may change under its id
THUMBNAIL_SIDE = 256
QUEUE_S = 0.01  # between two looks for events that wait; with Gradio's own 0.001 an idle server takes 8 % of a core
END_S = 10  # for a job's current step when the server ends
GRACE_S = 1  # for open connections when the server ends; the page keeps one open all the time

_LOG = logging.getLogger("uvicorn.error")


class ServerError(Exception):
    """The server can't be started as asked; the message says what to do."""


def build_app(
    library: Library,
    runner: Runner | None = None,
    *,
    password: str | None = None,
    names: Collection[str] = (),
    as_demo: bool = False,
) -> FastAPI:
    """The whole application of one library.

    Everything asks for the password, this one or else the one that the library keeps, under any user name. `names` are host
    names besides the server's own address. `as_demo` lets others in without a password where the library can only be read.

    Raises PasswordError for a password that is too short, or a kept one that can't be read.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_warm, args=(library,), name="warm", daemon=True).start()
        yield

    # Without FastAPI's documentation pages: they load scripts from another host.
    app = FastAPI(title="RegConv", docs_url=None, redoc_url=None, lifespan=lifespan)
    secret = hashed(password) if password else kept(library)
    app.state.is_open = secret is None
    app.state.context = context = PageContext.of(library, runner)
    app.state.is_demo = as_demo and library.catalog.is_read_only
    app.state.names = frozenset(names)
    _add_photos(app, library)
    _add_health(app, library)
    add_api(app, context)
    page = build_page(context)
    gr.mount_gradio_app(
        app, page, path="/", theme=theme(), css_paths=STYLES, head=HEAD, footer_links=[], run_history=False, ssr_mode=False,
        pwa=False, mcp_server=False, enable_monitoring=False, max_file_size=UPLOAD_BYTES, show_error=True,
        blocked_paths=[str(library.folder)],
    )  # fmt: skip
    mounted = app.routes[-1].app  # type: ignore[attr-defined]
    mounted.state_holder = Visits(page)
    page._queue.sleep_when_free = QUEUE_S
    mounted.add_middleware(PageRoutes, upload_bytes=UPLOAD_BYTES)
    app.add_middleware(Guard, password=secret, names=names)
    return app


def serve(
    app: FastAPI, host: str = "127.0.0.1", port: int = 7860, *, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until interrupted; `ready` gets the address once the page can be opened. Port 0 takes a free one.

    Setting `app.state.server.should_exit` from another thread ends it too.

    Raises ServerError where the port is taken, or where others could reach an application without a password.
    """
    if app.state.is_open and not app.state.is_demo and (app.state.names or not is_loopback(host)):
        raise ServerError(
            f"On {', '.join([host, *sorted(app.state.names)])} everybody who reaches this computer could see all photos of the "
            "library. Give --password, or leave --host and --name out to serve this computer only. (A demo of a library that "
            "can only be read needs no password: take the right to write from its folder and start `demo`.)"
        )
    listening = _listen(host, port)
    address = _address(host, listening.getsockname()[1])
    # Without a log configuration of its own uvicorn stays quiet; warnings and errors still go to stderr.
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S)
    app.state.server = _Server(config, lambda: ready(address) if ready else None)
    level = _LOG.level
    try:
        with listening:
            app.state.server.run(sockets=[listening])
    finally:
        app.state.context.end(END_S)
        _LOG.setLevel(level)


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach an address."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _LOG.setLevel(logging.CRITICAL)  # that an open page's stream is cut off is no error to tell anybody
        await super().shutdown(sockets)


def opening(library: Library, host: str, port: int, *, has_password: bool) -> str:
    """What another address than this computer's own opens, in words for the person who starts the server."""
    numbers = library.catalog.counts(library.space_id)
    where = ", ".join(_address(one, port) for one in reached_at(host))
    lines = [f"Open to other computers at {where}: {numbers['present']:,} photos with their names, folders and dates."]
    if has_password:
        lines.append(
            "Whoever has the password can look at them, upload pictures, index any folder of this computer, and teach."
        )
    else:
        lines.append(
            "Anybody can look at them and upload pictures, without a password. The library itself can't be changed."
        )
    lines.append(
        "Nothing is encrypted on the way, the password neither: beyond a network that you trust, put a proxy with TLS in "
        "front (Caddy, nginx), keep RegConv on 127.0.0.1 and start it with --name NAME."
    )
    return "\n".join(lines)


def reached_at(host: str) -> list[str]:
    """The addresses of this computer that listening on `host` opens."""
    try:
        if not ipaddress.ip_address(host or "0.0.0.0").is_unspecified:
            return [host]
    except ValueError:
        return [host]
    found = {str(info[4][0]) for info in _own_addresses() if ":" not in str(info[4][0]) or ":" in host}
    return sorted(address for address in found if not is_loopback(address)) or [host]


def _own_addresses() -> list[tuple]:
    with suppress(OSError):
        return list(socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM))
    return []


def _add_photos(app: FastAPI, library: Library) -> None:
    @app.get("/photos/{photo_id}", summary="A photo as an upright JPEG without metadata")
    def photo(photo_id: int, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        path, digest = _find(library, photo_id)
        return _jpeg(lambda: library.decoder.view(path), f'"{digest}"', if_none_match)

    @app.get("/photos/{photo_id}/thumbnail", summary="A photo as a small JPEG")
    def thumbnail(photo_id: int, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        path, digest = _find(library, photo_id)

        def small() -> bytes:
            return library.thumbnails.read(digest) or library.decoder.view(path, max_side=THUMBNAIL_SIDE)

        return _jpeg(small, f'"{digest}-small"', if_none_match)


def _add_health(app: FastAPI, library: Library) -> None:
    @app.get("/health", summary="Whether the library answers, and with what")
    def health() -> dict[str, str | int]:
        now = library.follow()
        numbers = now.catalog.counts(now.space_id)
        return {"status": "ok", "photos": numbers["present"], "model": model_name(now), "faiss": faiss_device()}


def _find(library: Library, photo_id: int) -> tuple[str, str]:
    """(path, digest) of a photo that is there to be seen."""
    photo = library.catalog.photo(photo_id) if 0 < photo_id < 2**63 else None
    if photo is None:
        raise HTTPException(404, f"There is no photo with the number {photo_id} in this library.")
    if photo.state == "gone":
        raise HTTPException(410, f"Photo {photo_id} is no longer in its folder.")
    if photo.state == "unreadable" or photo.digest is None:
        raise HTTPException(404, f"Photo {photo_id} could not be read: {photo.reason or 'no reason was kept'}.")
    return photo.path, photo.digest


def _jpeg(read: Callable[[], bytes], etag: str, if_none_match: str | None) -> Response:
    headers = {"Cache-Control": f"private, max-age={KEPT_S}", "ETag": etag}
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    try:
        return Response(read(), media_type="image/jpeg", headers=headers)
    except UnreadableImage as error:
        raise HTTPException(410, f"This photo can't be read any more: {error.reason}.") from error


def _warm(library: Library) -> None:
    """Load the network and start the decoders before a person waits for them; what goes wrong is said where it is needed."""
    with suppress(LibraryError, RegconvError, OSError, DecoderClosed):
        library.backbone  # noqa: B018
        library.decoder.view(os.devnull)  # refused, by a worker that now runs


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServerError(f"{host} is no address of this computer: {error.strerror}.") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ServerError(
            f"Port {port} on {host} can't be used ({error.strerror}). Choose another with --port."
        ) from error
    return listening


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
