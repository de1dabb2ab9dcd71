"""What of retrieval's craft helps on our vectors, without labels and without training: one table over several networks.

    REGCONV_DATA=... python -m bench.craft --cache DIR [--model starter --model FOLDER --unseen starter=NONE ...]

Each picture of caltech101/test asks over caltech101/train (mean average precision and precision at 10, apart for classes that
the network was trained on and for those that it never saw); each version of a picture asks for the other versions, among the
others, photos/ and caltech101/train. What is fitted is fitted on the vectors of the library that is searched. In brackets: the
95 % interval of the difference to the plain search, by paired bootstrap over the queries, in points.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from bench.craft_vectors import Vectors, extracted, unit
from index.evaluate import retrieval
from index.whitening import fit as partial_whitening

Rows = np.ndarray
Map = Callable[[Rows], Rows]
DRAWS = 2000
AT = 10


def cosine(queries: Rows, library: Rows) -> Rows:
    """Scores (q, n)."""
    return queries @ library.T


def nothing(library: Rows) -> Map:
    """Vectors as they are."""
    return unit


def power(exponent: float) -> Callable[[Rows], Map]:
    """Signed power of every number."""
    return lambda library: lambda rows: unit(np.sign(rows) * np.abs(rows) ** exponent)


def whitened(exponent: float, dims: int | None = None, first: Callable[[Rows], Map] = nothing) -> Callable[[Rows], Map]:
    """Mean taken away; principal components, the strongest `dims`, times eigenvalue ** -exponent (0: centring alone)."""

    def fit(library: Rows) -> Map:
        before = first(library)
        rows = before(library).astype(np.float64)
        mean = rows.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov(rows.T))
        values, axes = values[::-1], axes[:, ::-1]
        kept = slice(0, dims or len(values))
        # A floor for directions in which the library hardly varies: noise that would be blown up.
        scale = np.maximum(values[kept], values.mean() * 1e-3) ** -exponent
        turn = axes[:, kept] * scale
        return lambda asked: unit((before(asked) - mean) @ turn)

    return fit


def ours(dims: int = 128, first: Callable[[Rows], Map] = nothing) -> Callable[[Rows], Map]:
    """Partial whitening as the product has it (index/whitening.py); plain where it has none."""

    def fit(library: Rows) -> Map:
        before = first(library)
        whitening = partial_whitening(before(library), dims)
        return lambda asked: unit(before(asked)) if whitening is None else whitening.of(before(asked))

    return fit


def expanded(
    count: int, alpha: float = 3.0, rank: Callable[[Rows, Rows], Rows] = cosine
) -> Callable[[Rows, Rows], Rows]:
    """Alpha query expansion (Radenovic et al. 2018): the query plus its `count` nearest, each times score ** alpha."""

    def scores(queries: Rows, library: Rows) -> Rows:
        near = cosine(queries, library)
        best = np.argpartition(-near, count, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(near, best, axis=1), 0) ** alpha
        return rank(unit(queries + np.einsum("qk,qkd->qd", weights, library[best])), library)

    return scores


def diffused(count: int = 50, alpha: float = 0.9, gamma: float = 3.0, starts: int = 10) -> Callable[[Rows, Rows], Rows]:
    """Diffusion on the graph of mutual neighbours (Iscen et al. 2017), solved exactly; a query enters by its nearest."""

    def scores(queries: Rows, library: Rows) -> Rows:
        affinity = np.maximum(library @ library.T, 0) ** gamma
        np.fill_diagonal(affinity, 0)
        least = -np.partition(-affinity, count, axis=1)[:, count - 1 : count]
        affinity *= (affinity >= least) & (affinity >= least.T)
        degree = np.maximum(affinity.sum(axis=1), 1e-12) ** -0.5
        near = np.maximum(queries @ library.T, 0) ** gamma
        entry = near * (near >= -np.partition(-near, starts, axis=1)[:, starts - 1 : starts])
        system = np.eye(len(library)) - alpha * affinity * degree[:, None] * degree
        return (np.linalg.solve(system, entry.T).T + 1e-6 * near).astype(np.float32)

    return scores


@dataclass(frozen=True)
class Variant:
    """One way to search: which vectors, what is fitted on the library's, how they are compared; and what it costs."""

    name: str
    take: Callable[[Vectors], Rows] = lambda seen: seen.parts()[seen.pooled]
    fit: Callable[[Rows], Map] = nothing
    scores: Callable[[Rows, Rows], Rows] = cosine
    cost: str = "none"


def gem(exponent: int) -> Callable[[Vectors], Rows]:
    """Generalised means of the last map."""
    return lambda seen: unit(seen.plain[f"gem{exponent}"])


