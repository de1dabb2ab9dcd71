"""How sure the model must be of a label for a photo to be found by it: what a filter by a word lets through, and misses.

    REGCONV_DATA=... python -m bench.words

The starter's labels of caltech101/test, which it has not seen; each of the 101 classes asks by its own word. Means over the
classes, for each least summed probability (`index.words.LEAST`), and for the list that `search --label` gives without a picture.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.starter import plain_name

LEASTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


@click.command()
@click.option("--library", "folder", help="Keep the library here, for the next time.")
def main(folder: str | None) -> None:
    """Prints one JSON document."""
    with tempfile.TemporaryDirectory() as scratch:
        click.echo(json.dumps(measure(folder or str(Path(scratch) / "library")), indent=2))


def measure(folder: str) -> dict[str, Any]:
    """Precision and recall of filters, and the average precision of the ranked list."""
    from index.job import index_folder
    from index.library import Library
    from index.words import Named, scores
    from storage.records import Filter

    photos = Path(os.environ["REGCONV_DATA"]) / "caltech101" / "test"
    with Library.open(folder, model="starter", create=True) as library:
        list(index_folder(library, [str(photos)]))
        numbers = {label: index for index, label in library.space.labels.items()}
        figures: dict[float, list[tuple[float, float]]] = {least: [] for least in LEASTS}
        average = []
        for classes in sorted(path for path in photos.iterdir() if path.is_dir()):
            label = plain_name(classes.name)
            right = library.catalog.matching(Filter(folder=str(classes)))
            found, sure = scores(library, Named(label, (numbers[label],), ()))
            hits = np.isin(found, right)
            for least, rows in figures.items():
                passed = hits[sure >= least]
                rows.append((float(passed.mean()) if len(passed) else 1.0, float(passed.sum() / len(right))))
            ranked = hits[np.argsort(-sure, kind="stable")]
            average.append(float((ranked.cumsum() / (np.arange(len(ranked)) + 1) * ranked).sum() / len(right)))
    table = {str(least): np.round(np.mean(rows, axis=0), 3).tolist() for least, rows in figures.items()}
    return {"classes": len(average), "precision, recall by least": table, "mAP of the list": round(np.mean(average), 3)}


if __name__ == "__main__":
    main()
