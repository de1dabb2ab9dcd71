"""What of retrieval's craft helps on our vectors, without labels and without training: one table over several networks.

    REGCONV_DATA=... python -m bench.craft --cache DIR [--model starter] [--half FOLDER ...]

Each picture of caltech101/test asks over caltech101/train (mean average precision and precision at 10, apart for classes that
the network was trained on and for those that it never saw, and "strangers": in a library of the latter only); each version of
a picture asks for the other versions, among the others, photos/ and caltech101/train. --half: a network that was trained on
every other class. What is fitted is fitted on the vectors of the library that is searched. In brackets: the 95 % interval of
the difference to the plain search, by paired bootstrap over the queries, in points.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from bench.craft_variants import VARIANTS, Rows, Variant
from bench.craft_vectors import Vectors, extracted, unit
from index.evaluate import retrieval

DRAWS = 2000
AT = 10


def precisions(scores: Rows, same: np.ndarray) -> tuple[Rows, Rows]:
    """(average precision, precision at 10), (q,), of scores (q, n); same (q, n) is what should be found; -inf is left out."""
    order = np.argsort(-scores, axis=1, kind="stable")
    right = np.take_along_axis(same & np.isfinite(scores), order, axis=1)
    ranks = np.arange(1, right.shape[1] + 1)
    return (right.cumsum(axis=1) / ranks * right).sum(axis=1) / right.sum(axis=1), right[:, :AT].mean(axis=1)


@dataclass(frozen=True)
class Network:
    """A network's vectors of everything, and the classes that it was trained on."""

    name: str
    train: Vectors
    test: Vectors
    versions: Vectors
    seen: np.ndarray  # bool (q,) of the test pictures

    def measured(self, variant: Variant) -> dict[str, Rows]:
        """Figures by query."""
        library, queries = variant.take(self.train), variant.take(self.test)
        mapped = variant.fit(library)
        scores = variant.scores(mapped(queries), mapped(library))
        ap, at10 = precisions(scores, self.test.groups[:, None] == self.train.groups)
        figures = {"mAP, seen": ap[self.seen], "P@10, seen": at10[self.seen]}
        if not self.seen.all():
            figures |= {"mAP, unseen": ap[~self.seen], "P@10, unseen": at10[~self.seen]} | self._strangers(variant)
        return figures | self._versions(variant, library)

    def _strangers(self, variant: Variant) -> dict[str, Rows]:
        """The same in a library of unseen classes only, as a user's own photos are."""
        there = ~np.isin(self.train.groups, self.test.groups[self.seen])
        library, queries = variant.take(self.train)[there], variant.take(self.test)[~self.seen]
        mapped = variant.fit(library)
        same = self.test.groups[~self.seen][:, None] == self.train.groups[there]
        ap, at10 = precisions(variant.scores(mapped(queries), mapped(library)), same)
        return {"mAP, strangers": ap, "P@10, strangers": at10}

    def _versions(self, variant: Variant, train: Rows) -> dict[str, Rows]:
        rows = variant.take(self.versions)
        groups = np.concatenate([self.versions.groups, np.full(len(train), "")])
        same = self.versions.groups[:, None] == groups
        asks = np.flatnonzero(same.sum(axis=1) > 1)
        library = np.concatenate([rows, train])
        mapped = variant.fit(library)
        library = mapped(library)
        scores = variant.scores(library[asks], library).astype(np.float32)
        scores[np.arange(len(asks)), asks] = -np.inf
        ap, _ = precisions(scores, same[asks])
        near = np.char.startswith(self.versions.groups[asks], "ukbench")
        return {"near duplicates": ap[near], "edits": ap[~near]}


