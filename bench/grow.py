"""Does a photo cost the same in a large library? Milliseconds for each, with a tiny network, as a library grows.

    python -m bench.grow --folder DIR [--counts 1000,10000,100000]

Small JPEGs and a network of a few thousand parameters, so that what is measured is everything around the network: scan,
decoding, catalogue, shards, index. Each step adds the photos up to its count in a process of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from bench.scale_search import peak_mb

SIDE = 64
FOLDER_FILES = 1000


@click.command()
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Made anew: photos, model and library.")
@click.option("--counts", default="1000,10000,100000", show_default=True)
@click.option("--step", type=int, hidden=True)
def main(folder: Path, counts: str, step: int | None) -> None:
    """Prints one JSON document for each step."""
    if step is not None:
        print(json.dumps(index(folder)))
        return
    shutil.rmtree(folder, ignore_errors=True)
    _tiny_model(folder / "model")
    there = 0
    for count in map(int, counts.split(",")):
        for number in range(there, count):
            _photo(folder / "photos" / f"{number // FOLDER_FILES:04d}" / f"{number:06d}.jpg", number)
        there = count
        command = [sys.executable, "-m", "bench.grow", "--folder", str(folder), "--step", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(json.dumps({"photos": count} | json.loads(done.stdout.splitlines()[-1])), flush=True)


def index(folder: Path) -> dict[str, Any]:
    """One run over all photos, of which the new ones are embedded."""
    from index.job import index_folder
    from index.library import Library

    with Library.open(folder / "library", model=str(folder / "model"), create=True) as library:
        start = time.monotonic()
        *_, last = index_folder(library, [str(folder / "photos")])
        seconds = time.monotonic() - start
    assert last.report is not None
    new = last.report["embedded"]
    return {
        "new": new, "seconds": round(seconds, 1), "ms a new photo": round(seconds / new * 1e3, 2), "peak MB": peak_mb()
    }  # fmt: skip


def _tiny_model(folder: Path) -> None:
    from regconv import ConvNextImageProcessor, RegNetConfig, RegNetForImageClassification

    config = RegNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], groups_width=8)
    RegNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": SIDE}, crop_pct=1.0).save_pretrained(folder)


def _photo(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(path, quality=85)


if __name__ == "__main__":
    main()
