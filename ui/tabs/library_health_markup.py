"""What the Library tab shows of the library's health, of what is in use and of room on the disk, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ui.health_handlers import HealthView
from ui.job_words import JobView, ago
from ui.markup import about, problem, text
from ui.tabs.library_markup import progress


def health(view: HealthView) -> str:
    """A check while it is at work, or what the last one found."""
    if view.running:
        return progress(JobView(True, view.phase, view.share, current=view.current))
    if view.problem:
        return problem(view.problem)
    if view.finished_at is None:
        return about("Not checked since the server was started.")
    ill = sum(not finding.ok for finding in view.findings)
    found = "Everything agrees" if not ill else f"{ill} of {len(view.findings)} checks found something"
    mended = "".join(f"<li>{text(words)}</li>" for words in view.mended)
    said = f'<p class="rc-about">Mended:</p><ul class="rc-mended">{mended}</ul>' if mended else ""
    rows = "".join(
        f'<li class="rc-{"well" if finding.ok else "ill"}"><b>{text(finding.name)}</b>'
        f'<span class="rc-found">{"well" if finding.ok else "look"}</span><p>{text(finding.words)}</p></li>'
        for finding in sorted(view.findings, key=lambda finding: finding.ok)
    )
    advice = ""
    if ill and not view.can_mend:
        advice = about("Mending does not help here: the words of each finding say what does.")
    return f'<p><b>{found}{ago(view.finished_at)}.</b></p>{said}{advice}<ul class="rc-findings">{rows}</ul>'


def since(stamp: str) -> str:
    """What tells the page that other facts may be in use."""
    return f'<span hidden data-since="{text(stamp)}"></span>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """What is in use, or what it takes: a line each."""
    lines = "".join(f"<dt>{text(what)}</dt><dd>{text(words)}</dd>" for what, words in pairs)
    return f'<dl class="rc-in-use">{lines}</dl>'
