"""The commands about a model: look at pictures with it, measure it, train one, list those that are known."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ui import terminal
from ui.verbs.command_line import COULD_NOT, DONE, Answer, Settings, verb

if TYPE_CHECKING:
    from regconv.certificate import Certificate, Step


@verb
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-k", default=5, show_default=True, type=click.IntRange(1, 5), help="How many labels.")
def classify(settings: Settings, images: tuple[str, ...], k: int) -> Answer:
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
                settings.terminal.say(f"Error: {error}", aside=True)
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
    text = "\n".join(terminal.labels_text(entry) for entry in document if "error" not in entry)
    return Answer(document, text, DONE if text else COULD_NOT)


@verb
@click.argument("image", metavar="IMAGE")
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False), help="Where the pictures go.")
def stages(settings: Settings, image: str, out: str) -> Answer:
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
    return Answer({"stages": document}, "\n".join(line.format(**entry) for entry in document))


@verb
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False), help="Write certificate.md and .json there.")
@click.option("--all", "needs_all", is_flag=True, help="A framework that is not installed is a failure.")
def certify(settings: Settings, checkpoint: str, images: tuple[str, ...], out: str | None, needs_all: bool) -> Answer:
    """Compare what PyTorch, TensorFlow, Flax and every engine make of a checkpoint, stage by stage, on real pictures.

    Without IMAGE on the photographs of scikit-image. Exit code 1 where a difference is beyond its bound.
    """
    import numpy as np

    from index.look import Eyes
    from index.sample import photographs
    from regconv.certificate import certify
    from regconv.certificate_text import summary, write_certificate

    paths = images or tuple(photographs())
    with Eyes(checkpoint, settings.device) as eyes:
        pictures = np.stack([eyes.decoder.picture(path).picture for path in paths])
        made: list[Certificate] = []
        steps = certify(eyes.description, pictures, tuple(Path(path).name for path in paths), device=settings.device)
        document = settings.terminal.follow(_keeping(steps, made))
    (certificate,) = made
    if out is not None:
        for written in write_certificate(certificate, Path(out)):
            settings.say(f"Written: {terminal.shown(str(written))}")
    ok = certificate.ok and not (needs_all and certificate.absent)
    return Answer(document, summary(certificate), DONE if ok else COULD_NOT)


def _keeping(steps: Iterator[Step], made: list[Certificate]) -> Iterator[Step]:
    """The steps, the certificate of the last one kept."""
    for step in steps:
        made += [step.certificate] if step.certificate is not None else []
        yield step


@verb
@click.argument("folder", metavar="FOLDER")
@click.option("--train", metavar="FOLDER", help="Search in these pictures.  [default: in the others of FOLDER]")
def evaluate(settings: Settings, folder: str, train: str | None) -> Answer:
    """Measure a model on a folder whose subfolders are classes: its labels, and how well it finds pictures of a class."""
    from index.evaluate import evaluate as measure
    from index.look import Eyes

    with Eyes(settings.model, settings.device) if settings.model else settings.eyes() as eyes:
        report = settings.terminal.follow(measure(eyes, folder, train))
    return Answer(report, terminal.evaluation_text(report or {}))


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
def train(settings: Settings, folder: str, out: str, val: str | None, **options: Any) -> Answer:
    """Train a model on a folder whose subfolders are classes. Started again after a kill, it goes on where it was."""
    from regconv.torch.training import recipe_of, train_folder

    command = shlex.join(["python", "app.py", *sys.argv[1:]])
    report = settings.terminal.follow(
        train_folder(folder, out, recipe_of(**options), val=val, device=settings.device, command=command)
    )
    return Answer(report, terminal.training_text(report or {}))


@verb
@click.option(
    "--design",
    metavar="NUMBERS|NAME",
    help="What a RegNet would cost: depth=…,w_0=…,w_a=…,w_m=…,group_width=…[,se=false], or a published one's name.",
)
@click.option(
    "--size", type=click.IntRange(1), help="With --design: the side of its pictures, in pixels.  [default: 224]"
)
@click.option(
    "--out", metavar="FILE.png", type=click.Path(dir_okay=False), help="With --design: draw the widths into this file."
)
def models(settings: Settings, design: str | None, size: int | None, out: str | None) -> Answer:
    """List the models known by name, which of them are on this machine, and which one the library uses."""
    from index.errors import NoLibrary
    from regconv.published import PUBLISHED, is_cached

    if design is not None:
        return _design(design, 224 if size is None else size, out)
    if size is not None or out is not None:
        raise click.UsageError("--size and --out belong to --design")
    try:
        with settings.open() as library:
            own = library.model
    except NoLibrary:
        own = None
    known: list[dict[str, Any]] = [
        {"name": name, "family": family, "cached": is_cached(name)} for name, family in PUBLISHED.items()
    ]
    mark = {True: "here", False: "    "}
    return Answer(
        {"models": known, "library_model": own},
        (
            "\n".join(
                f"{mark[entry['cached']]}  {entry['name']}{'  <- this library' * (entry['name'] == own)}"
                for entry in known
            )
            + ("" if own is None or own in PUBLISHED else f"\nhere  {own}  <- this library")
        ),
    )


def _design(text: str, size: int, out: str | None) -> Answer:
    from ui.verbs.designs import design_document, read_design

    if out is not None and not out.lower().endswith(".png"):
        raise click.UsageError(f"--out got {out}, expected the name of a .png file")
    try:
        document = design_document(read_design(text), size)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--design") from error
    if out is not None:
        from ui.verbs.plots import design_plot

        Path(out).parent.mkdir(parents=True, exist_ok=True)
        design_plot(document, Path(out))
    return Answer(document | {"picture": out}, terminal.design_text(document, out))
