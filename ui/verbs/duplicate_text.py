"""What `duplicates` shows in words. Pure functions; app.py prints them."""

from __future__ import annotations

from typing import Any

from ui.terminal import shown

NAMES = {
    "same-bytes": "Same bytes",
    "same-pixels": "Same pixels",
    "edited": "Edited",
    "burst": "Burst",
}


def duplicates_text(document: dict[str, Any]) -> str:
    """The groups, the photo to keep first, and how many of each kind."""
    lines: list[str] = []
    for group in document["groups"]:
        lines.append(f"{NAMES[group['kind']]}: keep photo {group['keep']}, because: {group['why']}.")
        lines += [
            f"  {photo['photo_id']:>8}  {shown(photo['path'])}  ({photo['relation']})" for photo in group["photos"]
        ]
    if (more := sum(document["counts"].values()) - len(document["groups"])) > 0:
        lines.append(f"... and {more} more.")
    counts = ", ".join(f"{count} {kind}" for kind, count in document["counts"].items())
    lines.append(f"Groups: {counts}, in {document['contents']} different pictures. No file was touched.")
    if document["without_thumbnail"]:
        lines.append(
            f"{document['without_thumbnail']} have no thumbnail and were not compared: `doctor --mend` makes it."
        )
    if document["decisions"]:
        kept = "1 decision is" if document["decisions"] == 1 else f"{document['decisions']} decisions are"
        lines.append(f"{kept} kept: `duplicates --decisions` lists them.")
    return "\n".join(lines)


def partly_decided(photo_ids: list[int]) -> str:
    """Why a group is still shown."""
    return f"Decided about {', '.join(map(str, photo_ids))}; their group stays, for it has photos that were not named."


def decisions_text(decisions: list[dict[str, Any]]) -> str:
    """What was decided, oldest first."""
    lines: list[str] = []
    for one in decisions:
        lines.append(f"{one['decided_at'].replace('T', ' ')} UTC: {one['verdict']}")
        lines += [f"  {photo['photo_id']:>8}  {shown(photo['path'])}" for photo in one["photos"]]
        lines += [] if one["photos"] else ["  photos that are no longer there"]
    return "\n".join(lines) or "Nothing was decided yet."
