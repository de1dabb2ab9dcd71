"""The options that say where a command looks: in which folder, at photos of which dates, from which camera."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FORMATS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


class Moment(click.ParamType):
    """A year, a month, a day, or a day and a time; the moment at which it begins."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment."""
        for form in FORMATS:
            with suppress(ValueError):
                return datetime.strptime(value, form)
        message = f"{value!r} is no date: give a year, month or day such as 2020, 2020-05 or 2020-05-17."
        raise click.BadParameter(message, ctx, param)


def narrowed(command: Command) -> Command:
    """Gives a command --folder, --after, --before and --camera: what `index.bounds.filter_of` takes."""
    for option in (
        click.option("--camera", metavar="C", help="Only photos from a camera with this in its name."),
        click.option("--before", metavar="DATE", type=Moment(), help="Only photos taken before this date."),
        click.option("--after", metavar="DATE", type=Moment(), help="Only photos taken on or after this date."),
        click.option("--folder", metavar="F", help="Only photos below this folder."),
    ):
        command = option(command)
    return command