def interval(differences: Rows) -> tuple[float, float]:
    """95 % of the mean, by bootstrap."""
    random = np.random.default_rng(0)
    picks = random.integers(0, len(differences), (DRAWS, len(differences)))
    low, high = np.percentile(differences[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def cell(values: Rows, plain: Rows) -> str:
    """The mean in percent, with the interval of the difference."""
    low, high = interval(values - plain)
    return f"{values.mean() * 100:.1f}" + ("" if values is plain else f" [{low * 100:+.1f} {high * 100:+.1f}]")


def milliseconds(network: Network, variant: Variant) -> float:
    """Of one query over caltech101/train: its transformation and its scores, the library's own work done before."""
    library = variant.take(network.train)
    mapped = variant.fit(library)
    rows, query = mapped(library), variant.take(network.test)[:1]
    variant.scores(mapped(query), rows)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        variant.scores(mapped(query), rows)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def check(network: Network) -> None:
    """These precisions are those of `evaluate`."""
    queries, library = VARIANTS[0].take(network.test), VARIANTS[0].take(network.train)
    theirs = retrieval(unit(queries), network.test.groups, unit(library), network.train.groups, itself=False)
    ours = precisions(unit(queries) @ unit(library).T, network.test.groups[:, None] == network.train.groups)
    if not all(np.allclose(one, other) for one, other in zip(ours, theirs, strict=True)):
        raise click.ClickException("The bench and index.evaluate disagree about the plain search.")


def small_libraries(networks: Sequence[Network], variants: Sequence[Variant]) -> list[str]:
    """Lines of a table: the difference of mAP to plain, when the library has few photos, all of them used to fit."""
    lines = [
        "| photos | network | " + " | ".join(v.name for v in variants) + " |",
        "|--:|---|" + "--:|" * len(variants),
    ]
    for count in (30, 100, 300, 1000):
        for network in networks:
            cells: dict[str, list[float]] = {variant.name: [] for variant in [VARIANTS[0], *variants]}
            for seed in range(5):
                chosen = np.random.default_rng(seed).permutation(len(network.train.groups))[:count]
                same = network.test.groups[:, None] == network.train.groups[chosen]
                some = same.any(axis=1)
                for variant in [VARIANTS[0], *variants]:
                    rows = variant.take(network.train)[chosen]
                    mapped = variant.fit(rows)
                    ap, _ = precisions(
                        variant.scores(mapped(variant.take(network.test)[some]), mapped(rows)), same[some]
                    )
                    cells[variant.name].append(ap.mean() * 100)
            plain = np.array(cells.pop(VARIANTS[0].name))
            gains = [np.array(values) - plain for values in cells.values()]
            lines.append(
                f"| {count} | {network.name} | " + " | ".join(f"{g.mean():+.1f} ± {g.std():.1f}" for g in gains) + " |"
            )
    return lines


@click.command()
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="Where extracted vectors are kept.")
@click.option("--model", "models", multiple=True, default=["starter"], show_default=True)
@click.option(
    "--half", "halves", multiple=True, help="A model that was trained on every other class of caltech101 only."
)
@click.option("--only", help="Only variants with this in their names, beside the plain one.")
@click.option("--small", multiple=True, help="A variant to be tried on small libraries, too.")
def main(cache: Path, models: Sequence[str], halves: Sequence[str], only: str | None, small: Sequence[str]) -> None:
    """Prints Markdown tables."""
    networks = []
    for model in [*models, *halves]:
        train, test, versions = (extracted(model, name, cache) for name in ("train", "test", "versions"))
        classes = np.unique(train.groups)
        known = classes[::2] if model in halves else classes
        networks.append(Network(Path(model).name, train, test, versions, np.isin(test.groups, known)))
    for network in networks:
        check(network)
        plain = network.measured(VARIANTS[0])
        click.echo(
            f"\n**{network.name}**: " + ", ".join(f"{name}: {len(v)} queries" for name, v in plain.items()) + "\n"
        )
        click.echo(f"| variant | {' | '.join(plain)} | ms | cost |\n|---|{'--:|' * (len(plain) + 1)}---|")
        for variant in VARIANTS:
            if variant is not VARIANTS[0] and only and only not in variant.name:
                continue
            figures = plain if variant is VARIANTS[0] else network.measured(variant)
            cells = [cell(values, plain[name]) for name, values in figures.items()]
            took = milliseconds(network, variant) if "iffusion" not in variant.name else float("nan")
            click.echo(f"| {variant.name} | {' | '.join(cells)} | {took:.1f} | {variant.cost} |")
    if small:
        click.echo("\n" + "\n".join(small_libraries(networks, [v for v in VARIANTS if v.name in small])))


if __name__ == "__main__":
    main()
