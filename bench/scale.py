"""What a library of any size costs: opening, searching, filtering, re-scanning; beside FAISS' flat index and rclip's way.

    python -m bench.scale --folder DIR [--counts 10000,100000,1000000]

Each figure comes from a process of its own, with one thread for arithmetic. The libraries are generated (bench/scale_library.py)
into DIR, and used again where they are there. rclip's way: all vectors read from an SQLite table for each query, then compared by
NumPy (as its version 3 does; written here anew).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import scale_search


@click.command()
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Where the libraries are made and kept.")
@click.option("--counts", default="10000,100000,1000000", show_default=True)
@click.option("--phase", hidden=True)
def main(folder: Path, counts: str, phase: str | None) -> None:
    """Prints one JSON document for each count."""
    if phase is not None:
        print(json.dumps(PHASES[phase](folder) | {"peak MB": scale_search.peak_mb()}))
        return
    from bench.scale_library import make

    for count in map(int, counts.split(",")):
        library = folder / f"library-{count}"
        if not (library / "made").exists():
            make(library, folder / f"photos-{count}", count)
            (library / "made").touch()
        report = {"count": count, "bytes a photo on disk": round(_bytes(library) / count)}
        for name in PHASES:
            report[name] = _in_own_process(library, name)
            click.echo(f"{count} {name}: {json.dumps(report[name])}", err=True)
        print(json.dumps(report))


def _in_own_process(library: Path, phase: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.scale", "--folder", str(library), "--phase", phase]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "STARTED": str(time.time())}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def build(folder: Path) -> dict[str, Any]:
    """Seconds to build the index of each part from the shards, and to keep it."""
    from index.library import Library

    found = {}
    with Library.open(folder) as library:
        library.indexes.drop()
        for part in library.space.names:
            start = time.monotonic()
            index = library.index(part)
            found[f"{part}: {index.choice.factory}"] = round(time.monotonic() - start, 2)
        start = time.monotonic()
        library.indexes.save()
        return found | {"saving": round(time.monotonic() - start, 2)}


def first_answer(folder: Path) -> dict[str, Any]:
    """Seconds from the start of Python, and from opening the library, to the first neighbours."""
    from index.library import Library
    from index.search import example_of_photo, find_similar

    start = time.monotonic()
    with Library.open(folder) as library:
        answer = find_similar(library, [example_of_photo(library, 7)])
        assert answer.neighbours[0].photo.id == 7
        return {
            "seconds from opening": round(time.monotonic() - start, 3),
            "seconds from starting Python": round(time.time() - float(os.environ["STARTED"]), 3),
        }


def rescan(folder: Path) -> dict[str, Any]:
    """Files a second of an index run over a library in which nothing has changed."""
    from index.job import index_folder
    from index.library import Library

    photos = folder.with_name(folder.name.replace("library", "photos"))
    with Library.open(folder) as library:
        start = time.monotonic()
        *_, last = index_folder(library, [str(photos)])
        seconds = time.monotonic() - start
        assert last.report is not None
        assert last.report["unchanged"] == last.report["seen"]
        start = time.monotonic()
        walked = sum(len(files) for _, _, files in os.walk(photos))
        walk = time.monotonic() - start
        start = time.monotonic()
        for root, _, files in os.walk(photos):
            for name in files:
                os.stat(f"{root}/{name}")
        return {
            "files a second": round(walked / seconds),
            "os.walk alone": round(walked / walk),
            "os.walk and os.stat alone": round(walked / (time.monotonic() - start)),
        }


def add(folder: Path) -> dict[str, Any]:
    """Seconds to index 200 new photographs of 640 x 480 pixels with the starter network, and to have them in a search.

    The first run of two pays for the start of the network and the decoders.
    """
    from PIL import Image

    from index.job import index_folder
    from index.library import Library
    from index.search import example_of_photo, find_similar

    photos = folder.with_name(folder.name.replace("library", "photos"))
    report: dict[str, Any] = {}
    with Library.open(folder) as library:
        library.index(library.space.pooled)
        for run in ("first 200", "next 200"):
            new = photos / f"new-{time.time_ns()}"
            new.mkdir()
            random = np.random.default_rng(time.time_ns())
            for number in range(200):
                cells = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
                Image.fromarray(cells).resize((640, 480), Image.Resampling.BICUBIC).save(new / f"{number}.jpg")
            start = time.monotonic()
            *_, last = index_folder(library, [str(new)])
            seconds = time.monotonic() - start
            assert last.report is not None
            assert last.report["embedded"] == 200
            newest = library.catalog.newest_photo()
            start = time.monotonic()
            answer = find_similar(library, [example_of_photo(library, newest)])
            assert newest in [neighbour.photo.id for neighbour in answer.neighbours]
            report[run] = {"seconds": round(seconds, 2), "then seconds to a search": round(time.monotonic() - start, 3)}
    return report


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


PHASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "build": build,
    "first answer": first_answer,
    "search": scale_search.search,
    "filters": scale_search.filters,
    "re-scan": rescan,
    "add": add,
    "peers": scale_search.peers,
}

if __name__ == "__main__":
    main()
