"""The interface's routes about duplicates: look for them, page through the groups, decide, take back."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import APIRouter, Query

from index.duplicate_groups import KINDS
from ui.api.job_models import Decision, Done, DuplicateGroup, DuplicatesAnswer, GroupPhoto, Undo
from ui.api.pictures import MOST_SHOWN
from ui.api.route import PlainRoute, Refused, refusals
from ui.api.uploads import in_words, must_do, must_know
from ui.duplicate_handlers import (
    DuplicateSearch,
    GroupView,
    decide_group,
    page_of_groups,
    undo_decision,
)


def duplicate_routes(search: DuplicateSearch) -> APIRouter:
    """The routes of one search."""
    router = APIRouter(prefix="/api/duplicates", route_class=PlainRoute, tags=["duplicates"])

    @router.get("", summary="A page of the groups left to decide about", responses=refusals())
    def groups(
        start: Annotated[int, Query(description="Groups to leave out", ge=0, lt=2**31)] = 0,
        count: Annotated[int, Query(description="Groups to show", ge=1, le=MOST_SHOWN)] = 20,
        kind: Annotated[str | None, Query(description=f"Of one kind alone: {', '.join(KINDS)}")] = None,
    ) -> DuplicatesAnswer:
        """There are none before a search was made: POST /api/duplicates/search."""
        if kind is not None and kind not in KINDS:
            raise Refused(422, f"kind: there is no {kind!r}. Expected {', '.join(KINDS)}.")
        return _page(search, start, count, kind)

    @router.post("/search", status_code=202, summary="Look for duplicates", responses=refusals())
    def begin() -> DuplicatesAnswer:
        """Begins unless it is at work, and answers at once; GET /api/duplicates says how it goes."""
        search.start()
        return _page(search, 0, 20, None)

    @router.post("/stop", status_code=202, summary="Stop looking for duplicates", responses=refusals(409))
    def stop() -> DuplicatesAnswer:
        """It ends after its current step; what it has learnt of pictures is kept."""
        if not search.view().running:
            raise Refused(409, "No search for duplicates is at work.")
        search.stop()
        return _page(search, 0, 20, None)

    @router.post("/decide", summary="Decide about a group", responses=refusals(400, 404, 413))
    def decide(asked: Decision) -> Done:
        """keep-one: the first is enough. keep-both: all stay. not-duplicate: they are none. Files are never touched."""
        must_know(search.library, asked.photo_ids)
        must_do(decide_group(search, asked.verdict, asked.photo_ids))
        return Done()

    @router.post("/undo", summary="Take a decision back", responses=refusals(400, 404, 413))
    def undo(asked: Undo) -> Done:
        """The group is shown again."""
        must_know(search.library, asked.photo_ids)
        must_do(undo_decision(search, asked.photo_ids))
        return Done()

    return router


def _page(search: DuplicateSearch, start: int, count: int, kind: str | None) -> DuplicatesAnswer:
    view = search.view()
    page = page_of_groups(search, start, count, kind)
    return DuplicatesAnswer(
        running=view.running, phase=view.phase, done=view.done, total=view.total,
        groups=[_group(group) for group in page.groups], groups_total=page.total,
        problem=None if view.problem is None else in_words(view.problem),
    )  # fmt: skip


def _group(group: GroupView) -> DuplicateGroup:
    photos = [
        GroupPhoto(photo_id=photo_id, name=os.path.basename(path), relation=relation)
        for photo_id, path, relation in group.photos
    ]
    return DuplicateGroup(kind=group.kind, why=group.why, photos=photos)
