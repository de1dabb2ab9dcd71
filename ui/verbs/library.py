"""The commands about a library: start its page, fill it, search it, teach it, check it."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ui import terminal
from ui.allocator import share_arenas
from ui.verbs.command_line import COULD_NOT, DONE, Answer, Settings, verb

if TYPE_CHECKING:
    from index.library import Library


def _serving(function: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that starts the page."""
    options = [
        click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
        click.option("--port", default=7860, show_default=True, help="The port to listen on."),
        click.option(
            "--name", "names", multiple=True, metavar="NAME", help="A host name under which a proxy, or your network, serves it."
        ),
        click.option(
            "--password", envvar="REGCONV_PASSWORD", metavar="WORDS|-",
            help="What the page asks for from now on; - reads it from standard input. Kept as a hash in the library, so give "
            "it once. Needed for any other address than this computer's own.  [default: $REGCONV_PASSWORD]",
        ),
        click.option("--no-password", is_flag=True, help="Take the kept password away."),
    ]  # fmt: skip
    for option in reversed(options):
        option(function)
    return function


@verb
@_serving
def ui(settings: Settings, **serving: Any) -> None:
    """Start the web page."""
    share_arenas()
    with settings.open(create=True) as library:
        _serve(library, settings, **serving)


@verb
@click.option(
    "--photos", default="", metavar="FOLDER", help="Your photos.  [default: a sample library made on the spot]"
)
@_serving
def demo(settings: Settings, photos: str, **serving: Any) -> None:
    """Index a folder, or a sample made from scikit-image's photographs, and start the web page."""
    from index.job import check_folders
    from index.sample import make_sample

    share_arenas()
    photos = os.path.expanduser(photos)  # the shell leaves ~ as it is within quotes
    if not photos:
        photos = os.path.join(settings.folder, "sample-photos")
        make_sample(Path(photos))
    check_folders([photos])
    settings.model = settings.model or "starter"
    settings.folder = os.path.join(settings.folder, _folder_name(photos, settings.model))
    with settings.open(create=True) as library:
        report = None if library.catalog.is_read_only else _index(library, settings, [photos])
        if report is not None:
            settings.say(terminal.report_text(report))
        _serve(library, settings, as_demo=True, **serving)


@verb
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@click.option("--retry-failed", is_flag=True, help="Try unreadable files again though they have not changed.")
def index(settings: Settings, folders: tuple[str, ...], retry_failed: bool) -> Answer:
    """Bring the library up to date with these folders."""
    from index.job import check_folders

    check_folders(folders)
    with settings.open(create=True) as library:
        report = _index(library, settings, folders, retry_failed)
    if report is None:
        raise click.ClickException("The job was asked to stop. What it had done is kept; run it again to go on.")
    return Answer(report, terminal.report_text(report))


@verb
@click.argument("folder", metavar="FOLDER")
def teach(settings: Settings, folder: str) -> Answer:
    """Teach the library words of your own: FOLDER has a subfolder with photos for each word."""
    from index.classes import class_folders
    from index.teach import teach_folder

    class_folders(folder)
    with settings.open(create=True) as library:
        report = settings.terminal.follow(teach_folder(library, folder))
    if report is None:
        raise click.ClickException("The job was asked to stop. Its photos are kept, nothing was taught; run it again.")
    return Answer(report, terminal.teaching_text(report))


@verb
@click.argument("words", nargs=-1, metavar="[WORD...]")
@click.option("--all", "every", is_flag=True, help="All words.")
def unteach(settings: Settings, words: tuple[str, ...], every: bool) -> Answer:
    """Take back words that were taught, or --all of them. Photos and the model's own labels stay."""
    from index import teach as teaching

    if bool(words) == every:
        raise click.UsageError("Say which words to take back, or --all: one of the two.")
    with settings.open() as library:
        document = teaching.unteach(library, words)
    return Answer(document, terminal.unteaching_text(document))


