"""RegConv's entry point: no argument starts the web page; one subcommand a verb (design.md section 5, ui/verbs/).

The only file that prints and exits. Worker processes import it again, so everything heavy is imported where it is used.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import click

from ui import terminal
from ui.verbs import duplicates, library, models, search, seeing, switch
from ui.verbs.command_line import COULD_NOT, DONE, Answer, cli

WRONG_USAGE, INTERRUPTED, TERMINATED = 2, 130, 143
LOG_EVERY_S = 5

__all__ = ["cli", "duplicates", "library", "main", "models", "search", "seeing", "switch"]  # verbs add themselves


class Console:
    """Results on stdout, all else on stderr."""

    def answer(self, answer: Answer, as_json: bool) -> None:
        """One JSON document, or words."""
        shown = json.dumps(answer.document, indent=2) if as_json else answer.text
        if shown:
            click.echo(shown)

    def say(self, text: str, *, aside: bool) -> None:
        """A line."""
        click.echo(text, err=aside)

    def follow(self, steps: Iterator[Any]) -> dict[str, Any] | None:
        """The report at the end of a long job, whose progress is shown; None where it ends without one."""
        show = _progress_bar() if sys.stderr.isatty() else _progress_lines()
        next(show)
        with closing(show), closing(steps):  # type: ignore[type-var]  # steps are generators, of several kinds
            for progress in steps:
                show.send(progress)
                if progress.report is not None:
                    return progress.report
        return None


def _progress_bar() -> Generator[None, Any, None]:
    """A bar for a person who watches."""
    from tqdm import tqdm

    with tqdm(
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}", file=sys.stderr, total=1
    ) as bar:
        while True:
            progress = yield
            bar.total = progress.total or progress.done or 1
            bar.set_description_str(progress.phase, refresh=progress.phase != bar.desc)
            pace = terminal.pace(progress.images_per_second, progress.seconds_left, progress.failed)
            bar.set_postfix_str(pace, refresh=False)
            bar.update(progress.done - bar.n)


def _progress_lines() -> Generator[None, Any, None]:
    """A line every few seconds, for a log."""
    last = time.monotonic()
    while True:
        progress = yield
        if progress.report is None and time.monotonic() - last > LOG_EVERY_S:
            last = time.monotonic()
            pace = terminal.pace(progress.images_per_second, progress.seconds_left, progress.failed)
            click.echo(f"{progress.phase}: {progress.done}/{progress.total or '?'} {pace}", err=True)


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments = ["ui", *arguments]
    try:
        return cli.main(arguments, prog_name="app.py", standalone_mode=False, obj=Console()) or DONE
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. What was done is kept.", err=True)
        return INTERRUPTED
    except click.UsageError as error:
        error.show()
        if "--json" in arguments:
            where = f" Try '{error.ctx.command_path} --help' for help." if error.ctx else ""
            click.echo(json.dumps({"error": " ".join(error.format_message().split()) + where}))
        return WRONG_USAGE
    except Exception as error:
        if os.environ.get("REGCONV_TRACEBACK"):
            raise
        message = " ".join((error.message if isinstance(error, click.ClickException) else _message(error)).split())
        click.echo(f"Error: {message}", err=True)
        if "--json" in arguments:
            click.echo(json.dumps({"error": message}))
        return COULD_NOT


def _message(error: Exception) -> str:
    """The error's own words where it is of one of our rooms, and so raised on purpose; else that it is a fault of ours."""
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("regconv", "storage", "index", "ui"):
        return str(error)
    return f"{type(error).__name__}: {error}. This is a fault in RegConv; REGCONV_TRACEBACK=1 shows where."


def _end(_signal: int, _frame: Any) -> None:
    """Ends by SystemExit, which closes what is open, as Ctrl-C does."""
    sys.exit(TERMINATED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
