"""What each kind of similar (`--like colour|pattern|parts|subject`) is good for, beside all parts alike.

    REGCONV_DATA=... python -m bench.dial --cache DIR [--model starter] [--weights 1,1,0,0 ...]

caltech101: each picture of test/ asks over train/. The sample library: each of its pictures asks over the others; a class is the
photograph that it was made from. Precision@10: which share of the ten nearest is of the query's class, averaged over classes.
Colour agreement: the mean intersection of the query's and its ten neighbours' joint histograms in CIE Lab (5 x 12 x 12 bins, of
the picture as the network gets it, made smaller to 48 x 48); of pairs drawn at random it is what the floor says. Shape agreement:
the mean cosine of their gradients in 8 directions, weighed by strength, in 4 x 4 cells of the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from bench.chance import presets
from bench.craft_vectors import Vectors, extracted, unit
from index.search import LIKE
from index.whitening import fit
from regconv.backbone import describe
from regconv.images import prepare

K = 10
SIDE, CELLS, DIRECTIONS = 48, 4, 8
BINS = (5, 12, 12)
RANGES = ((0, 100), (-60, 60), (-60, 60))


def appearance(paths: Sequence[str], model: str, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Colour histograms (n, bins) with sums of 1, and gradients (n, cells x directions) of unit length."""
    if not file.exists():
        recipe = describe(model).recipe
        small = [
            np.asarray(Image.fromarray(prepare(path, recipe)).resize((SIDE, SIDE), Image.Resampling.BOX))
            for path in paths
        ]
        np.savez(
            file, colours=np.stack([colours(one) for one in small]), shapes=np.stack([shape(one) for one in small])
        )
    with np.load(file) as saved:
        return saved["colours"], saved["shapes"]


def colours(picture: np.ndarray) -> np.ndarray:
    """The joint Lab histogram, float32 (bins,), of a picture uint8 (h, w, 3)."""
    lab = rgb2lab(picture).reshape(-1, 3)
    lab = np.clip(lab, [low for low, _ in RANGES], [high for _, high in RANGES])
    counts, _ = np.histogramdd(lab, bins=BINS, range=RANGES)
    return np.asarray(counts, np.float32).ravel() / np.float32(len(lab))


def shape(picture: np.ndarray) -> np.ndarray:
    """How strong gradients are by cell and direction, float32 (cells x directions,) of unit length."""
    down, right = np.gradient(picture.astype(float).mean(axis=2))
    direction = ((np.arctan2(down, right) % np.pi) / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    cell = np.arange(SIDE) * CELLS // SIDE
    place = (cell[:, None] * CELLS + cell) * DIRECTIONS + direction
    sums = np.bincount(place.ravel(), np.hypot(down, right).ravel(), CELLS * CELLS * DIRECTIONS)
    return unit(sums[None])[0]


def definitions(seen: Vectors, more: Sequence[str]) -> dict[str, dict[str, float]]:
    """Part weights by name: the presets as index.search has them, all parts alike, and `more`."""
    names = list(seen.parts())
    found = presets(seen)
    found["all parts alike"] = dict.fromkeys(names, 1.0)
    for text in more:
        weights = dict(zip(names, map(float, text.split(",")), strict=True))
        found[text] = {name: weight for name, weight in weights.items() if weight}
    return found


def compared(asked: Vectors, library: Vectors) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Unit vectors of queries and library by part, the pooled part whitened as the library's search does."""
    queries, rows = ({name: unit(part) for name, part in one.parts().items()} for one in (asked, library))
    whitening = fit(rows[library.pooled]) if rows[library.pooled].shape[1] > 128 else None
    if whitening is not None:
        queries[library.pooled], rows[library.pooled] = (whitening.of(one[library.pooled]) for one in (queries, rows))
    return queries, rows


def nearest(
    queries: dict[str, np.ndarray], rows: dict[str, np.ndarray], weights: dict[str, float], itself: bool
) -> np.ndarray:
    """The K nearest, int (q, K), by the weighted mean of the parts' cosines."""
    scores = sum(weight * (queries[part] @ rows[part].T) for part, weight in weights.items())
    assert isinstance(scores, np.ndarray)
    if itself:
        np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def by_class(values: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Means by class."""
    return {name: float(values[classes == name].mean()) for name in np.unique(classes).tolist()}


@click.command()
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="Where extracted vectors are kept.")
@click.option("--model", default="starter", show_default=True)
@click.option("--weights", "more", multiple=True, help="Another weighting of the parts, stages first.")
def main(cache: Path, model: str, more: Sequence[str]) -> None:
    """Prints Markdown tables."""
    label = Path(model).name
    for data, asks, over in (("caltech101", "test", "train"), ("sample library", "sample", "sample")):
        asked, library = extracted(model, asks, cache), extracted(model, over, cache)
        mine, theirs = (
            appearance(one.paths.tolist(), model, cache / f"{label}.{name}.appearance.npz")
            for one, name in ((asked, asks), (library, over))
        )
        queries, rows = compared(asked, library)
        click.echo(f"\n**{data}**, {model}: {len(asked.groups)} queries over {len(library.groups)} photos\n")
        click.echo("| kind | weights | precision@10 | colour agreement | shape agreement |\n|---|---|--:|--:|--:|")
        spread: dict[str, dict[str, float]] = {}
        for name, weights in definitions(library, more).items():
            best = nearest(queries, rows, weights, itself=asks == over)
            precision = by_class((library.groups[best] == asked.groups[:, None]).mean(axis=1), asked.groups)
            colour = np.minimum(mine[0][:, None], theirs[0][best]).sum(axis=2).mean()
            shapes = np.einsum("qd,qkd->qk", mine[1], theirs[1][best]).mean()
            said = " + ".join(f"{weight:g} {part}" for part, weight in weights.items())
            click.echo(f"| {name} | {said} | {np.mean(list(precision.values())):.1%} | {colour:.3f} | {shapes:.3f} |")
            spread[name] = precision
        drawn = np.random.default_rng(0).integers(0, len(library.groups), (len(asked.groups), K))
        floor = [float((library.groups[drawn] == asked.groups[:, None]).mean())]
        floor += [float(np.minimum(mine[0][:, None], theirs[0][drawn]).sum(axis=2).mean())]
        floor += [float(np.einsum("qd,qkd->qk", mine[1], theirs[1][drawn]).mean())]
        click.echo(f"| pairs at random | | {floor[0]:.1%} | {floor[1]:.3f} | {floor[2]:.3f} |\n")
        kinds = [*LIKE, "all parts alike"]
        widest = sorted(
            spread[LIKE[0]], key=lambda one: max(spread[k][one] for k in kinds) - min(spread[k][one] for k in kinds)
        )
        click.echo(f"| class, precision@10 | {' | '.join(kinds)} |\n|---|{'--:|' * len(kinds)}")
        for one in widest[::-1]:
            click.echo(f"| {one} | " + " | ".join(f"{spread[kind][one]:.0%}" for kind in kinds) + " |")


if __name__ == "__main__":
    main()
