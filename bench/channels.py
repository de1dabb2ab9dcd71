"""How long a channel search takes over a library, and how much memory: python -m bench.channels LIBRARY"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from statistics import median

from index.channels import photos_of_channel, strongest_channels
from index.library import Library
from storage.records import Filter

TIMES = 9
CAMERA = Filter(camera="Camera 17")  # a rare one of bench/scale_library.py


def main(folder: str) -> None:
    """Prints a table of one row."""
    with Library.open(folder) as library:
        stages = [name for name in library.space.names if name != "pooled"]
        photos = [photo.id for photo in library.catalog.photos_in("present", TIMES)]
        figures = [
            milliseconds(lambda _: photos_of_channel(library, 1, stages[0]), 1),
            milliseconds(lambda n: photos_of_channel(library, n, stages[n % len(stages)]), TIMES),
            milliseconds(lambda n: photos_of_channel(library, n, where=CAMERA), TIMES),
            milliseconds(lambda n: strongest_channels(library, photos[n], by="unusual"), len(photos)),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        ]
        print(
            "| contents | first search, ms | photos of a channel, ms | of one camera, ms | a photo's channels, ms | peak MB |"
        )
        print("|--:|--:|--:|--:|--:|--:|")
        print(" | ".join([f"| {len(library.vectors):,}", *(f"{figure:,.0f}" for figure in figures)]) + " |")


def milliseconds(work: Callable[[int], object], times: int) -> float:
    """The median over so many calls."""
    taken = []
    for number in range(times):
        start = time.perf_counter()
        work(number)
        taken.append((time.perf_counter() - start) * 1000)
    return median(taken)


if __name__ == "__main__":
    main(sys.argv[1])
