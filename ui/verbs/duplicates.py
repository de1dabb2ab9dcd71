"""The command about photos that are in the library more than once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ui.verbs.command_line import Answer, Settings, verb
from ui.verbs.duplicate_text import decisions_text, duplicates_text, partly_decided

KINDS = ("same-bytes", "same-pixels", "edited", "burst")
UNDO = "undo"


@verb
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind. May be given again.")
@click.option(
    "--decide",
    "orders",
    multiple=True,
    metavar="VERDICT:ID,ID...",
    help="keep-one, keep-both, not-duplicate or undo, and the ids of photos of one group. May be given again.",
)
@click.option("--limit", type=click.IntRange(min=0), help="Show so many groups at most. [default: all]")
@click.option("--decisions", "only_decisions", is_flag=True, help="List what was decided, and look for nothing.")
def duplicates(
    settings: Settings, kinds: tuple[str, ...], orders: tuple[str, ...], limit: int | None, only_decisions: bool
) -> Answer:
    """Find photos that are there more than once: copies, the same pixels, edits, bursts. No file is ever touched."""
    from index import duplicate_decisions as decided
    from index.duplicate_groups import undecided
    from index.duplicates import find_duplicates

    asked = [_order(order) for order in orders]
    with settings.open() as library:
        for _, photo_ids in (one for one in asked if one[0] == UNDO):
            decided.undo(library, photo_ids)
        if only_decisions and all(verdict == UNDO for verdict, _ in asked):
            made = decided.decisions(library)
            return Answer({"decisions": made}, decisions_text(made))
        for _, photo_ids in asked:
            decided.contents_of(library, photo_ids)  # what can't be decided is said before the search
        report = settings.terminal.follow(find_duplicates(library))
        assert report is not None
        for verdict, photo_ids in (one for one in asked if one[0] != UNDO):
            decided.decide(library, verdict, photo_ids, report["groups"])
        made = decided.decisions(library)
        if only_decisions:
            return Answer({"decisions": made}, decisions_text(made))
        groups = undecided(report["groups"], library.catalog.decisions())
    shown = [group.as_json() for group in groups if not kinds or group.kind in kinds]
    document = _document(shown, report, len(made), kinds or KINDS)
    document["groups"] = shown[:limit]
    open_still = [ids for verdict, ids in asked if verdict != UNDO and any(_names(group, ids) for group in shown)]
    return Answer(document, "\n".join([duplicates_text(document), *map(partly_decided, open_still)]))


def _names(group: dict[str, Any], photo_ids: Sequence[int]) -> bool:
    return set(photo_ids) <= {photo["photo_id"] for photo in group["photos"]}


def _document(
    shown: list[dict[str, Any]], report: dict[str, Any], decisions: int, kinds: Sequence[str]
) -> dict[str, Any]:
    counts = {kind: sum(group["kind"] == kind for group in shown) for kind in kinds}
    names = ("contents", "compared", "without_thumbnail")
    return {"groups": shown, "counts": counts, "decisions": decisions} | {name: report[name] for name in names}


def _order(text: str) -> tuple[str, list[int]]:
    verdict, _, ids = text.partition(":")
    try:
        photo_ids = [int(one) for one in ids.split(",")]
    except ValueError:
        photo_ids = []
    if not photo_ids or verdict not in ("keep-one", "keep-both", "not-duplicate", UNDO):
        raise click.UsageError(
            f"--decide takes keep-both, keep-one, not-duplicate or undo, a colon and photo ids, as in keep-both:3,8; got {text!r}."
        )
    return verdict, photo_ids