@verb
@click.option("--recall", is_flag=True, help="Measure how many of the true nearest the index finds.")
@click.option(
    "--mend", is_flag=True, help="Make index and thumbnails again, give up damaged vectors; photos and your words stay."
)
@click.option(
    "--whole",
    is_flag=True,
    help="Look at every file, shard and thumbnail instead of a sample, and embed more photos again.",
)
def doctor(settings: Settings, recall: bool, mend: bool, whole: bool) -> Answer:
    """Check that files, catalogue, vectors and index agree."""
    from index.doctor import examination

    with settings.open() as library:
        health = _followed(settings, examination(library, recall=recall, mend=mend, whole=whole))
    return Answer(health, terminal.health_text(health), DONE if health["ok"] else COULD_NOT)


@verb
@click.option(
    "--out", required=True, metavar="DIR", help="The backup's folder: a new one, or an earlier backup to renew."
)
def backup(settings: Settings, out: str) -> Answer:
    """Copy the library to another folder, while a job may be at work. Your photos themselves are not in it."""
    from index.backup import back_up

    with settings.open() as library:
        report = _followed(settings, back_up(library, out))
    return Answer(report, terminal.backup_text(report))


@verb
@click.argument("folder", metavar="DIR")
@click.option("--force", is_flag=True, help="Move a library that is in the way aside.")
def restore(settings: Settings, folder: str, force: bool) -> Answer:
    """Make --library what the backup in DIR holds."""
    from index.restore import restore as bring_back

    steps = bring_back(folder, settings.folder, force=force, database=settings.database)
    report = _followed(settings, steps)
    return Answer(report, terminal.restore_text(report))


@verb
@click.option("--out", required=True, metavar="FILE", help="FILE.npz for NumPy, FILE.parquet for everything else.")
@click.option("--part", "parts", multiple=True, metavar="NAME", help="Only this part's vectors.  [default: all parts]")
@click.option(
    "--dtype", default="float16", show_default=True, type=click.Choice(("float16", "float32")), help="Of the vectors."
)
def export(settings: Settings, out: str, parts: tuple[str, ...], dtype: str) -> Answer:
    """Write everything that the library knows to one file: paths, dates, labels, words and vectors."""
    from index.export import export as write

    with settings.open() as library:
        report = _followed(settings, write(library, out, parts=parts, dtype=dtype))
    return Answer(report, terminal.export_text(report))


def _followed(settings: Settings, steps: Iterator[Any]) -> dict[str, Any]:
    """The report of a job that always ends with one."""
    report = settings.terminal.follow(steps)
    assert report is not None
    return report


def _serve(
    library: Library,
    settings: Settings,
    host: str,
    port: int,
    names: Sequence[str] = (),
    password: str | None = None,
    no_password: bool = False,
    as_demo: bool = False,
) -> None:
    from ui.password import keep
    from ui.server import build_app, is_loopback, opening, serve

    if no_password and password and not _is_from_environment("password"):
        raise click.UsageError("Give --password or --no-password, not both.")
    given = "" if no_password else _password(password)
    for_once = given if given and library.catalog.is_read_only else None
    if given is not None and for_once is None:
        keep(library, given)
    with tempfile.TemporaryDirectory(prefix="regconv-") as uploads:  # for this user's eyes only, and gone at the end
        os.environ["GRADIO_TEMP_DIR"] = uploads
        app = build_app(library, password=for_once, names=names, as_demo=as_demo)

        def ready(address: str) -> None:
            settings.say(f"RegConv is at {address}  (Ctrl-C ends it)")
            if names or not is_loopback(host):
                bound = int(address.rpartition(":")[2])
                settings.say(opening(library, host, bound, has_password=not app.state.is_open))

        serve(app, host, port, ready=ready)


def _password(given: str | None) -> str | None:
    """The password as it was given, from standard input for "-", None where none was."""
    if given != "-":
        return given
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("--password - reads a line from standard input, and there was none.")
    return line


def _is_from_environment(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.ENVIRONMENT


def _index(
    library: Library, settings: Settings, folders: Sequence[str], retry_failed: bool = False
) -> dict[str, Any] | None:
    from index.job import index_folder

    return settings.terminal.follow(index_folder(library, folders, retry_failed=retry_failed))


def _folder_name(photos: str, model: str) -> str:
    """A library of its own for each (photos, model): a library has one model."""
    code = hashlib.blake2b(os.fsencode(os.path.abspath(photos)) + b"\0" + model.encode(), digest_size=4).hexdigest()
    return f"library-{code}"
