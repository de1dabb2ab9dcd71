"""What the Library tab shows of folders, jobs and files, as HTML.

Folders go with events as data-folder: an event with a "path" is taken for a file, which must be an upload (ui/page_routes.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from index.folders import IndexedFolder
from ui.folder_handlers import FolderView
from ui.job_handlers import UnreadablePage
from ui.job_words import JobView
from ui.markup import about, empty, problem, section, text

COUNTS = {"present": "photos", "embedded": "ready to search", "unreadable": "unreadable", "gone": "gone"}


def counts(numbers: dict[str, int] | None) -> str:
    """The library in four numbers; their places for None."""
    shown = {name: "–" if numbers is None else f"{numbers[name]:,}" for name in COUNTS}
    cells = "".join(f"<div><dd>{shown[name]}</dd><dt>{word}</dt></div>" for name, word in COUNTS.items())
    return f'<dl class="rc-counts">{cells}</dl>'


def job(view: JobView | None, searchable: int = 0) -> str:
    """The newest index job: where it is, where it was paused, or its report, and from there on to the `searchable` photos."""
    if view is None:
        return section("Indexing", empty("Nothing has been indexed yet. Name a folder above and press Start."))
    may_look = searchable and not view.running
    look = '<button type="button" class="rc-to-look" data-event="look">Look at your photos</button>' if may_look else ""
    return section("Indexing", f'{progress(view)}<p class="rc-onward">{look}</p>')


def progress(view: JobView) -> str:
    """A job's place in its work; as high while it runs as when it has ended."""
    facts = " · ".join(text(fact) for fact in view.facts)
    skipped = "".join(f"<li><b>{text(folder)}</b> {text(reason)}</li>" for folder, reason in view.skipped)
    return (
        f'<div class="rc-job"><p><b>{text(view.headline)}</b><span>{_percent(view.share)}</span></p>{_bar(view)}'
        f'<p class="rc-about">{facts or "&nbsp;"}</p>'
        f'<p class="rc-current">{text(view.current or "") or "&nbsp;"}</p></div>{problem(view.problem)}'
        + (f'<div class="rc-problem">Folders left as they were:<ul>{skipped}</ul></div>' if skipped else "")
    )


def folders(known: Sequence[IndexedFolder], may_update: bool) -> str:
    """The folders that were indexed, each with a button that brings it up to date."""
    if not known:
        return ""
    may = "" if may_update else " disabled"
    rows = "".join(
        f'<li><div><b>{text(PurePath(folder.path).name or folder.path)}</b><span class="rc-path">{text(folder.path)}</span></div>'
        f'<span class="rc-much">{_photos(folder)}</span><button type="button" class="rc-small" data-event="update" '
        f'data-folder="{text(folder.path)}" aria-label="Update {text(folder.path)}"{may}>Update</button></li>'
        for folder in known
    )
    every = f'<button type="button" class="rc-small" data-event="update" data-folder=""{may}>Update all</button>'
    head = f'<div class="rc-head"><h2>Indexed folders</h2>{every}</div>'
    words = "An update takes up what is new, changed, moved or gone; what is known already costs nothing."
    return f'<section class="rc-section">{head}{about(words)}<ul class="rc-folders">{rows}</ul></section>'


def browser(view: FolderView | None) -> str:
    """A folder of the computer that runs RegConv, with ways up and down and one to take it."""
    if view is None:
        return ""
    way = '<span aria-hidden="true">›</span>'.join(_step(name, path) for name, path in view.above)
    trail = f'<nav class="rc-above" aria-label="Folders above">{way}</nav>' if way else ""
    if view.problem:
        return f'<div class="rc-browser">{trail}{problem(view.problem)}</div>'
    inside = "".join(f"<li>{_step(name, path)}</li>" for name, path in view.folders)
    listed = f'<ul class="rc-inside">{inside}</ul>' if inside else about("There are no folders in this one.")
    much = f"{view.pictures:,} picture{'s' * (view.pictures != 1)} directly in it, {len(view.folders):,} folders"
    more = "" if view.is_whole else " and more, which are not shown"
    chosen = f'data-event="take" data-folder="{text(view.path)}"'
    take = f'<button type="button" class="rc-small" {chosen}>Choose this folder</button>'
    return f'<div class="rc-browser">{trail}<div class="rc-head"><p class="rc-about">{much}{more}</p>{take}</div>{listed}</div>'


def unreadable(page: UnreadablePage, total: int, after: int, may_retry: bool) -> str:
    """The files that could not be read, each with its reason; a page of them."""
    if not total:
        return ""
    rows = "".join(f"<tr><td>{text(file.path)}</td><td>{text(file.reason)}</td></tr>" for file in page.files)
    head = "<thead><tr><th>File</th><th>Why it could not be read</th></tr></thead>"
    table = f'<div class="rc-table"><table>{head}<tbody>{rows}</tbody></table></div>'
    may = "" if may_retry else " disabled"
    retry = f'<button type="button" class="rc-small" data-event="retry"{may}>Try them all again</button>'
    title = f'<div class="rc-head"><h2>Unreadable files ({total:,})</h2>{retry}</div>'
    steps = _turn("From the first", 0, after > 0) + _turn("More", page.following or 0, page.following is not None)
    pages = f'<div class="rc-pages">{steps}</div>' if after or page.following else ""
    return f'<section class="rc-section">{title}{table}{pages}</section>'


def _bar(view: JobView) -> str:
    """While it runs a bar, without a value where nobody knows how far it is; else how far it came."""
    if not view.running and view.share is None:
        return '<div class="rc-no-bar"></div>'
    value = "" if view.share is None else f' value="{view.share:.4f}"'
    rests = "" if view.running else ' class="rc-rests"'
    return f'<progress{rests} aria-label="{text(view.headline)}" max="1"{value}>{_percent(view.share)}</progress>'


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _photos(folder: IndexedFolder) -> str:
    bad = f", {folder.unreadable:,} unreadable" if folder.unreadable else ""
    return f"{folder.photos:,} photo{'s' * (folder.photos != 1)}{bad}"


def _step(name: str, path: str) -> str:
    return f'<button type="button" data-event="enter" data-folder="{text(path)}">{text(name)}</button>'


def _turn(words: str, after: int, can: bool) -> str:
    may = "" if can else " disabled"
    return f'<button type="button" class="rc-small" data-event="turn" data-after="{after}"{may}>{words}</button>'
