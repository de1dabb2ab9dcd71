"""What the terminal shows of `why` and `channels`."""

from __future__ import annotations

from typing import Any

from ui.terminal import shown


def why_text(document: dict[str, Any]) -> str:
    """The parts' cosines, where the strongest cells look in the other picture, and the pictures drawn."""
    lines = []
    for part in document["maps"]:
        stored = "" if part["stored_cosine"] is None else f"  (as stored {part['stored_cosine']:.4f})"
        size = " x ".join(str(side) for side in part["cells"][0])
        name = part["part"] + (", as searched" if part["searched"] else "")
        lines.append(f"{name:<8} {part['cosine']:.4f}{stored}  {size} cells")
    lines += [f"{name:<8} nothing to compare: a vector of zeros" for name in document["without_vector"]]
    chosen = next(part for part in document["maps"] if part["part"] == document["part"])
    lines.append(f"Cells (row,column) of {chosen['part']} and those of the other picture that they share most with:")
    for entry in chosen["matches"]:
        best = ", ".join(f"{_cell(one)} {one['share']:+.2g}" for one in entry["best"])
        lines.append(f"  {_cell(entry)} adds {entry['share']:+.2g}: {best}")
    return "\n".join([*lines, *(f"Drawn: {shown(picture)}" for picture in document["pictures"])])


def channel_text(document: dict[str, Any]) -> str:
    """The photos that excite a channel most."""
    lines = [f"Channel {document['channel']} of {document['stage']}:"]
    return "\n".join(lines + [f"  {one['value']:10.4f}  {shown(one['path'])}" for one in document["photos"]])


def strongest_text(document: dict[str, Any]) -> str:
    """The channels that a picture excites most."""
    lines = [f"{shown(document['path'])}, {document['stage']}:"]
    for one in document["channels"]:
        share = "" if one["higher_than"] is None else f"  higher than in {one['higher_than']:.1%} of other photos"
        lines.append(f"  channel {one['channel']:>4}  {one['value']:10.4f}{share}")
    return "\n".join(lines)


def _cell(entry: dict[str, Any]) -> str:
    return ",".join(str(number) for number in entry["cell"])
