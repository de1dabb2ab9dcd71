"""A Decoder whose workers do what a file's name asks for, and files of one colour each. Imported by workers too.

Run as a program it decodes the files given and prints what became of each: something to be killed.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from index.decode import Decoded, Decoder, DecodeTask, Failure, Known
from index.decode_worker import decode_file
from regconv.images import Limits, Recipe

RECIPE = Recipe(32, 0.875, 3)


def work(task: DecodeTask, recipe: Recipe, limits: Limits) -> Decoded | Known | Failure:
    """decode_file, after whatever the file's name says."""
    name = os.path.basename(task.path)
    if "hang" in name:
        time.sleep(600)
    if "stuck" in name:  # neither a signal handler nor a thread runs in here
        sum(itertools.repeat(1, 10**13))
    if "crash" in name:
        os.abort()
    if "vanish" in name:
        os._exit(3)
    if "hungry" in name:
        bytearray(2 << 30)  # refused at once under a limit, and never touched without one
    if "bug" in name:
        raise KeyError("planted")
    if "slow" in name:
        time.sleep(0.3)
    if "modules" in name:
        raise RuntimeError(" ".join(sys.modules))
    return decode_file(task, recipe, limits)


class PlantedDecoder(Decoder):
    """See the module."""

    _decode_file = staticmethod(work)


def colour_of(number: int) -> tuple[int, int, int]:
    return (number * 37 % 256, number * 91 % 256, number * 5 % 256)


def coloured_files(folder: Path, count: int, names: dict[int, str] | None = None) -> list[DecodeTask]:
    """Files that are each of one colour, so that a mixed up pair shows; some of them renamed."""
    tasks = []
    for number in range(count):
        path = folder / f"{number:03}{(names or {}).get(number, '')}.png"
        Image.new("RGB", (50, 40), colour_of(number)).save(path)
        tasks.append(DecodeTask(str(path)))
    return tasks


def assert_own_colour(result: object, number: int) -> None:
    assert isinstance(result, Decoded), result
    np.testing.assert_array_equal(result.picture, np.full((32, 32, 3), colour_of(number), np.uint8))


def main() -> None:
    """Decode the files given, until Ctrl-C."""
    results = PlantedDecoder(RECIPE, workers=2).decode(DecodeTask(path) for path in sys.argv[1:])
    try:
        for result in results:
            print(type(result).__name__, flush=True)  # noqa: T201  what the test reads
    except KeyboardInterrupt:
        print("interrupted", flush=True)  # noqa: T201


if __name__ == "__main__":
    from tests.index import planted_faults  # so that workers find the class under its importable name

    planted_faults.main()
