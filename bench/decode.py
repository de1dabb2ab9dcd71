"""How fast `prepare` is with JPEGs decoded at reduced scale, against full decoding, on 12-megapixel JPEGs.

    REGCONV_DATA=... python -m bench.decode [--files 12] [--pairs 5]

Both are measured in turn on the same files, in one process and one thread; the ratio is the figure, the rates depend on
the machine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from bench.camera_photos import CAMERA, photo_paths, write_enlarged, write_mosaics
from regconv.images import Recipe, prepare

SIZES = (128, 224, 384)


@click.command()
@click.option("--files", default=12, help="how many JPEGs, half of them mosaics, half enlarged photographs")
@click.option("--pairs", default=5, help="how many times each way")
def main(files: int, pairs: int) -> None:
    """A Markdown table on stdout."""
    with tempfile.TemporaryDirectory() as folder:
        every = photo_paths()
        half = max(1, files // 2)
        sources = {
            "mosaics": write_mosaics(Path(folder), every, half),
            "enlarged": write_enlarged(Path(folder), every[:half], CAMERA[0]),
        }
        print(
            f"Command: `python -m bench.decode --files {files} --pairs {pairs}`; medians of {pairs} interleaved pairs.\n"
        )
        print("| size | files | MB each | full, images/s | reduced, images/s | ratio |")
        print("|---|---|---|---|---|---|")
        for size in SIZES:
            for name, paths in sources.items():
                megabytes = statistics.mean(path.stat().st_size for path in paths) / 1e6
                print(
                    f"| {size} | {name} | {megabytes:.1f} | {_compared(paths, Recipe(size, 0.875, 3), pairs)} |",
                    flush=True,
                )


def _compared(paths: list[Path], recipe: Recipe, pairs: int) -> str:
    full, reduced = [], []
    for _ in range(pairs):
        full.append(_rate(paths, replace(recipe, draft_factor=0)))
        reduced.append(_rate(paths, recipe))
    ratios = [fast / slow for fast, slow in zip(reduced, full, strict=True)]
    return f"{statistics.median(full):.1f} | {statistics.median(reduced):.1f} | {statistics.median(ratios):.1f}"


def _rate(paths: list[Path], recipe: Recipe) -> float:
    """Images a second of this thread's CPU time, which other work on the machine does not change much."""
    started = time.thread_time()
    for path in paths:
        prepare(path, recipe)
    return len(paths) / (time.thread_time() - started)


if __name__ == "__main__":
    main()
