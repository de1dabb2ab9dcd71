"""The interface's routes that look at pictures: look, stages, search, why."""

from __future__ import annotations

import io
import math
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Form, Path, Query, Response, UploadFile

from index.library import Library
from index.look import Look, look_at
from regconv.errors import UnreadableImage
from ui.api.models import (
    Cell,
    Label,
    LookAnswer,
    PartWhy,
    SearchAnswer,
    SearchPicture,
    Similar,
    StageShape,
    WhyAnswer,
)
from ui.api.route import Refused, WorkRoute, refusals
from ui.api.uploads import in_words, must_do, must_know, must_see, uploaded
from ui.filter_options import FORMATS
from ui.handlers import LookResult, look_at_photo, look_at_upload
from ui.maps import encoded, stage_picture
from ui.search_handlers import PAGE, Ask, Pick, search
from ui.seeing_handlers import CellView, PartView, why

MOST_SHOWN = 200
FARTHEST = 10_000  # pictures before a page: each page is a search for all before it

OnePicture = Annotated[UploadFile, File(description="A picture file")]
Files = Annotated[list[UploadFile], File(description="Picture files; the field may come several times")]
Ids = Annotated[list[int], Form(description="Numbers of photos of the library; the field may come several times")]
PhotoNumber = Annotated[int, Path(description="Number of a photo", ge=1, lt=2**63)]
Kind = Annotated[Literal["npz", "png"], Query(description="npz: all maps as numbers; png: one stage as a picture")]
StageName = Annotated[str | None, Query(description="For png: the stage, the last by default", examples=["stage2"])]

_MAPS: dict[str, Any] = {
    "description": "NPZ: an array float32 (channels, height, width) of each stage, and `picture`, uint8 (height, width, 3), "
    "as the network got it. PNG: the strongest channels of a stage, a tile each.",
    "content": {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
    },
}


def picture_routes(library: Library) -> APIRouter:
    """The routes of one library."""
    router = APIRouter(prefix="/api", route_class=WorkRoute, tags=["pictures"])
    _add_looks(router, library)
    _add_stages(router, library)
    _add_search(router, library)
    _add_why(router, library)
    return router


def _add_looks(router: APIRouter, library: Library) -> None:
    upload_errors = refusals(400, 413, 415, 429, 503)

    @router.post("/look", summary="Labels, stages and similar photos of an upload", responses=upload_errors)
    def look(file: OnePicture) -> LookAnswer:
        """What the network calls a picture, the shapes of its stages, and the photos of the library that are most alike."""
        must_see(library)
        with uploaded([file]) as [[upload]]:
            result = look_at_upload(library, upload.path, upload.name)
            must_do(result.problem, [upload])
        return _look(result)

    @router.get("/photos/{photo_id}/look", summary="The same of a photo", responses=refusals(404, 429, 503))
    def look_photo(photo_id: PhotoNumber) -> LookAnswer:
        """Where the photo's file is out of reach, its stored vectors answer and `problem` says so."""
        must_know(library, [photo_id])
        must_see(library)
        result = look_at_photo(library, photo_id)
        if not result.sheets and not result.hits:
            must_do(result.problem)
        return _look(result)


def _add_stages(router: APIRouter, library: Library) -> None:
    @router.post(
        "/stages", summary="Maps of an upload", response_class=Response,
        responses=refusals(400, 413, 415, 429, 503) | {200: _MAPS},
    )  # fmt: skip
    def stages(file: OnePicture, kind: Kind = "npz", stage: StageName = None) -> Response:
        """What the stem and every stage of the network give for a picture."""
        must_see(library)
        with uploaded([file]) as [[upload]]:
            try:
                seen = look_at(library.follow(), upload.path)
            except UnreadableImage as error:
                raise Refused(422, f"{upload.name} could not be read as a picture: {error.reason}.") from error
        return _maps(library, seen, kind, stage)

    @router.get(
        "/photos/{photo_id}/stages", summary="Maps of a photo", response_class=Response,
        responses=refusals(404, 429, 503) | {200: _MAPS},
    )  # fmt: skip
    def photo_stages(photo_id: PhotoNumber, kind: Kind = "npz", stage: StageName = None) -> Response:
        """What the stem and every stage of the network give for a photo of the library."""
        must_know(library, [photo_id])
        must_see(library)
        now = library.follow()
        photo = now.catalog.photo(photo_id)
        assert photo is not None  # just asked for, and none is ever taken out of the catalogue
        return _maps(library, look_at(now, photo.path), kind, stage)


