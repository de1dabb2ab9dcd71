"""The library over HTTP: the page's handlers as typed routes below /api/, described in /openapi.json and on /api/ itself.

Errors are {"error": words} with the status that fits. Whoever asks for much work waits in turn (ui/api/turns.py).
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.routing import Match

from ui.api.duplicates import duplicate_routes
from ui.api.library import doctor_routes, job_routes, overview_routes, photo_routes
from ui.api.map import map_routes
from ui.api.page import api_page
from ui.api.pictures import picture_routes
from ui.api.route import PhotoTurns
from ui.api.turns import LIGHT, Turns
from ui.context import PageContext

_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]


def add_api(app: FastAPI, context: PageContext) -> None:
    """Add the interface of one library to an application, before anything is mounted on the rest of its paths."""
    library = context.library
    app.state.turns, app.state.light_turns = Turns(), Turns(**LIGHT)
    app.add_middleware(PhotoTurns, turns=app.state.light_turns)
    for router in (
        picture_routes(library),
        photo_routes(library),
        overview_routes(library),
        duplicate_routes(context.duplicates),
        map_routes(context.map),
        job_routes(library, context.runner),
        doctor_routes(library),
    ):
        app.include_router(router)

    @app.get("/api", include_in_schema=False)
    @app.get("/api/", include_in_schema=False)
    def described() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    @app.api_route("/api/{rest:path}", methods=_ALL_METHODS, include_in_schema=False)
    def unknown(rest: str, request: Request) -> JSONResponse:
        here = [route for route in app.routes if route.matches(request.scope)[0] is Match.PARTIAL]
        if here:
            return JSONResponse({"error": f"{request.method} is not for /api/{rest}; /api/ says what is."}, 405)
        return JSONResponse({"error": f"There is no /api/{rest}; /api/ says what there is."}, 404)
