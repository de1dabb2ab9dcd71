"""RegConv's command line: no argument starts the web page; one subcommand a verb (design.md section 5).

The only file that prints and exits. Worker processes import it again, so everything heavy is imported where it is used.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ui import terminal

if TYPE_CHECKING:
    from index.library import Library
    from index.look import Eyes
    from index.progress import Progress
    from regconv.torch.training import TrainingProgress
    from storage.records import Filter

DONE, COULD_NOT, WRONG_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
LOG_EVERY_S = 5
LIKE = ("colour", "pattern", "parts", "subject")


class Settings:
    """The options that every command takes."""

    def __init__(self, library: str, database: str | None, model: str | None, device: str, as_json: bool) -> None:
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

    def answer(self, document: Any, text: Callable[[], str]) -> None:
        """The command's result: one JSON document, or words."""
        shown = json.dumps(document, indent=2) if self.as_json else text()
        if shown:
            click.echo(shown)


def verb(function: Callable[..., int | None]) -> click.Command:
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
    def run(
        library: str, database: str | None, model: str | None, device: str, as_json: bool, **rest: Any
    ) -> int | None:
        return function(Settings(library, database, model, device, as_json), **rest)

    run.__click_params__ += getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return cli.command(name=function.__name__, help=function.__doc__)(run)


@click.group()
def cli() -> None:
    """A photo library that you search by looking, and a window into what a convolutional network sees.

    Without a command the web page starts.
    """


@verb
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=7860, show_default=True, help="The port to listen on.")
@click.option("--password", help="Needed to listen on any other address than this machine's own.")
def ui(settings: Settings, host: str, port: int, password: str | None) -> None:
    """Start the web page."""
    with settings.open(create=True) as library:
        _serve(library, settings, host, port, password)


@verb
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@click.option("--retry-failed", is_flag=True, help="Try unreadable files again though they have not changed.")
def index(settings: Settings, folders: tuple[str, ...], retry_failed: bool) -> None:
    """Bring the library up to date with these folders."""
    with settings.open(create=True) as library:
        report = _index(library, folders, retry_failed)
    if report is None:
        raise click.ClickException("The job was asked to stop. What it had done is kept; run it again to go on.")
    settings.answer(report, lambda: terminal.report_text(report))


@verb
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--minus", multiple=True, metavar="IMAGE", help="A picture to be unlike. May be given several times.")
@click.option("-k", default=12, show_default=True, type=click.IntRange(1, 100_000), help="How many photos.")
@click.option("--stages", metavar="w1,...,wN", help="How much each stage counts.")
@click.option("--like", type=click.Choice(LIKE), help="What kind of similar, instead of --stages.")
@click.option("--folder", metavar="F", help="Only photos below this folder.")
@click.option("--after", metavar="DATE", type=click.DateTime(), help="Only photos taken on or after this date.")
@click.option("--before", metavar="DATE", type=click.DateTime(), help="Only photos taken before this date.")
@click.option("--label", metavar="L", help="Only photos with this in a top label or taught word.")
@click.option("--camera", metavar="C", help="Only photos from a camera with this in its name.")
def search(
    settings: Settings,
    images: tuple[str, ...],
    minus: tuple[str, ...],
    k: int,
    stages: str | None,
    like: str | None,
    **where: Any,
) -> None:
    """Find the photos most like the pictures given."""
    import time

    from index import search as engine

    if stages and like:
        raise click.UsageError("--stages and --like say the same thing in two ways: give one of them.")
    with settings.open() as library:
        weights = engine.like(library, like) if like else None
        if stages:
            weights = engine.stage_weights(library, _numbers(stages))
        plus = [engine.example_of_file(library, image) for image in images]
        unlike = [engine.example_of_file(library, image) for image in minus]
        start = time.perf_counter()
        answer = engine.find_similar(library, plus, unlike, k=k, weights=weights, where=_filter(library, **where))
        milliseconds = (time.perf_counter() - start) * 1000
    found: list[dict[str, Any]] = [
        {"photo_id": n.photo.id, "path": n.photo.path, "score": round(n.score, 6)} for n in answer.neighbours
    ]
    document = {"neighbours": found, "exact": answer.exact, "milliseconds": round(milliseconds, 3)}
    settings.answer(
        document,
        lambda: "\n".join(f"{n['score']:.4f}  {terminal.shown(n['path'])}" for n in found) or "No photo was found.",
    )


