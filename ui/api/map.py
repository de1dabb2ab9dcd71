"""The interface's routes about the map of the library: where it is, draw it, stop; and the script that plots it on the page."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ui.api.models import Name, OfDisk, PhotoId
from ui.api.route import PlainRoute, Refused, WorkRoute, refusals
from ui.api.uploads import in_words
from ui.map_handlers import EDGE, MapDrawing
from ui.tabs.map_markup import PLOTLY

LEVEL = 6  # of gzip: 9 takes twice as long for 1 % less
FOR_EVER = "private, max-age=31536000, immutable"


class MapState(BaseModel):
    """Where the map is."""

    running: bool = Field(description="Whether one is being drawn")
    percent: int = Field(description="How much of that is done", examples=[40])
    shown: int = Field(description="Pictures on the map that can be had; while one is drawn 0", examples=[154])
    total: int = Field(description="Photos of the library, copies too", examples=[154])
    new: int = Field(description="Pictures that are not on it yet: POST /api/map/draw", examples=[0])
    is_sample: bool = Field(description="Whether it shows some only, chosen at random")
    problem: str | None = Field(description="Why the last drawing came to nothing", examples=[None])


class MapColours(BaseModel):
    """One way to group the points."""

    name: str = Field(description="What by", examples=["Label"])
    groups: list[OfDisk] = Field(description="The largest groups, the largest first", examples=[["cat", "rocket"]])
    of: list[int] = Field(
        description="Each point's group, counted from 0; one more than there are: another", examples=[[0, 2]]
    )


class MapAnswer(BaseModel):
    """The points of the map: pictures that the network finds alike lie close together. Lists of the same length."""

    stamp: str = Field(description="Names the map; empty where none was drawn yet", examples=["d5089d9e4889"])
    photos: list[PhotoId] = Field(description="A photo for each point; copies have one together")
    names: list[Name] = Field(description="Their names")
    x: list[int] = Field(description=f"From left to right, 0 to {EDGE:,}", examples=[[0, 65535]])
    y: list[int] = Field(description=f"Upwards, 0 to {EDGE:,}, in the same measure", examples=[[0, 40000]])
    colourings: list[MapColours] = Field(description="By label, by taught word, by folder, where there are any")


def map_routes(drawing: MapDrawing) -> APIRouter:
    """The routes of one library's map."""
    router = APIRouter(tags=["map"])
    plain = APIRouter(prefix="/api/map", route_class=PlainRoute)
    work = APIRouter(prefix="/api/map", route_class=WorkRoute)

    @plain.get("", summary="Where the map is", responses=refusals())
    def state() -> MapState:
        """It is drawn in the background, whoever asked for it."""
        return _state(drawing)

    @work.get("/points", summary="The points of the map", response_model=MapAnswer, responses=refusals(429))
    def points(request: Request) -> Response:
        """All of them at once: where gzip is accepted, some 11 bytes for each picture and its name."""
        found = MapAnswer.model_validate(drawing.points(), from_attributes=True).model_dump_json().encode()
        return _packed(request, gzip.compress(found, LEVEL), lambda: found, "application/json", "no-store")

    @plain.post("/draw", status_code=202, summary="Draw the map", responses=refusals())
    def draw() -> MapState:
        """Begins unless that is at work, and answers at once; GET /api/map says how it goes."""
        drawing.start()
        return _state(drawing)

    @plain.post("/stop", status_code=202, summary="Stop drawing the map", responses=refusals(409))
    def stop() -> MapState:
        """It ends after its current step; an older map stays."""
        if not drawing.view().running:
            raise Refused(409, "No map is being drawn.")
        drawing.stop()
        return _state(drawing)

    @router.get(PLOTLY, include_in_schema=False)
    def plotly(request: Request) -> Response:
        return _packed(request, _packed_plotly(), _plotly, "text/javascript", FOR_EVER)

    router.include_router(plain)
    router.include_router(work)
    return router


def _state(drawing: MapDrawing) -> MapState:
    view = drawing.view()
    problem = None if view.problem is None else in_words(view.problem)
    return MapState(
        running=view.running, percent=view.percent, shown=view.shown, total=view.total, new=view.new,
        is_sample=view.is_sample, problem=problem,
    )  # fmt: skip


def _packed(request: Request, packed: bytes, plain: Callable[[], bytes], kind: str, cache: str) -> Response:
    headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(plain(), media_type=kind, headers=headers)
    return Response(packed, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})


def _plotly() -> bytes:
    found = find_spec("plotly")  # not imported: only its script is used
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes()


@functools.cache
def _packed_plotly() -> bytes:
    return gzip.compress(_plotly())
