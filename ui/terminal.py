"""What the terminal shows: results as words. Pure functions; app.py prints them."""

from __future__ import annotations

import os
from typing import Any

NONE_OF_THESE = "none of these"
_COLUMNS = 48  # of the longest bar
FIGURES = ("pictures", "top1", "top5", "map", "precision_at_10")
RETRIEVAL = ("mAP", "precision@10")


def report_text(report: dict[str, Any]) -> str:
    """An index run: what could not be read, the counts, the time."""
    lines = [f"Unreadable: {shown(failure['path'])}: {failure['reason']}" for failure in report["failed"]]
    lines += [f"Left as it was: {shown(folder['path'])}: {folder['reason']}" for folder in report["skipped_folders"]]
    counts = ", ".join(f"{report[name]} {name}" for name in ("embedded", "unchanged", "moved", "gone"))
    lines.append(f"{report['seen']} photos seen: {counts}, {len(report['failed'])} unreadable.")
    pace = f" at {report['images_per_second']:.0f} photos a second" if report["embedded"] else ""
    lines.append(f"{shown(report['library'])} is up to date after {duration(report['seconds'])}{pace}.")
    return "\n".join(lines)


def labels_text(entry: dict[str, Any]) -> str:
    """One picture of `classify`."""
    labels = [f"  {label['score']:6.1%}  {label['label']}" for label in entry["labels"]] or [
        "  This model has no labels."
    ]
    own = [f"  {label['score']:6.1%}  {shown(label['label'] or NONE_OF_THESE)}" for label in entry["own_labels"]]
    return "\n".join([shown(entry["path"]), *labels, *(["  taught:"] if own else []), *own])


def teaching_text(report: dict[str, Any]) -> str:
    """A teaching run: what could not be read, what it knows now, how far that can be trusted."""
    lines = [f"Unreadable: {shown(failure['path'])}: {failure['reason']}" for failure in report["failed"]]
    lines += [f"No photo to learn from: {shown(folder)}" for folder in report["empty"]]
    words = ", ".join(f"{shown(word)} ({count})" for word, count in report["words"].items())
    lines.append(f"{len(report['words'])} words are taught, with so many photos each: {words}.")
    if report["held_out_accuracy"] is None:
        lines.append("Too few photos to try it out: until words have two or more photos, the chances are a guess.")
    else:
        lines.append(
            f"Each left out in turn, {report['held_out_accuracy']:.1%} of {report['held_out']} photos were told by the others."
        )
    if not report["others"]:
        lines.append(
            "The library has no other photos: index some and teach again, or anything will pass for these words."
        )
    lines.append(f"{shown(report['library'])} is ready after {duration(report['seconds'])}.")
    return "\n".join(lines)


def unteaching_text(document: dict[str, Any]) -> str:
    """What was taken back, what is left."""
    left = ", ".join(shown(word) for word in document["words"])
    gone = ", ".join(shown(word) for word in document["removed"]) or "nothing, for nothing was taught"
    if document["fitted"] or not left:
        return f"Taken back: {gone}. Still taught: {left or 'nothing'}."
    return f"Taken back: {gone}. {left} is marked still; it shows again once a second word is taught."


