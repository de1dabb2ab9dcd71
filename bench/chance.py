"""Whether "1 in N unrelated pairs look this alike" is true of pairs that had no part in saying it.

    REGCONV_DATA=... python -m bench.chance --cache DIR [--model starter --model FOLDER] [--splits 5]

The contents of caltech101 (train and test together) and of photos/ are split in two halves at random: what scores mean is
fitted on one half, and the unrelated pairs of the other half that reach the score of "1 in N" are counted. 1.00 is right, more
means that alike pairs are more frequent than was said. Unrelated: of different folders, which in caltech101 are the classes; in
photos/, one folder, all pairs. Where a half has fewer than 200 N pairs the product says no such number; "beyond" shows what its
fitted tail would have said.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import numpy as np

from bench.craft_vectors import Vectors, extracted, unit
from index.chance import PAIRS_A_CLAIM, distinct, unrelated_scores
from index.library import Library
from index.search import LIKE, like
from index.tail import fit_tail
from index.whitening import fit as fit_whitening
from storage.records import PhotoRecord

ONE_IN = (10, 100, 1000, 10_000, 100_000)


@dataclass(frozen=True)
class Pictures:
    """Contents of a library, of copies one: vectors whose inner products are scores, by weighting; and photos."""

    scored: dict[str, np.ndarray]
    photos: list[PhotoRecord]

    def some(self, chosen: np.ndarray) -> Pictures:
        """These of them."""
        return Pictures({name: rows[chosen] for name, rows in self.scored.items()}, [self.photos[at] for at in chosen])


def presets(seen: Vectors) -> dict[str, dict[str, float]]:
    """The part weights of each kind of similar, as a library of this network would have them."""
    library = SimpleNamespace(space=SimpleNamespace(names=tuple(seen.parts()), pooled=seen.pooled))
    return {kind: like(cast("Library", library), kind) for kind in LIKE}


def pictures(vectors: Sequence[Vectors]) -> Pictures:
    """What a library of these would hold."""
    parts = {name: unit(np.concatenate([one.parts()[name] for one in vectors])) for name in vectors[0].parts()}
    scored = {kind: parts[part] for kind, weights in presets(vectors[0]).items() for part in weights}
    scored["all parts alike"] = np.concatenate([len(parts) ** -0.5 * rows for rows in parts.values()], axis=1)
    whitening = fit_whitening(parts[vectors[0].pooled])
    if whitening is not None:
        scored["whitened"] = whitening.of(parts[vectors[0].pooled])
    paths = np.concatenate([one.paths for one in vectors]).tolist()
    # A class is one folder, whether its pictures lie in train/ or in test/.
    photos = [PhotoRecord(at, path.replace("/test/", "/train/"), "present") for at, path in enumerate(paths)]
    return Pictures(scored, photos).some(distinct(parts[vectors[0].pooled]))


def ratios(whole: Pictures, kind: str, splits: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Held-out rate by what was said, (splits, len(ONE_IN)): of unrelated pairs, and of all; and the pairs of a half."""
    unrelated: list[list[float]] = []
    every: list[list[float]] = []
    pairs = 0
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(whole.photos))
        fitted, held = (whole.some(half) for half in np.array_split(order, 2))
        scores = unrelated_scores(fitted.scored[kind], fitted.photos)
        pairs = len(scores)
        tail = fit_tail(scores)
        lines = np.array([tail.score_at(1 / n) for n in ONE_IN])
        both = held.scored[kind] @ held.scored[kind].T
        for found, shown in (
            (unrelated, unrelated_scores(held.scored[kind], held.photos)),
            (every, both[np.triu_indices(len(both), 1)]),
        ):
            reached = [(shown >= line).mean() * n for line, n in zip(lines, ONE_IN, strict=True)]
            found.append(reached)
    return np.array(unrelated), np.array(every), pairs


