"""What the Duplicates tab shows, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ui.duplicate_handlers import SearchView
from ui.duplicate_review import VERDICT_WORDS, FileToGo, MadeDecision, PhotoFacts, Review
from ui.job_words import photos
from ui.markup import about, empty, problem, text

KINDS = {  # as a person would say it, and what it means
    "same-bytes": ("Exact copies", "The same file, byte for byte"),
    "same-pixels": ("Saved again", "The same picture in another file: another format, other data about it"),
    "edited": ("Edited", "Resized, cropped, turned, recoloured or recompressed"),
    "burst": ("Bursts", "Taken moments apart by one camera"),
}
PROMISE = "RegConv never deletes, moves or changes a photo. You decide, it remembers, and lists the files that may go."
DELETES_NOTHING = "RegConv itself deletes nothing"
ABOUT_ONE = ' aria-describedby="rc-outcome"'  # of the button: `outcome` says what it would do
LONGEST = 36  # characters of a name in a sentence
STRIP = 24  # photos of a group at once
LISTED = 20  # decisions at once


def searching(view: SearchView) -> str:
    """How the search goes, or what it came to."""
    if view.running:
        total = view.total or 0
        share = min(view.done / total, 1.0) if total else None
        value = "" if share is None else f' value="{share:.4f}"'
        words = view.phase[:1].upper() + view.phase[1:] if view.phase else "Beginning"
        numbers = f"{view.done:,} of {total:,}" if total else "&nbsp;"
        return (
            f'<div class="rc-job" role="status"><p><b>{text(words)}</b><span>{numbers}</span></p>'
            f'<progress aria-label="{text(words)}" max="1"{value}></progress></div>'
        )
    missing = view.without_thumbnail
    makes = "In the Library tab “Check the library” finds them, and “Mend” makes them."
    left_out = f"Not compared, as they have no thumbnail: {photos(missing)}. {makes}" if missing else ""
    return problem(view.problem) + (about(left_out) if left_out else "")


def kinds(seen: Review) -> str:
    """The kinds as buttons with the groups left of each, and how far the review is."""
    if not any(seen.found.values()):
        return ""
    chosen = seen.place.kind
    chips = [_chip("", "All", "Groups of every kind", sum(seen.left.values()), chosen is None)]
    chips += [_chip(kind, name, hint, seen.left[kind], chosen == kind) for kind, (name, hint) in KINDS.items()]
    found = sum(seen.found.values()) if chosen is None else seen.found[chosen]
    left = sum(seen.left.values()) if chosen is None else seen.left[chosen]
    decided = max(found - left, 0)
    return (
        f'<div class="rc-howfar"><div class="rc-kinds" role="group" aria-label="Kinds of duplicates">{"".join(chips)}</div>'
        f'<p class="rc-decided" role="status"><progress aria-label="Decided" max="{max(found, 1)}" value="{decided}"></progress>'
        f"<span>{decided:,} of {found:,} decided</span></p></div>"
    )


def group(seen: Review, was_searched: bool, decisions: int) -> str:
    """One group: the photo to keep and another, side by side, and all of them in a row."""
    shown = seen.group
    if shown is None:
        return empty(_nothing(seen, was_searched, decisions))
    if shown.outcome is None:
        return empty("Photos of this group are no longer there. Look for duplicates again, or go on with →.")
    keep, *others = shown.photos
    name, hint = KINDS[shown.kind]
    left = seen.left[seen.place.kind] if seen.place.kind else sum(seen.left.values())
    strip = "".join(_in_strip(number, photo, keep) for number, photo in enumerate(others[:STRIP], 1))
    more = len(others) - STRIP
    rest = f'<li class="rc-more">and {more:,} more, which your decision is about too</li>' if more > 0 else ""
    fetched = "".join(f'<img src="/photos/{photo}/thumbnail" alt="">' for photo in seen.following)
    return (
        f'<section class="rc-dup" data-kind="{shown.kind}" aria-label="Group {seen.place.at + 1} of {left}">'
        f'<p class="rc-dup-why"><b>{name}</b><span>Keep the first: {text(shown.why)}.</span>'
        f'<span class="rc-dup-at" title="{hint}">Group {seen.place.at + 1:,} of {left:,}</span></p>'
        f'<div class="rc-duel">{_pane(keep, keep, "keep")}{_pane(others[0], keep, "other")}</div>'
        f'<ol class="rc-strip{" rc-alone" if len(others) == 1 else ""}" data-grid aria-label="Compare with">{strip}{rest}</ol>'
        f"<div hidden>{fetched}</div></section>"
    )


def outcome(seen: Review, newest: MadeDecision | None) -> str:
    """What “One is enough” would do with the group that is seen, and what the newest decision came to: a line each."""
    would = seen.group.outcome if seen.group else None
    if not any(seen.found.values()):
        return ""
    words = "&nbsp;"
    if would is not None:
        words = f"“One is enough” keeps {_name(would.keep)} and lets <b>{_count(would.files)}</b> go ({_size(would.bytes)})."
    said = f"{DELETES_NOTHING}: it lists the files that may go."
    if newest is not None:
        said = f"Newest decision: {_came_to(newest)}. {DELETES_NOTHING}."
    return f'<div class="rc-outcome"><p id="rc-outcome">{words}</p><p role="status">{said}</p></div>'


def keys(is_read_only: bool) -> str:
    """The buttons of the review: they stay while groups go by, so that the focus does."""
    off = " disabled" if is_read_only else ""
    verdicts = (
        ("keep-one", "d", "One is enough", "Duplicates: the first stays, the others may go"),
        ("keep-both", "k", "Keep all", "Duplicates, but all of them stay"),
        ("not-duplicate", "n", "Not the same", "They are no duplicates of each other"),
    )
    decide = "".join(
        f'<button type="button" class="rc-verdict" data-event="decide" data-verdict="{verdict}" data-key="{key}"'
        f' title="{hint}"{ABOUT_ONE * (verdict == "keep-one")}{off}>{words}<kbd>{key.upper()}</kbd></button>'
        for verdict, key, words, hint in verdicts
    )
    return (
        f'<div class="rc-keys" role="toolbar" aria-label="Decide about this group"><div>{decide}</div><div>'
        '<button type="button" data-swap aria-pressed="false" title="Hold, or hold S: the other photo in the place of the first">'
        "Hold to swap<kbd>S</kbd></button>"
        f'<button type="button" data-event="undo" data-key="u" title="Take the newest decision back"{off}>Undo<kbd>U</kbd></button>'
        f"{_arrow('back', 'ArrowLeft', 'Previous group', '←')}{_arrow('on', 'ArrowRight', 'Next group', '→')}</div></div>"
    )


def decisions(made: Sequence[MadeDecision], start: int, total: int, is_read_only: bool) -> str:
    """What was decided, the newest first, each with a button that takes it back."""
    if not made:
        return empty("Nothing was decided yet. What you decide about a group is kept here, and can be taken back.")
    rows = "".join(_decision(one, is_read_only) for one in made)
    last = start + len(made)
    turn = [("Newer", start - LISTED, start > 0), ("Older", start + LISTED, last < total)]
    buttons = "".join(
        f'<button type="button" class="rc-quiet" data-event="turn" data-start="{to}">{words}</button>'
        for words, to, is_there in turn
        if is_there
    )
    where = f"<span>{start + 1:,} to {last:,} of {total:,}</span>"
    return f'<ul class="rc-decisions">{rows}</ul><p class="rc-turn">{where}{buttons}</p>'


def list_of_files(files: Sequence[FileToGo]) -> str:
    """How many files may go, and who deletes them."""
    if not files:
        return empty("No file yet. Press “One is enough” at a group: all but its first photo are listed here.")
    much = f"{_count(len(files))}, {_size(sum(file.bytes for file in files))} together."
    return about(f"{much} {DELETES_NOTHING}: to delete them, take the list to your file manager or a script.")


def _nothing(seen: Review, was_searched: bool, decisions: int) -> str:
    if any(seen.found.values()):
        if any(seen.left.values()):
            return "Nothing is left to decide of this kind. Choose another above."
        return "All decided. The lists below show what you said, and the files that may go."
    if was_searched:
        return "No duplicates were found. Index more folders in the Library tab, then look again."
    kept = f" The {decisions:,} decisions that you made before are remembered." if decisions > 1 else ""
    return "Press “Look for duplicates” to find photos that are in your library more than once." + kept


def _arrow(to: str, key: str, hint: str, sign: str) -> str:
    return (
        f'<button type="button" class="rc-arrow" data-event="step" data-to="{to}" data-key="{key}" '
        f'aria-label="{hint}" title="{hint}">{sign}</button>'
    )


def _chip(kind: str, name: str, hint: str, count: int, is_chosen: bool) -> str:
    return (
        f'<button type="button" data-event="kind" data-kind="{kind}" aria-pressed="{str(is_chosen).lower()}" '
        f'title="{hint}">{name}<b>{count:,}</b></button>'
    )


def _pane(photo: PhotoFacts, keep: PhotoFacts, place: str) -> str:
    name = text(photo.name)
    source = f"/photos/{photo.photo_id}"
    words = "Keep" if place == "keep" else text(photo.relation)
    over = '<img class="rc-over" alt="" hidden>' if place == "keep" else ""
    return (
        f'<figure class="rc-pane" data-pane="{place}"><figcaption><b>{words}</b></figcaption>'
        f'<div class="rc-frame" style="background-image:url({source}/thumbnail)">'
        f'<img src="{source}" alt="{name}" decoding="sync">{over}</div>{_table(photo, keep)}</figure>'
    )


def _in_strip(number: int, photo: PhotoFacts, keep: PhotoFacts) -> str:
    key = f' data-key="{number}"' if number < 10 else ""
    hint = f"<kbd>{number}</kbd>" if number < 10 else ""
    name = text(photo.name)
    return (
        f'<li><button type="button" data-cell data-compare="/photos/{photo.photo_id}"{key} '
        f'aria-pressed="{str(number == 1).lower()}" aria-label="Compare with {name}, {text(photo.relation)}">'
        f'<img src="/photos/{photo.photo_id}/thumbnail" alt="" loading="lazy" width="256" height="256">{hint}</button>'
        f'<span class="rc-relation">{text(photo.relation)}</span><template>{_table(photo, keep)}</template></li>'
    )


def _table(photo: PhotoFacts, keep: PhotoFacts) -> str:
    """The facts, those in bold that differ from the photo to keep."""
    rows = "".join(
        f"<div><dt>{name}</dt><dd{' class=rc-differs' * (value != of_keep)}>{text(value)}</dd></div>"
        for (name, value), (_, of_keep) in zip(_facts(photo), _facts(keep), strict=True)
    )
    name = text(photo.name)
    return (
        f'<dl class="rc-facts">{rows}</dl><p class="rc-acts">'
        f'<button type="button" class="rc-quiet" data-event="choose" data-photo="{photo.photo_id}" '
        f'aria-label="Search with {name}">Search with this</button>'
        f'<a class="rc-quiet" href="/photos/{photo.photo_id}" target="_blank" rel="noopener" aria-label="Open {name}">Open</a></p>'
    )


def _facts(photo: PhotoFacts) -> list[tuple[str, str]]:
    taken = "unknown" if photo.taken_at is None else f"{photo.taken_at:%d %b %Y, %H:%M:%S}"
    return [
        ("Name", photo.name),
        ("Pixels", f"{photo.width:,} × {photo.height:,}"),
        ("Size", _size(photo.bytes)),
        ("Format", photo.format),
        ("Taken", taken),
        ("Camera", photo.camera or "unknown"),
        ("Folder", photo.folder),
    ]


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    if count >= 1_000_000_000:
        return f"{count / 1_000_000_000:,.1f} GB"
    return f"{count / 1000:,.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"


def _count(files: int) -> str:
    return f"{files:,} file{'s' * (files != 1)}"


def _name(name: str) -> str:
    """A file's name; of a long one both ends, so that it stays on its line."""
    short = name if len(name) <= LONGEST else f"{name[: LONGEST - 15]}…{name[-14:]}"
    return f'<b title="{text(name)}">{text(short)}</b>'


