"""Small pictures of few colours, and a decoder that lets something happen to a file while it is read."""

from __future__ import annotations

import builtins
import functools
import io
import os
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from index.decode_worker import Decoded, DecodeTask, decode_file
from regconv.images import Limits
from tests.index.conftest import InlineDecoder


def directions() -> list[tuple[int, int, int]]:
    """Colours whose mean vectors point far apart, so that each photo is its own nearest."""
    found: list[tuple[int, int, int]] = []
    for colour in np.ndindex(4, 4, 4):
        values = np.array(colour) * 72 + 20
        units = [np.array(other) / np.linalg.norm(other) for other in found]
        if all(unit @ values / np.linalg.norm(values) < 0.99 for unit in units):
            found.append((int(values[0]), int(values[1]), int(values[2])))
    return found


COLOURS = directions()


@functools.cache
def bytes_of(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


COLOUR_OF = {bytes_of(colour): colour for colour in range(len(COLOURS))}


class WatchedDecoder(InlineDecoder):
    """The decoder's work in this process; what is to happen to a file while it is read happens then."""

    before: dict[str, Callable[[], None]] = {}  # noqa: RUF012  (of one machine at a time)
    during: dict[str, Callable[[], None]] = {}  # noqa: RUF012
    current = ""

    def decode(self, tasks: Iterable[DecodeTask]) -> Generator[Any, None, None]:
        for task in tasks:
            self.before.pop(task.path, lambda: None)()
            WatchedDecoder.current = task.path
            yield decode_file(task, self.recipe, Limits())

    def picture(self, path: str) -> Decoded:
        WatchedDecoder.current = ""
        return super().picture(path)


class WatchedFile:
    """A file that changes between the question for its stamp and the reading of its bytes."""

    def __init__(self, *named: Any) -> None:
        self.file = builtins.open(*named)  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> WatchedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def fileno(self) -> int:
        return self.file.fileno()

    def read(self, size: int) -> bytes:
        WatchedDecoder.during.pop(WatchedDecoder.current, lambda: None)()
        return self.file.read(size)


def candidate(path: str) -> tuple[int, int] | None:
    """Size and time of a file that is or claims to be a picture; zeros for one that can't be asked."""
    claims = path.lower().endswith((".png", ".jpg", ".webp"))
    try:
        facts = os.stat(path)
        return (facts.st_size, facts.st_mtime_ns) if claims or read(path)[:4] == b"\x89PNG" else None
    except OSError:
        return (0, 0) if claims else None


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def rewrite(path: str, data: bytes, time_ns: int) -> None:
    Path(path).write_bytes(data)
    os.utime(path, ns=(time_ns, time_ns))