@verb
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-k", default=5, show_default=True, type=click.IntRange(1, 5), help="How many labels.")
def classify(settings: Settings, images: tuple[str, ...], k: int) -> int:
    """Say what the network takes the pictures for."""
    from index.library import Library
    from index.look import glance_at
    from index.teach import own_labels, taught
    from regconv.errors import UnreadableImage

    document: list[dict[str, Any]] = []
    with settings.eyes() as eyes:
        probe = taught(eyes) if isinstance(eyes, Library) else None
        for image in images:
            try:
                glance = glance_at(eyes, image)
            except UnreadableImage as error:
                click.echo(f"Error: {error}", err=True)
                document.append({"path": image, "labels": [], "own_labels": [], "error": error.reason})
                continue
            found = [
                {"index": index, "label": label, "score": round(score, 6)} for index, label, score in glance.labels[:k]
            ]
            own = [
                {"label": label, "score": round(score, 6)}
                for label, score in own_labels(probe, glance.example.vectors, k)
            ]
            document.append({"path": image, "labels": found, "own_labels": own})
    settings.answer(
        document, lambda: "\n".join(terminal.labels_text(entry) for entry in document if "error" not in entry)
    )
    return COULD_NOT if all("error" in entry for entry in document) else DONE


@verb
@click.argument("image", metavar="IMAGE")
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False), help="Where the pictures go.")
def stages(settings: Settings, image: str, out: str) -> None:
    """Write what the stem and every stage see in a picture, a picture each."""
    from PIL import Image

    from index.look import look_at
    from ui.maps import stage_picture

    with settings.eyes() as eyes:
        look = look_at(eyes, image)
        infos = eyes.description.stages
    Path(out).mkdir(parents=True, exist_ok=True)
    document: list[dict[str, Any]] = []
    for info, maps in zip(infos, (look.features.stem, *look.features.stages), strict=True):
        picture = Path(out) / f"{info.name}.png"
        Image.fromarray(stage_picture(maps[0])).save(picture)
        channels, height, width = maps[0].shape
        entry = {"name": info.name, "channels": channels, "height": height, "width": width, "stride": info.stride}
        document.append(entry | {"picture": str(picture)})
    line = "{name}: {channels} channels, {height} x {width} cells, one every {stride} pixels -> {picture}"
    settings.answer({"stages": document}, lambda: "\n".join(line.format(**entry) for entry in document))


@verb
@click.argument("folder", metavar="FOLDER")
@click.option("--out", required=True, metavar="CHECKPOINT", help="The folder that the trained model goes to.")
@click.option("--val", metavar="FOLDER", help="Pictures to measure on.  [default: a tenth of every class]")
@click.option("--from", "start", metavar="NAME", help="Go on from this model in place of random weights.")
@click.option("--architecture", metavar="NAME", help="The network where there is no --from.  [default: regnet-y-3m]")
@click.option("--epochs", type=click.IntRange(1), help="How often every picture is seen.  [default: 100]")
@click.option(
    "--size",
    type=click.IntRange(32),
    help="The side of the model's pictures, in pixels.  [default: 128, --from: its own]",
)
@click.option("--batch-size", type=click.IntRange(2), help="Pictures a step.  [default: 64]")
@click.option("--lr", "learning_rate", type=float, help="The highest learning rate.  [default: 2e-3, --from: 2e-4]")
@click.option("--seed", type=int, help="Of everything that is drawn.  [default: 0]")
@click.option("--bf16", is_flag=True, help="Compute in bfloat16 where that is safe.")
@click.option("--half", is_flag=True, help="Write the model in float16, half as large.")
def train(settings: Settings, folder: str, out: str, val: str | None, **options: Any) -> None:
    """Train a model on a folder whose subfolders are classes. Started again after a kill, it goes on where it was."""
    import shlex

    from regconv.torch.training import recipe_of, train_folder

    command = shlex.join(["python", "app.py", *sys.argv[1:]])
    report = _followed(
        train_folder(folder, out, recipe_of(**options), val=val, device=settings.device, command=command)
    )
    settings.answer(report, lambda: terminal.training_text(report or {}))


