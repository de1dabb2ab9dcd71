"""The commands that find photos: by pictures, by words, by both; and the words that there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ui import terminal
from ui.filter_options import narrowed
from ui.verbs.command_line import Answer, Settings, verb

if TYPE_CHECKING:
    from index.chance import Chance
    from index.library import Library
    from index.search import Neighbour

LIKE = ("colour", "pattern", "parts", "subject")
CHANCE_LINE = "------  below: no more alike than chance alone would bring in a library of this size"
UNSURE_LINE = "------  below: too unsure to be called so beside a picture"


@verb
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@click.option("--minus", multiple=True, metavar="IMAGE", help="A picture to be unlike. May be given several times.")
@click.option("-k", default=12, show_default=True, type=click.IntRange(1, 100_000), help="How many photos.")
@click.option("--stages", metavar="w1,...,wN", help="How much each stage counts.")
@click.option("--like", type=click.Choice(LIKE), help="What kind of similar, instead of --stages.")
@click.option(
    "--label", "labels", multiple=True, metavar="L", help="Only photos that are called so; several: by all of them."
)
@narrowed
def search(
    settings: Settings,
    images: tuple[str, ...],
    minus: tuple[str, ...],
    k: int,
    stages: str | None,
    like: str | None,
    labels: tuple[str, ...],
    **where: Any,
) -> Answer:
    """Find the photos most like the pictures given; without a picture, those that are most surely what --label says.

    "--label cat" means every label with such a name ("tabby, tabby cat") and the words that you taught. Without a picture
    the number before a photo is how sure that is; with one it is how alike the two are, and how rare such a pair is among
    unrelated photos of the library: "1 in 35+" says so, or rarer, where the library is too small to tell.
    """
    from index.bounds import filter_of, why_none
    from index.chance import chance_of
    from index.search import find_similar
    from index.word_search import find_named
    from index.words import LEAST, named

    _must_make_sense(bool(images), bool(labels), bool(minus), stages, like)
    with settings.open() as library:
        bounds = filter_of(**where)
        names = [named(library, label) for label in labels]
        weights = _weights(library, stages, like)
        plus, unlike = _examples(library, images), _examples(library, minus)
        start = time.perf_counter()
        if images:
            answer = find_similar(library, plus, unlike, k=k, weights=weights, where=bounds, names=names)
        else:
            answer = find_named(library, names, k=k, where=bounds)
        milliseconds = (time.perf_counter() - start) * 1000
        none = "" if answer.neighbours else why_none(library, bounds, names)
        # Of one picture alone: what scores of a mean of several mean was measured, and is not the same.
        chance = chance_of(library, weights) if len(images) == 1 and not minus and answer.neighbours else None
        library.keep_indexes()
    found = [_neighbour(one, chance) for one in answer.neighbours]
    document = {"neighbours": found, "exact": answer.exact, "milliseconds": round(milliseconds, 3)}
    above = [one["beyond_chance"] is not False if images else one["score"] >= LEAST for one in found]
    lines = [_line(one) for one in found]
    if not all(above):
        lines.insert(above.index(False), CHANCE_LINE if images else UNSURE_LINE)
    return Answer(document, "\n".join(lines) or none)


@verb
@click.argument("start", default="", metavar="[START]")
def words(settings: Settings, start: str) -> Answer:
    """List what photos of the library are called, and how many are: taught words, then labels; or those that begin so."""
    from index.words import known_words

    with settings.open() as library:
        known = known_words(library, start)
    document = [{"word": word, "photos": count, "kind": kind} for word, count, kind in known]
    text = "\n".join(f"{count:7}  {word}{'  (marked by you)' * (kind == 'taught')}" for word, count, kind in known)
    return Answer({"words": document}, text or "No photo is called so." * bool(start) or "No photo is called anything.")


def _must_make_sense(images: bool, labels: bool, minus: bool, stages: str | None, like: str | None) -> None:
    if stages and like:
        raise click.UsageError("--stages and --like say the same thing in two ways: give one of them.")
    if not images and not labels:
        raise click.UsageError("Say what to find: a picture, or a word with --label.")
    if not images and (minus or stages or like):
        raise click.UsageError("--minus, --stages and --like are about pictures: give one to be like.")


def _neighbour(neighbour: Neighbour, chance: Chance | None) -> dict[str, Any]:
    meaning = (
        dict.fromkeys(("one_in", "or_rarer", "beyond_chance")) if chance is None else chance.meaning(neighbour.score)
    )
    return {"photo_id": neighbour.photo.id, "path": neighbour.photo.path, "score": round(neighbour.score, 6)} | meaning


def _line(one: dict[str, Any]) -> str:
    """A photo with its score, and how rare that is: "35+" is 35 or more."""
    rare = "" if one["one_in"] is None else f"{'1 in {:,}'.format(one['one_in']) + '+' * one['or_rarer']:<13}  "
    return f"{one['score']:7.4f}  {rare}{terminal.shown(one['path'])}"


def _weights(library: Library, stages: str | None, like: str | None) -> dict[str, float] | None:
    from index import search as engine

    if like:
        return engine.like(library, like)
    return engine.stage_weights(library, _numbers(stages)) if stages else None


def _examples(library: Library, images: tuple[str, ...]) -> list[Any]:
    from index.search import example_of_file

    return [example_of_file(library, image) for image in images]


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--stages takes numbers with commas between, such as 0,0,1,1; got {text!r}.") from None