def _came_to(one: MadeDecision) -> str:
    """A decision in words, as HTML."""
    if one.outcome is not None:
        return f"{_name(one.outcome.keep)} stays, {_count(one.outcome.files)} may go ({_size(one.outcome.bytes)})"
    verdict = text(VERDICT_WORDS.get(one.verdict, one.verdict))
    if not one.photos:
        return f"{verdict}, of photos that are no longer there"
    more = f" and {len(one.photos) - 1:,} more" if len(one.photos) > 1 else ""
    return f"{verdict}: {_name(one.photos[0][1])}{more}"


def _decision(one: MadeDecision, is_read_only: bool) -> str:
    pictures = "".join(
        f'<img src="/photos/{photo}/thumbnail" alt="{text(name)}" loading="lazy" width="56" height="56">'
        for photo, name in one.photos[:4]
    )
    names = ", ".join(name for _, name in one.photos[:4]) or "photos that are no longer there"
    more = f" and {len(one.photos) - 4} more" if len(one.photos) > 4 else ""
    words = VERDICT_WORDS.get(one.verdict, one.verdict).capitalize()
    off = " disabled" if is_read_only else ""
    came_to = f"<span>{_came_to(one)}</span>" if one.outcome else ""
    return (
        f'<li><span class="rc-thumbs">{pictures}</span><span class="rc-said"><b>{text(words)}</b>{came_to}'
        f"<span>{text(names + more)}</span><span>{one.decided_at:%d %b %Y, %H:%M} UTC</span></span>"
        f'<button type="button" class="rc-quiet" data-event="undo" data-decision="{one.id}"{off}>Take back</button></li>'
    )