def evaluation_text(report: dict[str, Any]) -> str:
    """A model's figures as a Markdown table, all classes and each."""
    lines = [f"Unreadable: {shown(failure['path'])}: {failure['reason']}" for failure in report["failed"]]
    lines += [f"No picture in: {shown(folder)}" for folder in report["empty"]]
    if report["unmatched"]:
        names = ", ".join(shown(name) for name in report["unmatched"])
        lines.append(f"Not among the model's labels, so without top-1 and top-5: {names}")
    rows = [{"name": f"all ({shown(report['model'])})"} | {key: report[key] for key in FIGURES}, *report["classes"]]
    lines += ["| class | pictures | top-1 | top-5 | mAP | precision@10 |", "|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        figures = ["" if row[key] is None else f"{row[key]:.1%}" for key in FIGURES[1:]]
        name = shown(row["name"]).replace("|", "\\|")
        lines.append(f"| {name} | {row['pictures']} | {' | '.join(figures)} |")
    if report["whitened"] and report["map"] is not None:
        plain = ", ".join(
            f"{name} {report['plain'][key]:.1%}" for name, key in zip(RETRIEVAL, FIGURES[3:], strict=True)
        )
        lines.append(
            f"mAP and precision@10 are of a library's search, whose vectors are whitened; by the plain cosine: {plain}."
        )
    return "\n".join(lines)


def health_text(health: dict[str, Any]) -> str:
    """The doctor's findings, a line each."""
    lines = [f"Mended: {line}" for line in health["mended"]]
    lines += [f"{'ok ' if check['ok'] else 'NOT'}  {check['name']}: {check['detail']}" for check in health["checks"]]
    if health["recall_at_10"] is not None:
        presets = ", ".join(f"{name} {value:.4f}" for name, value in health["recall"].items() if value is not None)
        lines.append(f"     recall@10: {health['recall_at_10']:.4f} ({presets})")
    lines += [f"     advice: {line}" for line in health["advice"]]
    ill = ", ".join(check["name"] for check in health["checks"] if not check["ok"])
    end = f"Something is wrong: {ill}." if ill else "All is well."
    return "\n".join([*lines, f"     FAISS: {health['faiss']}", end])


def backup_text(report: dict[str, Any]) -> str:
    """A backup: what is in it, what of it is new."""
    lines = [report["note"]] if report["note"] else []
    lines.append(
        f"Photos: {_counted(report['photos'])}; {report['shards']} vector shards ({report['shards_new']} new) and "
        f"{report['thumbnails']} thumbnails ({report['thumbnails_new']} new). The photos' own files are not in it."
    )
    lines.append(f"{shown(report['backup'])} is whole after {duration(report['seconds'])}.")
    return "\n".join(lines)


def restore_text(report: dict[str, Any]) -> str:
    """A restored library: what is in it, where the old one went, what is left to do."""
    lines = []
    if report["moved_aside"]:
        lines.append(f"What was there is now in {shown(report['moved_aside'])}.")
    if report["shards_missing"]:
        lines.append(f"The catalogue names {report['shards_missing']} more shards: `doctor --mend` gives them up.")
    if report["thumbnails_missing"]:
        lines.append(f"{report['thumbnails_missing']} thumbnails are missing: `doctor --mend` makes them.")
    lines.append(
        f"{shown(report['library'])} is what it was at {report['made_at'].replace('T', ' ')} UTC: {_counted(report['photos'])}. "
        "Run `index` on your folders to bring it up to date."
    )
    return "\n".join(lines)


def _counted(photos: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in photos.items())


def export_text(report: dict[str, Any]) -> str:
    """An export: what is in the file, and what has no vectors in it."""
    parts = ", ".join(f"{part['name']} ({part['width']} numbers)" for part in report["parts"])
    lines = [
        f"{report['contents']} pictures with {report['photos']} paths; vectors of {parts} for {report['with_vectors']} of them."
    ]
    if report["unreadable"]:
        lines.append(f"{report['unreadable']} unreadable files are not in it: they have no content.")
    lines.append(f"{shown(report['path'])} is ready after {duration(report['seconds'])}.")
    return "\n".join(lines)


def training_text(report: dict[str, Any]) -> str:
    """A training run: what could not be read, how good the model is, what it confuses, the time."""
    lines = [f"Unreadable: {shown(failure['path'])}: {failure['reason']}" for failure in report["failed"]]
    lines.append(
        f"top-1 {report['top1']:.1%}, top-5 {report['top5']:.1%} of {report['pictures']} pictures that it was not "
        f"trained on; {report['classes']} classes, trained on {report['trained_on']} pictures."
    )
    worst = [f"{' and '.join(pair['classes'])} ({pair['pictures']} of {pair['of']})" for pair in report["confused"][:5]]
    if worst:
        lines.append(f"Most often confused: {', '.join(worst)}.")
    lines.append(f"{shown(report['checkpoint'])} is ready after {duration(report['seconds'])}.")
    return "\n".join(lines)


def design_text(document: dict[str, Any], picture: str | None) -> str:
    """A design's configuration, its costs as a table, and where no picture was drawn its widths as a plot of text."""
    config = document["config"]
    lines = [f"{document['name']}:"] if document["name"] else []
    lines.append(", ".join(f"{name} {str(value).lower()}" for name, value in document["design"].items()))
    lines += [", ".join(f"{name} {value}" for name, value in config.items()), ""]
    rows: list[tuple[str, ...]] = [("part", "blocks", "width", "groups", "map", "parameters", "flops", "activations")]
    for part in document["parts"]:
        sizes = f"{part['height']} x {part['width']}"
        shape = (str(part.get("depth", "")), str(part["channels"]), str(part.get("groups", "")), sizes)
        rows.append((part["name"], *shape, *_costs(part)))
    rows.append(("all", str(sum(config["depths"])), "", "", "", *_costs(document)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        cells = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    head = f"a head of {document['labels']} labels" if document["labels"] else "without a head"
    lines += [
        "",
        f"Flops are multiply-adds, for one picture of {document['size']} x {document['size']} pixels; {head}.",
    ]
    return "\n".join([*lines, *([f"The widths are drawn in {shown(picture)}."] if picture else _bars(document))])


def _costs(entry: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{entry[name]:,}" for name in ("parameters", "flops", "activations"))


def _bars(document: dict[str, Any]) -> list[str]:
    """A bar for every block's width, with | where the design's line u_j is."""
    blocks = document["blocks"]
    starts = {
        sum(document["config"]["depths"][:number]): f"stage{number + 1}" for number in range(len(blocks["built"]))
    }
    scale = _COLUMNS / max(*blocks["built"], *blocks["linear"])
    lines = ["", "Width of every block; | is the line w_0 + w_a * j."]
    for number, (width, line) in enumerate(zip(blocks["built"], blocks["linear"], strict=True)):
        bar = list(("#" * max(1, round(width * scale))).ljust(_COLUMNS + 1))
        bar[round(line * scale)] = "|"
        lines.append(f"{starts.get(number, ''):<8}{number:>4}  {''.join(bar)} {width}")
    return lines


def pace(rate: float | None, left: float | None, failed: int) -> str:
    """Rate, time left and failures so far, as a progress line shows them."""
    words = [] if rate is None or left is None else [f"{rate:.1f} photos/s", f"{duration(left)} left"]
    return ", ".join(words + [f"{failed} unreadable"] * (failed > 0))


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 05 s, 2 h 07 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def shown(path: str) -> str:
    """A path as a terminal can show it: short below the current folder, bytes that are no text and controls written out."""
    here = os.path.join(os.getcwd(), "")
    text = path.removeprefix(here).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
