"""What the Library tab shows, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ui.handlers import Unreadable
from ui.job_words import JobView
from ui.markup import about, empty, problem, section, text


def counts(numbers: dict[str, int]) -> str:
    """The library in four numbers."""
    words = {"present": "photos", "embedded": "ready to search", "unreadable": "unreadable", "gone": "gone"}
    cells = "".join(f"<div><dd>{numbers[name]:,}</dd><dt>{word}</dt></div>" for name, word in words.items())
    return f'<dl class="rc-counts">{cells}</dl>'


def job(view: JobView | None) -> str:
    """The newest job: a bar while it runs, its report once it has ended."""
    if view is None:
        return section("Indexing", empty("Nothing has been indexed yet."))
    facts = " · ".join(text(fact) for fact in view.facts)
    if view.running:
        value = "" if view.share is None else f' value="{view.share:.4f}"'
        percent = "" if view.share is None else f"{view.share:.0%}"
        body = (
            f'<div class="rc-job"><p><b>{text(view.headline)}</b><span>{percent}</span></p>'
            f'<progress aria-label="{text(view.headline)}" max="1"{value}>{percent}</progress>'
            f'<p class="rc-about">{facts}</p><p class="rc-current">{text(view.current or " ")}</p></div>'
        )
        return section("Indexing", body)
    skipped = "".join(f"<li><b>{text(folder)}</b> {text(reason)}</li>" for folder, reason in view.skipped)
    body = f'<div class="rc-job"><p><b>{text(view.headline)}.</b></p><p class="rc-about">{facts}</p></div>'
    body += problem(view.problem)
    body += f'<div class="rc-problem">Folders left as they were:<ul>{skipped}</ul></div>' if skipped else ""
    return section("Indexing", body)


def unreadable(files: Sequence[Unreadable], total: int) -> str:
    """The files that could not be read, each with its reason."""
    if not files:
        return ""
    rows = "".join(f"<tr><td>{text(file.path)}</td><td>{text(file.reason)}</td></tr>" for file in files)
    more = about(f"The first {len(files):,} of {total:,}.") if total > len(files) else ""
    head = "<thead><tr><th>File</th><th>Why it could not be read</th></tr></thead>"
    table = f'<div class="rc-table"><table>{head}<tbody>{rows}</tbody></table></div>'
    return section(f"Unreadable files ({total:,})", more + table)
