"""The command that changes a library's model while the old one goes on answering."""

from __future__ import annotations

from typing import Any

import click

from ui import switch_text
from ui.verbs.command_line import COULD_NOT, DONE, Answer, Settings, verb


@verb
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--back", is_flag=True, help="Let the model before this one answer again, at once.")
@click.option("--status", is_flag=True, help="Show which models the library has vectors of.")
@click.option(
    "--forget", is_flag=True, help="Give up all vectors but those of the model that answers; no way back then."
)
@click.option("--anyway", is_flag=True, help="Switch though photos could not be read or a check failed.")
def switch_model(settings: Settings, name: str | None, back: bool, status: bool, forget: bool, anyway: bool) -> Answer:
    """Change the library over to another model, or to the same with changed files. The old one answers meanwhile."""
    from index import switch

    if (name is not None) + back + status + forget != 1:
        raise click.UsageError("Give the NAME of a model, or one of --back, --status and --forget.")
    if anyway and name is None:
        raise click.UsageError("--anyway belongs to the NAME of a model.")
    with settings.open() as library:
        if back:
            report = switch.switch_back(library)
            return Answer(report, switch_text.back_text(report))
        if status:
            report = switch.switch_status(library)
            return Answer(report, switch_text.status_text(report))
        if forget:
            report = switch.forget_spaces(library)
            return Answer(report, switch_text.forgotten_text(report))
        assert name is not None
        done: dict[str, Any] | None = settings.terminal.follow(switch.switch_model(library, name, anyway=anyway))
    if done is None:
        raise click.ClickException(
            "The job was asked to stop. The old model answers; what was built is kept, run it again to go on."
        )
    return Answer(done, switch_text.switch_text(done), DONE if done["active"] else COULD_NOT)