def several(whole: Pictures, kind: str) -> list[float]:
    """What becomes of "1 in 1,000" for queries of 1, 2 and 5 unlike pictures, and of one minus another: the rate that is true."""
    random = np.random.default_rng(0)
    fitted, held = (whole.some(half) for half in np.array_split(random.permutation(len(whole.photos)), 2))
    line = fit_tail(unrelated_scores(fitted.scored[kind], fitted.photos)).score_at(1 / 1000)
    rows = held.scored[kind]
    folders = np.array([os.path.dirname(photo.path) for photo in held.photos])
    rates = []
    for signs in ([1], [1, 1], [1] * 5, [1, -1]):
        chosen = np.stack([random.permutation(len(rows))[: len(signs)] for _ in range(1000)])
        queries = unit(np.einsum("qkd,k->qd", rows[chosen], signs))
        scores = queries @ rows.T
        related = (folders[chosen][:, :, None] == folders).any(axis=1)
        rates.append(float((scores[~related] >= line).mean() * 1000))
    return rates


def usefulness(test: Vectors, train: Vectors) -> tuple[float, float, float]:
    """Of a plain search's ten nearest: (the share beyond the chance line, how many of these are of the class, of the others)."""
    library, asked = unit(train.parts()[train.pooled]), unit(test.parts()[test.pooled])
    whitening = fit_whitening(library)
    assert whitening is not None
    library, asked = whitening.of(library), whitening.of(asked)
    photos = [PhotoRecord(at, path, "present") for at, path in enumerate(train.paths.tolist())]
    tail = fit_tail(unrelated_scores(library, photos))
    scores = asked @ library.T
    best = np.argsort(-scores, axis=1)[:, :10]
    right = train.groups[best] == test.groups[:, None]
    beyond = np.take_along_axis(scores, best, axis=1) > tail.score_at(1 / len(library))
    return float(beyond.mean()), float(right[beyond].mean()), float(right[~beyond].mean())


def cell(values: np.ndarray, pairs: int, one_in: int) -> str:
    """Mean, and the least and the most of the splits."""
    text = f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"
    return text if pairs >= PAIRS_A_CLAIM * one_in else f"beyond: {text}"


@click.command()
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="Where extracted vectors are kept.")
@click.option("--model", "models", multiple=True, default=["starter"], show_default=True)
@click.option("--splits", default=5, show_default=True)
def main(cache: Path, models: Sequence[str], splits: int) -> None:
    """Prints Markdown tables."""
    click.echo(
        f"| network | pictures | weighting | {' | '.join(f'1 in {n:,}' for n in ONE_IN)} | all pairs, 1 in 1,000 |"
    )
    click.echo(f"|---|---|---|{'--:|' * (len(ONE_IN) + 1)}")
    libraries: dict[tuple[str, str], Pictures] = {}
    for model in models:
        name = Path(model).name
        libraries[name, "caltech101"] = pictures([extracted(model, "train", cache), extracted(model, "test", cache)])
        libraries[name, "photos"] = pictures([extracted(model, "photos", cache)])
    said: dict[str, list[float]] = {}
    for (name, data), whole in libraries.items():
        for kind in whole.scored:
            unrelated, every, pairs = ratios(whole, kind, splits)
            cells = [cell(unrelated[:, at], pairs, n) for at, n in enumerate(ONE_IN)]
            click.echo(f"| {name} | {data} | {kind} | {' | '.join(cells)} | {every[:, 2].mean():.2f} |")
            for at, n in enumerate(ONE_IN):
                if pairs >= PAIRS_A_CLAIM * n:
                    said.setdefault(f"1 in {n:,}", []).extend(unrelated[:, at])
    for claim, values in said.items():
        within = np.mean([0.5 <= value <= 2 for value in values])
        click.echo(
            f"\n{claim}: {min(values):.2f} to {max(values):.2f} over {len(values)} splits, {within:.1%} within 2x"
        )
    click.echo(
        "\n| network | weighting | 1 picture | 2 | 5 | 1 minus 1 | (true rate by what 1 in 1,000 says)\n|---|---|--:|--:|--:|--:|"
    )
    for (name, data), whole in libraries.items():
        if data == "caltech101":
            for kind in ("colour", "subject", "whitened"):
                click.echo(f"| {name} | {kind} | " + " | ".join(f"{rate:.1f}" for rate in several(whole, kind)) + " |")
    click.echo(
        "\n| network | of ten neighbours beyond the line | of these of the class | of the others |\n|---|--:|--:|--:|"
    )
    for model in models:
        shares = usefulness(extracted(model, "test", cache), extracted(model, "train", cache))
        click.echo(f"| {Path(model).name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


if __name__ == "__main__":
    main()