@verb
@click.argument("folder", metavar="FOLDER")
def teach(settings: Settings, folder: str) -> None:
    """Teach the library words of your own: FOLDER has a subfolder with photos for each word."""
    from index.teach import teach_folder

    with settings.open(create=True) as library:
        report = _followed(teach_folder(library, folder))
    if report is None:
        raise click.ClickException("The job was asked to stop. Its photos are kept, nothing was taught; run it again.")
    settings.answer(report, lambda: terminal.teaching_text(report))


@verb
@click.argument("words", nargs=-1, metavar="[WORD...]")
def unteach(settings: Settings, words: tuple[str, ...]) -> None:
    """Take back words that were taught, or all of them. Photos and the model's own labels stay."""
    from index import teach as teaching

    with settings.open() as library:
        document = teaching.unteach(library, words)
    settings.answer(document, lambda: terminal.unteaching_text(document))


@verb
@click.argument("folder", metavar="FOLDER")
@click.option("--train", metavar="FOLDER", help="Search in these pictures.  [default: in the others of FOLDER]")
def evaluate(settings: Settings, folder: str, train: str | None) -> None:
    """Measure a model on a folder whose subfolders are classes: its labels, and how well it finds pictures of a class."""
    from index.evaluate import evaluate as measure
    from index.look import Eyes

    with Eyes(settings.model, settings.device) if settings.model else settings.eyes() as eyes:
        report = _followed(measure(eyes, folder, train))
    settings.answer(report, lambda: terminal.evaluation_text(report or {}))


@verb
def models(settings: Settings) -> None:
    """List the models known by name, which of them are on this machine, and which one the library uses."""
    from index.errors import NoLibrary
    from regconv.published import PUBLISHED, is_cached

    try:
        with settings.open() as library:
            own = library.model
    except NoLibrary:
        own = None
    known: list[dict[str, Any]] = [
        {"name": name, "family": family, "cached": is_cached(name)} for name, family in PUBLISHED.items()
    ]
    mark = {True: "here", False: "    "}
    settings.answer(
        {"models": known, "library_model": own},
        lambda: (
            "\n".join(
                f"{mark[entry['cached']]}  {entry['name']}{'  <- this library' * (entry['name'] == own)}"
                for entry in known
            )
            + ("" if own is None or own in PUBLISHED else f"\nhere  {own}  <- this library")
        ),
    )


@verb
@click.option("--recall", is_flag=True, help="Measure how many of the true nearest the index finds.")
@click.option(
    "--mend", is_flag=True, help="Make again what is derived: the index, thumbnails; remove what is left over."
)
def doctor(settings: Settings, recall: bool, mend: bool) -> int:
    """Check that files, catalogue, vectors and index agree."""
    from index.doctor import examine

    with settings.open() as library:
        health = examine(library, recall=recall, mend=mend)
    settings.answer(health, lambda: terminal.health_text(health))
    return DONE if health["ok"] else COULD_NOT


@verb
@click.option(
    "--photos", default="", metavar="FOLDER", help="Your photos.  [default: a sample library made on the spot]"
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=7860, show_default=True, help="The port to listen on.")
def demo(settings: Settings, photos: str, host: str, port: int) -> None:
    """Index a folder, or a sample made from scikit-image's photographs, and start the web page."""
    from index.sample import make_sample

    if not photos:
        photos = os.path.join(settings.folder, "sample-photos")
        make_sample(Path(photos))
    settings.model = settings.model or "starter"
    settings.folder = os.path.join(settings.folder, _folder_name(photos, settings.model))
    with settings.open(create=True) as library:
        report = _index(library, [photos], retry_failed=False)
        if report is not None:
            click.echo(terminal.report_text(report), err=settings.as_json)
        _serve(library, settings, host, port)


