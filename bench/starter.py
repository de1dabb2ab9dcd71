"""How good a model is on Caltech-101: top-1 and top-5 of its labels, and how well its vectors find pictures of the same class.

    REGCONV_DATA=... python -m bench.starter [--model starter]

Every picture of caltech101/test is labelled, and asks for its like among caltech101/train by the plain cosine of the pooled
vectors; a library's search whitens them first, and finds more (`evaluate` says both). A class is right where the label is the
folder's in plain words (`regconv/starter/README.md`); with other models only the search is measured.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import numpy as np

from regconv.backbone import Backbone, load_backbone
from regconv.images import prepare

# Folders of Caltech-101 whose name in plain words is not simply the name with spaces.
PLAIN = {
    "Faces": "face", "Faces_easy": "face close up", "Leopards": "leopard", "Motorbikes": "motorbike",
    "airplanes": "airplane", "car_side": "car from the side", "garfield": "Garfield", "joshua_tree": "Joshua tree",
    "snoopy": "Snoopy", "water_lilly": "water lily", "windsor_chair": "Windsor chair", "yin_yang": "yin and yang",
}  # fmt: skip


@click.command()
@click.option("--model", default="starter", show_default=True)
def main(model: str) -> None:
    """Prints one JSON document."""
    backbone = load_backbone(model)
    folder = Path(os.environ["REGCONV_DATA"]) / "caltech101"
    asked, asked_classes, labels = vectors(backbone, folder / "test")
    found, found_classes, _ = vectors(backbone, folder / "train")
    document = {"model": model, "test": len(asked), "train": len(found)}
    document |= label_figures(backbone, labels, asked_classes) | retrieval_figures(
        asked @ found.T, asked_classes[:, None] == found_classes
    )
    click.echo(json.dumps(document, indent=2))


def plain_name(folder: str) -> str:
    """A class folder's name in plain words."""
    return PLAIN.get(folder, folder.replace("_", " "))


def vectors(backbone: Backbone, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors (n, d), classes in plain words (n,) and the numbers of the top labels (n, k) of a folder's pictures."""
    paths = sorted(folder.glob("*/*.jpg"))
    found, labels = [], []
    for start in range(0, len(paths), 64):
        pictures = np.stack([prepare(path, backbone.description.recipe) for path in paths[start : start + 64]])
        parts = backbone.embed(pictures)
        found.append(parts.vectors[backbone.description.pooled])
        labels.append(parts.labels)
    return np.concatenate(found), np.array([plain_name(path.parent.name) for path in paths]), np.concatenate(labels)


def label_figures(backbone: Backbone, labels: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Shares of pictures whose class is the first label, or one of five."""
    names = backbone.description.labels
    if not set(classes) <= set(names.values()):
        return {}
    hits = np.array([[names[int(label)] for label in row] for row in labels]) == classes[:, None]
    return {"top1": round(float(hits[:, 0].mean()), 4), "top5": round(float(hits.any(1).mean()), 4)}


def retrieval_figures(scores: np.ndarray, same: np.ndarray) -> dict[str, Any]:
    """Mean average precision and precision at 10, of scores and truths, both (queries, pictures)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(same, order, axis=1)
    precision = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    average = (precision * hits).sum(1) / hits.sum(1)
    return {"map": round(float(average.mean()), 4), "precision_at_10": round(float(hits[:, :10].mean()), 4)}


if __name__ == "__main__":
    main()