def _add_search(router: APIRouter, library: Library) -> None:
    @router.post("/search", summary="Photos like these, unlike those", responses=refusals(400, 404, 413, 415, 429, 503))
    def search_photos(
        photos: Ids = [],  # noqa: B006  FastAPI copies defaults
        files: Files = [],  # noqa: B006
        unlike_photos: Ids = [],  # noqa: B006
        unlike_files: Files = [],  # noqa: B006
        weights: Annotated[
            list[float],
            Form(description="How much each counts, of photos and then of files; 1 each where none is given"),
        ] = [],  # noqa: B006
        words: Annotated[list[str], Form(description="Labels or taught words that all must fit")] = [],  # noqa: B006
        like: Annotated[
            Literal["colour", "pattern", "parts", "subject"] | None, Form(description="Kind of alike")
        ] = None,
        stages: Annotated[list[float], Form(description="Or a weight for each stage")] = [],  # noqa: B006
        folder: Annotated[str | None, Form(description="Only photos below this folder, a full path")] = None,
        after: Annotated[str | None, Form(description="Taken from then on", examples=["2024-05"])] = None,
        before: Annotated[str | None, Form(description="Taken before then", examples=["2025"])] = None,
        camera: Annotated[str | None, Form(description="A part of the camera's name")] = None,
        start: Annotated[int, Form(description="Pictures to leave out", ge=0, le=FARTHEST)] = 0,
        count: Annotated[int, Form(description="Pictures to show", ge=1, le=MOST_SHOWN)] = PAGE,
    ) -> SearchAnswer:
        """Give at least one picture, as a file or by a photo's number, or a word. Copies are folded into one picture."""
        must_know(library, [*photos, *unlike_photos])
        if files or unlike_files:
            must_see(library)
        with uploaded(files, unlike_files) as [plus, minus]:
            liked: list[int | str] = [*photos, *(one.path for one in plus)]
            if len(weights or liked) != len(liked) or not all(0 < weight < math.inf for weight in weights):
                raise Refused(
                    422, f"Give a weight above zero for each of the {len(liked)} pictures to be like, or none."
                )
            picks = [Pick(one, weight) for one, weight in zip(liked, weights or [1.0] * len(liked), strict=True)]
            picks += [Pick(one, -1.0) for one in unlike_photos] + [Pick(one.path, -1.0) for one in minus]
            ask = Ask(
                picks, words, like, stages, folder, _moment("after", after), _moment("before", before), camera, start, count
            )  # fmt: skip
            found = search(library, ask)
            must_do(found.problem, [*plus, *minus])
        pictures = [SearchPicture(**{**asdict(one), "copies": list(one.copies)}) for one in found.pictures]
        return SearchAnswer(
            pictures=pictures, start=start, more=found.more, exact=found.exact, hint=found.hint, unknown=found.unknown
        )


def _add_why(router: APIRouter, library: Library) -> None:
    @router.post("/why", summary="Why two pictures are alike", responses=refusals(400, 404, 413, 415, 429, 503))
    def why_alike(
        photos: Ids = [],  # noqa: B006
        files: Files = [],  # noqa: B006
        part: Annotated[str | None, Form(description="One part alone", examples=["stage4"])] = None,
        cell: Annotated[list[int], Form(description="Row and column of a cell to look into")] = [],  # noqa: B006
    ) -> WhyAnswer:
        """Two pictures: two photos, two files, or one of each, the photo first. Every part's cosine, and the maps it is of."""
        if len(photos) + len(files) != 2:
            raise Refused(422, "Give two pictures: photos, files, or one of each.")
        if len(cell) not in (0, 2):
            raise Refused(422, "A cell is two numbers: its row and its column.")
        must_know(library, photos)
        must_see(library)
        with uploaded(files) as [uploads]:
            pictures: list[int | str] = [*photos, *(upload.path for upload in uploads)]
            found = why(library, pictures[0], pictures[1], part, (cell[0], cell[1]) if cell else None)
            must_do(found.problem, uploads)
        return WhyAnswer(
            part=found.part, parts=[_part(one) for one in found.views], without_vector=found.without_vector
        )


def _look(result: LookResult) -> LookAnswer:
    return LookAnswer(
        name=result.title,
        labels=[Label(label=words, score=score) for words, score in result.labels],
        own_labels=[Label(label=words, score=score) for words, score in result.own],
        stages=[
            StageShape(name=one.name, channels=one.channels, height=one.height, width=one.width, stride=one.stride)
            for one in result.sheets
        ],
        similar=[Similar(photo_id=hit.photo_id, name=hit.name, score=hit.score) for hit in result.hits],
        hint=result.hint,
        problem=None if result.problem is None else in_words(result.problem),
    )


def _maps(library: Library, look: Look, kind: str, stage: str | None) -> Response:
    names = [one.name for one in library.follow().description.stages]
    maps = {name: values[0] for name, values in zip(names, (look.features.stem, *look.features.stages), strict=True)}
    if kind == "png":
        name = stage or names[-1]
        if name not in maps:
            raise Refused(422, f"There is no stage {name!r} in this network. It has {', '.join(names)}.")
        return Response(encoded(stage_picture(maps[name])), media_type="image/png")
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(values, np.float32) for name, values in maps.items()}
    np.savez_compressed(file, picture=look.picture, **arrays)
    headers = {"Content-Disposition": 'attachment; filename="stages.npz"'}
    return Response(file.getvalue(), media_type="application/octet-stream", headers=headers)


def _part(view: PartView) -> PartWhy:
    return PartWhy(
        part=view.part, name=view.name, is_searched=view.is_searched, cosine=view.cosine,
        stored_cosine=view.stored_cosine, first=view.first.tolist(), second=view.second.tolist(),
        constants=view.constants, cells=[_cell(one) for one in view.cells],
    )  # fmt: skip


def _cell(view: CellView) -> Cell:
    row, column = view.cell
    return Cell(row=row, column=column, share=view.share, constant=view.constant, over_second=view.over_second.tolist())


def _moment(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    for form in FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise Refused(422, f"{field}: {text!r} is no date: give a year, month or day such as 2020, 2020-05 or 2020-05-17.")
