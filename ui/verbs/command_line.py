"""What every command shares: its options, what it answers, and the terminal that it speaks through.

Commands print nothing: they return an Answer, and app.py shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from index.library import Library
    from index.look import Eyes

DONE, COULD_NOT = 0, 1


@dataclass(frozen=True)
class Answer:
    """A command's result: one JSON document, the same in words, and the exit code."""

    document: Any
    text: str
    code: int = DONE


class Terminal(Protocol):
    """What app.py gives the commands to speak through."""

    def answer(self, answer: Answer, as_json: bool) -> None:
        """Show a result."""

    def say(self, text: str, *, aside: bool) -> None:
        """A line by the way; aside, it does not go where results go."""

    def follow(self, steps: Iterator[Any]) -> dict[str, Any] | None:
        """Run a long job to its end with its progress shown; its report, None where it ends without one."""


class Settings:
    """The options that every command takes, and the terminal."""

    def __init__(
        self, terminal: Terminal, library: str, database: str | None, model: str | None, device: str, as_json: bool
    ) -> None:
        self.terminal = terminal
        self.folder = library
        self.database = database
        self.model = model
        self.device = device
        self.as_json = as_json

    def open(self, create: bool = False) -> Library:
        """The library."""
        from index.library import Library

        return Library.open(self.folder, database=self.database, model=self.model, device=self.device, create=create)

    @contextmanager
    def eyes(self) -> Iterator[Library | Eyes]:
        """The library's model where there is a library, else the model named: looking needs no library."""
        from index.library import DEFAULT_MODEL
        from index.look import Eyes

        has_library = self.database is not None or (Path(self.folder).expanduser() / "catalog.sqlite").exists()
        with self.open() if has_library else Eyes(self.model or DEFAULT_MODEL, self.device) as eyes:
            yield eyes

    def say(self, text: str) -> None:
        """A line by the way: beside the JSON document where there is one."""
        self.terminal.say(text, aside=self.as_json)


def verb(function: Callable[..., Answer | None]) -> click.Command:
    """A subcommand with the common options, which reach it as `settings`."""

    @click.option("--library", default="library", show_default=True, metavar="DIR", help="The library's folder.")
    @click.option(
        "--database", metavar="URL", help="SQLAlchemy URL of the catalogue.  [default: SQLite in the library]"
    )
    @click.option("--model", metavar="NAME", help="A hub name, a folder, or `starter`.")
    @click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:n]", help="Where the network runs."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document; all else goes to stderr.")
    @click.pass_obj
    def run(
        terminal: Terminal,
        library: str,
        database: str | None,
        model: str | None,
        device: str,
        as_json: bool,
        **rest: Any,
    ) -> int:
        answer = function(Settings(terminal, library, database, model, device, as_json), **rest)
        if answer is None:
            return DONE
        terminal.answer(answer, as_json)
        return answer.code

    run.__click_params__ += getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return cli.command(name=function.__name__.replace("_", "-"), help=function.__doc__)(run)


@click.group()
def cli() -> None:
    """A photo library that you search by looking, and a window into what a convolutional network sees.

    Without a command the web page starts.
    """
