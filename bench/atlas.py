"""Three ways to draw a library's map, each in a process of its own: CPU seconds, memory, and how true the map is to the vectors.

    python bench/atlas.py LIBRARY [--photos 2000 20000] [--only NAME]

Vectors are those of the pooled part as searches compare them (whitened). Trustworthiness (Venna and Kaski, 2001; scikit-learn's)
with 10 neighbours: 1 where all neighbours on the map are neighbours among the vectors; kept: how many of the 10 nearest vectors are
among the 10 nearest on the map. `grown` draws nine tenths first, then all: how far the old points moved, as a share of the
map's width, after the best turn and shift. Seconds are the processor's, all threads
together; `start` loads the library and draws 100 points. UMAP needs `pip install umap-learn==0.5.12`, which the product does not.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

NEIGHBOURS = 10
SEED = 0
JUDGED = 2000  # points whose neighbours are looked at: a matrix of all distances at 20,000 takes 3 GB


def openTSNE(vectors: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:  # noqa: N802
    """As the product does."""
    from index.projection import project

    *_, (_, places) = project(vectors, known)
    assert places is not None
    return places


def openTSNE_fft(vectors: np.ndarray) -> np.ndarray:  # noqa: N802
    """Its own defaults: approximate neighbours, gradients by FFT above 10,000."""
    from openTSNE import TSNE

    return np.asarray(TSNE(metric="cosine", random_state=SEED, negative_gradient_method="fft").fit(vectors))


def scikit_learn(vectors: np.ndarray) -> np.ndarray:
    """Barnes-Hut t-SNE."""
    from sklearn.manifold import TSNE

    return TSNE(metric="cosine", init="pca", random_state=SEED, n_jobs=1).fit_transform(vectors)


def umap_learn(vectors: np.ndarray) -> np.ndarray:
    """UMAP as it comes; a seed makes it work on one core."""
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]  # else UMAP loads torch, for what is not asked here
    from umap import UMAP

    return UMAP(metric="cosine", random_state=SEED).fit_transform(vectors)


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "openTSNE": openTSNE, "openTSNE-fft": openTSNE_fft, "scikit-learn": scikit_learn, "umap-learn": umap_learn,
}  # fmt: skip


def vectors_of(library: str, count: int) -> np.ndarray:
    """float32 (count, d): the vectors of a library as searches compare them, drawn at random."""
    from index.library import Library

    with Library.open(library, device="cpu") as opened:
        part = opened.space.pooled
        opened.vectors.refresh()
        vectors = opened.vectors.of(opened.vectors.sample(count), part)[1]
        whitening = opened.indexes.whitening(part)
        return vectors if whitening is None else whitening.of(vectors)


def nearest(vectors: np.ndarray, asked: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """(trustworthiness, share kept) of the asked points (their numbers) with NEIGHBOURS neighbours."""
    ranks_of = np.argsort(
        np.argsort(-(vectors[asked] @ vectors.T), axis=1, kind="stable"), axis=1
    )  # 0 is the point itself
    far = ((places[asked, None, :] - places[None, :, :]) ** 2).sum(axis=2)
    far[np.arange(len(asked)), asked] = -1
    on_map = np.argsort(far, axis=1, kind="stable")[:, 1 : NEIGHBOURS + 1]
    ranks = np.take_along_axis(ranks_of, on_map, axis=1)
    n, k = len(vectors), NEIGHBOURS
    penalty = np.maximum(0, ranks - k).sum() / len(asked) * n
    return 1 - penalty * 2 / (n * k * (2 * n - 3 * k - 1)), float((ranks <= k).mean())


def moved(old: np.ndarray, new: np.ndarray) -> float:
    """The median way of points from one map to another, as a share of its width, after the best turn and shift."""
    from scipy.spatial import procrustes

    first, second, _ = procrustes(old, new)
    return float(np.median(np.linalg.norm(first - second, axis=1)) / np.ptp(first, axis=0).max())


@click.command()
@click.argument("library")
@click.option("--photos", multiple=True, type=int, default=(2000, 20_000))
@click.option("--only", multiple=True, type=click.Choice(list(WAYS)))
@click.option("--one", hidden=True)
def main(library: str, photos: tuple[int, ...], only: tuple[str, ...], one: str | None) -> None:
    """Print a table."""
    if one is not None:
        click.echo(json.dumps(measured(library, photos[0], one)))
        return
    click.echo(
        "| way | photos | start CPU s | map CPU s | added memory MB | trustworthiness | kept of 10 | moved when grown |"
    )
    click.echo("|---|---|---|---|---|---|---|---|")
    for count in photos:
        for name in only or WAYS:
            command = [sys.executable, __file__, library, "--photos", str(count), "--one", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                click.echo(f"| {name} | {count:,} | failed: {done.stderr.strip().splitlines()[-1]} |")
                continue
            one_row = json.loads(done.stdout.splitlines()[-1])
            cells = [f"{value:,}" if isinstance(value, int) else f"{value:.3g}" for value in one_row]
            click.echo("| " + " | ".join([name, *cells]) + " |")


def measured(library: str, count: int, name: str) -> list[float]:
    """One row of the table, in this process."""
    vectors = vectors_of(library, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    WAYS[name](vectors[:100])
    loaded = time.process_time()
    places = WAYS[name](vectors)
    end = time.process_time()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    asked = np.random.default_rng(SEED).permutation(len(vectors))[:JUDGED]
    judged = [nearest(vectors, some, places) for some in np.array_split(asked, 20)]
    true, kept = np.mean(judged, axis=0)
    old = len(vectors) * 9 // 10
    first = WAYS[name](vectors[:old])
    if name == "openTSNE":
        known = np.full((len(vectors), 2), np.nan, np.float32)
        known[:old] = first
        places = openTSNE(vectors, known)
    row = [len(vectors), loaded - start, end - loaded, memory, true, kept, moved(first, places[:old])]
    return [value if isinstance(value, int) else round(float(value), 4) for value in row]


if __name__ == "__main__":
    main()
