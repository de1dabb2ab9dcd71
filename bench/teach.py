"""How well words are learnt from few photos on Caltech-101: accuracy, calibration, and the rates of "none of these".

    REGCONV_DATA=... python -m bench.teach [--model starter] [--seeds 3] [--words 2,10,50,101] [--unseen]

Photos to learn from and the library's other photos are drawn from caltech101/train, the questions are all of caltech101/test:
pictures of the taught classes, and of the rest, for which "none of these" is right. The other photos are drawn as they come,
pictures of the taught classes that nobody marked among them. (A model that was trained on caltech101/train knows the photos
to learn from by heart: its held-out answers, and so its calibration, are then better than they would be on other photos.
`--unseen` teaches from one half of caltech101/test and asks the other, with 1 and 5 photos a class.)
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import click
import numpy as np

from index.probe import fit
from index.teach import OTHERS, choices_of
from regconv.backbone import Backbone, load_backbone
from regconv.images import prepare

SHOTS = (1, 5, 20)
BINS = 10
FIGURES = ("top-1", "calibration error", "false rejects", "false accepts", "seconds to fit")


@click.command()
@click.option("--model", default="starter", show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--words", default="2,10,50,101", show_default=True, help="How many classes are taught.")
@click.option("--unseen", is_flag=True, help="Teach from one half of caltech101/test and ask the other.")
def main(model: str, seeds: int, words: str, unseen: bool) -> None:
    """Prints a Markdown table: mean and standard deviation over the seeds."""
    backbone = load_backbone(model)
    folder = Path(os.environ["REGCONV_DATA"]) / "caltech101"
    test, asked = vectors(backbone, folder / "test")
    if unseen:
        (train, known), (test, asked) = halves(test, asked)
    else:
        train, known = vectors(backbone, folder / "train")
    choices = choices_of(tuple(train), backbone.description.pooled)
    click.echo(f"| words | photos each | {' | '.join(FIGURES)} |\n|--:|--:|{'--:|' * len(FIGURES)}")
    for count in map(int, words.split(",")):
        for shots in SHOTS[:2] if unseen else SHOTS:
            runs = [one_run(train, known, test, asked, choices, count, shots, seed) for seed in range(seeds)]
            mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean[:-1], spread[:-1], strict=True)]
            cells = ["" if cell.startswith("nan") else cell for cell in cells]
            click.echo(f"| {count} | {shots} | {' | '.join(cells)} | {mean[-1]:.1f} |")


def vectors(backbone: Backbone, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The stored precision's vectors (n, d) by part, and class names (n,), of a folder's pictures."""
    paths = sorted(folder.glob("*/*.jpg"))
    found: dict[str, list[np.ndarray]] = {name: [] for name, _ in backbone.description.parts}
    for start in range(0, len(paths), 64):
        parts = backbone.embed(
            np.stack([prepare(path, backbone.description.recipe) for path in paths[start : start + 64]])
        )
        for name in found:
            found[name].append(parts.vectors[name].astype(np.float16).astype(np.float32))
    return {name: np.concatenate(rows) for name, rows in found.items()}, np.array([path.parent.name for path in paths])


def halves(
    test: dict[str, np.ndarray], classes: np.ndarray
) -> tuple[tuple[dict[str, np.ndarray], np.ndarray], tuple[dict[str, np.ndarray], np.ndarray]]:
    """Every second picture of each class, and the others."""
    first = np.zeros(len(classes), bool)
    for name in np.unique(classes):
        first[np.flatnonzero(classes == name)[::2]] = True
    one, other = ({part: rows[chosen] for part, rows in test.items()} for chosen in (first, ~first))
    return (one, classes[first]), (other, classes[~first])


def one_run(
    train: dict[str, np.ndarray],
    known: np.ndarray,
    test: dict[str, np.ndarray],
    asked: np.ndarray,
    choices: list[tuple[str, ...]],
    count: int,
    shots: int,
    seed: int,
) -> tuple[float, ...]:
    """FIGURES of one draw: top-1 and calibration over taught classes as if "none of these" were no answer."""
    random = np.random.default_rng(seed)
    words = np.sort(random.permutation(np.unique(known))[:count])
    marked = np.concatenate([random.permutation(np.flatnonzero(known == word))[:shots] for word in words])
    others = random.permutation(np.setdiff1d(np.arange(len(known)), marked))[:OTHERS]
    targets = (known[marked][:, None] == words).astype(float)
    start = time.perf_counter()
    probe = fit(
        words.tolist(),
        {p: v[marked] for p, v in train.items()},
        targets,
        {p: v[others] for p, v in train.items()},
        choices,
    )
    seconds = time.perf_counter() - start
    chances = probe.chances(test)
    taught = np.isin(asked, words)
    named = chances[taught, :-1] / chances[taught, :-1].sum(axis=1, keepdims=True)
    right = words[named.argmax(axis=1)] == asked[taught]
    refused = chances[:, -1] > 0.5
    accepts = float((~refused[~taught]).mean()) if (~taught).any() else float("nan")
    error = calibration_error(named.max(axis=1), right)
    return float(right.mean()), error, float(refused[taught].mean()), accepts, seconds


def calibration_error(chance: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: |accuracy - chance| in ten bins of chance, weighed by their pictures."""
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    gaps = [abs(right[place == one].mean() - chance[place == one].mean()) * (place == one).mean() for one in set(place)]
    return float(sum(gaps))


if __name__ == "__main__":
    main()