# What the verbs share


def _serve(library: Library, settings: Settings, host: str, port: int, password: str | None = None) -> None:
    from ui.server import build_app, serve

    def ready(address: str) -> None:
        click.echo(f"RegConv is at {address}  (Ctrl-C ends it)", err=settings.as_json)

    with tempfile.TemporaryDirectory(prefix="regconv-") as uploads:  # for this user's eyes only, and gone at the end
        os.environ["GRADIO_TEMP_DIR"] = uploads
        serve(build_app(library, password=password), host, port, ready=ready)


def _index(library: Library, folders: Sequence[str], retry_failed: bool) -> dict[str, Any] | None:
    """The report of an index run with its progress on stderr, None where somebody asked it to stop."""
    from index.job import index_folder

    return _followed(index_folder(library, folders, retry_failed=retry_failed))


def _followed(steps: Iterator[Progress | TrainingProgress]) -> dict[str, Any] | None:
    """The report at the end of a long job, whose progress is shown on stderr; None where it ends without one."""
    from contextlib import closing

    show = _progress_bar() if sys.stderr.isatty() else _progress_lines()
    next(show)
    with closing(show), closing(steps):  # type: ignore[type-var]  # both kinds of steps are generators
        for progress in steps:
            show.send(progress)
            if progress.report is not None:
                return progress.report
    return None


def _progress_bar() -> Generator[None, Progress | TrainingProgress, None]:
    """A bar for a person who watches."""
    from tqdm import tqdm

    with tqdm(
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}", file=sys.stderr, total=1
    ) as bar:
        while True:
            progress = yield
            bar.total = progress.total or progress.done or 1
            bar.set_description_str(progress.phase, refresh=False)
            pace = terminal.pace(progress.images_per_second, progress.seconds_left, progress.failed)
            bar.set_postfix_str(pace, refresh=False)
            bar.update(progress.done - bar.n)


def _progress_lines() -> Generator[None, Progress | TrainingProgress, None]:
    """A line every few seconds, for a log."""
    import time

    last = time.monotonic()
    while True:
        progress = yield
        if time.monotonic() - last > LOG_EVERY_S:
            last = time.monotonic()
            pace = terminal.pace(progress.images_per_second, progress.seconds_left, progress.failed)
            click.echo(f"{progress.phase}: {progress.done}/{progress.total or '?'} {pace}", err=True)


def _filter(
    library: Library,
    folder: str | None,
    after: datetime | None,
    before: datetime | None,
    label: str | None,
    camera: str | None,
) -> Filter:
    from storage.records import Filter

    labels = words = None
    if label is not None:
        labels = [index for index, name in library.space.labels.items() if label.lower() in name.lower()]
        words = [word for word in library.catalog.words() if label.lower() in word.lower()]
        if not labels and not words:
            raise click.UsageError(
                f"No label of {library.model}, and no word that was taught, has {label!r} in it. "
                "`classify` shows labels that it knows."
            )
    return Filter(
        None if folder is None else os.path.abspath(os.path.expanduser(folder)), after, before, camera, labels, words
    )


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--stages takes numbers with commas between, such as 0,0,1,1; got {text!r}.") from None


def _folder_name(photos: str, model: str) -> str:
    """A library of its own for each (photos, model): a library has one model."""
    import hashlib

    code = hashlib.blake2b(os.fsencode(os.path.abspath(photos)) + b"\0" + model.encode(), digest_size=4).hexdigest()
    return f"library-{code}"


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments = ["ui", *arguments]
    try:
        return cli.main(arguments, prog_name="app.py", standalone_mode=False) or DONE
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. What was done is kept.", err=True)
        return INTERRUPTED
    except click.UsageError as error:
        error.show()
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
