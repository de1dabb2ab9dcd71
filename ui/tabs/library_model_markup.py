"""What the Library tab shows of models and their spaces, as HTML."""

from __future__ import annotations

from ui.job_words import JobView, size
from ui.markup import problem, text
from ui.switch_handlers import SpaceView, SwitchView
from ui.tabs.library_markup import progress

ROLES = {"active": "answers", "previous": "can be gone back to", "building": "half built", "kept": "kept"}


def models(view: SwitchView | None) -> str:
    """The model that answers, and the others that the library has vectors of."""
    if view is None:
        return '<p class="rc-about">Asking the catalogue …</p>'
    rows = "".join(_space(space) for space in view.spaces)
    note = f'<p class="rc-note">{text(view.note)}</p>' if view.note else ""
    listed = f'<ul class="rc-models">{rows}</ul>' if rows else ""
    return f"{listed}{note}{_unread(view)}" + (problem(view.problem) if not view.spaces else "")


def change(view: JobView | None) -> str:
    """The newest change of model: how far it is, or what came of it."""
    return "" if view is None else progress(view)


def _space(space: SpaceView) -> str:
    lacking = f", {space.lacking:,} without" if space.lacking else ""
    held = f"{space.vectors:,} picture{'s' * (space.vectors != 1)}{lacking}, {size(space.bytes)}"
    role = f'<span class="rc-role rc-{text(space.role)}">{text(ROLES.get(space.role, space.role))}</span>'
    return f'<li><div><b>{text(space.model)}</b><span class="rc-path">{held}</span></div>{role}</li>'


def _unread(view: SwitchView) -> str:
    if not view.failed:
        return ""
    rows = "".join(f"<tr><td>{text(path)}</td><td>{text(reason)}</td></tr>" for path, reason in view.failed[:50])
    more = f" (the first 50 of {len(view.failed):,})" if len(view.failed) > 50 else ""
    return (
        f"<details><summary>{len(view.failed):,} could not be read{more}</summary>"
        f'<div class="rc-table"><table><tbody>{rows}</tbody></table></div></details>'
    )