def both_ways(seen: Vectors) -> Rows:
    """The mean over the picture and its mirror image."""
    return unit(seen.plain[seen.pooled] + seen.mirrored[seen.pooled])


def joined(*weights: float) -> Callable[[Vectors], Rows]:
    """The last stages beside each other, each of unit length, times the root of its weight."""

    def take(seen: Vectors) -> Rows:
        parts = list(seen.parts().values())[-len(weights) :]
        return np.concatenate([w**0.5 * part for w, part in zip(weights, parts, strict=True)], axis=1)

    return take


MATRIX = "a matrix a query; rows fitted and stored or turned"
TWICE = "embedding x2"
VARIANTS = [
    Variant("plain mean"),
    Variant("generalised mean, p=2", gem(2), cost="other vectors"),
    Variant("generalised mean, p=3", gem(3), cost="other vectors"),
    Variant("generalised mean, p=4", gem(4), cost="other vectors"),
    Variant("power 0.7", fit=power(0.7)),
    Variant("power 0.5", fit=power(0.5)),
    Variant("centred", fit=whitened(0), cost=MATRIX),
    Variant("whitened, -1/4", fit=whitened(0.25), cost=MATRIX),
    Variant("whitened, -1/2", fit=whitened(0.5), cost=MATRIX),
    Variant("whitened, -1/4, 256 dims", fit=whitened(0.25, 256), cost=MATRIX),
    Variant("whitened, -1/4, 128 dims", fit=whitened(0.25, 128), cost=MATRIX),
    Variant("whitened, -1/4, 64 dims", fit=whitened(0.25, 64), cost=MATRIX),
    Variant("whitened, -1/2, 256 dims", fit=whitened(0.5, 256), cost=MATRIX),
    Variant("whitened, -1/2, 128 dims", fit=whitened(0.5, 128), cost=MATRIX),
    Variant("whitened, -1/2, 64 dims", fit=whitened(0.5, 64), cost=MATRIX),
    Variant("whitened, -1/4, shrunk", fit=ours(10_000), cost=MATRIX),
    Variant("whitened, -1/4, shrunk, 128 dims", fit=ours(), cost=MATRIX),
    Variant("whitened, -1/4, shrunk, 64 dims", fit=ours(64), cost=MATRIX),
    Variant("power 0.5, whitened, -1/4, shrunk, 128 dims", fit=ours(128, power(0.5)), cost=MATRIX),
    Variant("mirror, whitened, -1/4, shrunk, 128 dims", both_ways, ours(), cost=f"{TWICE}; {MATRIX}"),
    Variant("p=3, whitened, -1/4, shrunk, 128 dims", gem(3), ours(), cost=f"other vectors; {MATRIX}"),
    Variant("whitened, -1/4, shrunk, 128 dims, by 5", fit=ours(), scores=expanded(5), cost=f"{MATRIX}; a second search"),
    Variant("power 0.5, centred", fit=whitened(0, None, power(0.5)), cost=MATRIX),
    Variant("power 0.5, whitened, -1/4", fit=whitened(0.25, None, power(0.5)), cost=MATRIX),
    Variant("power 0.5, whitened, -1/4, 128 dims", fit=whitened(0.25, 128, power(0.5)), cost=MATRIX),
    Variant("mirror", both_ways, cost=TWICE),
    Variant("mirror, power 0.5", both_ways, power(0.5), cost=TWICE),
    Variant("mirror, power 0.5, centred", both_ways, whitened(0, None, power(0.5)), cost=f"{TWICE}; {MATRIX}"),
    Variant("expanded by 3", scores=expanded(3), cost="a second search"),
    Variant("expanded by 5", scores=expanded(5), cost="a second search"),
    Variant("expanded by 10", scores=expanded(10), cost="a second search"),
    Variant("power 0.5, expanded by 5", fit=power(0.5), scores=expanded(5), cost="a second search"),
    Variant("centred, expanded by 5", fit=whitened(0), scores=expanded(5), cost=f"{MATRIX}; a second search"),
    Variant("diffusion", scores=diffused(), cost="kNN graph of the library, a solve a query"),
    Variant("centred, diffusion", fit=whitened(0), scores=diffused(), cost="the same and " + MATRIX),
    Variant("last two stages, 1:1", joined(1, 1), cost="vectors longer by a half"),
    Variant("last two stages, 1:3", joined(1, 3), cost="vectors longer by a half"),
    Variant("last three stages, 1:1:4", joined(1, 1, 4), cost="vectors longer by two thirds"),
    Variant("last two stages, 1:3, power 0.5", joined(1, 3), power(0.5), cost="vectors longer by a half"),
    Variant("last two stages, 1:3, power 0.5, centred", joined(1, 3), whitened(0, None, power(0.5)), cost=MATRIX),
]  # fmt: skip


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
