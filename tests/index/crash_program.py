"""A program that runs index jobs in children of its own and kills them between the steps of their writing, when told to.

Each line on stdin is an order (JSON), each line on stdout an answer: the steps that were begun and how the child ended.
Everything is imported once: a child is a fork, and begins at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

import index.compact
import index.job
import index.open_space
import index.pending
import index.vectors
from index.indexes import Indexes
from index.job import index_folder
from index.library import Library
from index.switch import switch_model
from storage import database
from tests.index import two_models
from tests.index.colour_program import without_torch

WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER")


class Steps:
    """Tells each step of writing before it is taken, and pauses at the one after which the kill comes."""

    def __init__(self, told: int, order: dict[str, Any]) -> None:
        self.told = told
        self.order = order
        self.part = "opening"
        self.last_write = ""
        self.count: dict[str, int] = {}

    def __call__(self, kind: str, what: object = "") -> None:
        name = f"{self.part}: {kind} {what}".strip()
        self.count[name] = self.count.get(name, 0) + 1
        os.write(self.told, f"{name}\n".encode())
        if (name, self.count[name]) == (self.order.get("step"), self.order.get("time")):
            os.write(self.told, b"\n")  # now
            time.sleep(self.order["pause_s"])

    def statement(self, sql: str) -> None:
        words = sql.split()
        if words and words[0] in WRITES:
            self.last_write = " ".join(words[:3]).replace("INTO ", "").replace("FROM ", "")
            self("sql", " ".join(self.last_write.split()[:2]))


def plant(steps: Steps) -> None:
    """Put a step before everything that changes a file or the database."""
    for name in ("fsync", "replace", "rename", "unlink", "utime", "mkdir"):
        setattr(os, name, _before(getattr(os, name), steps, name))
    opened = Path.open

    def watched(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        file = opened(path, mode, *rest, **named)
        return TornFile(file, steps, _kind(path)) if "w" in mode else file

    Path.open = watched  # type: ignore[method-assign]
    faiss = index.vectors.faiss
    write_index = faiss.write_index

    def torn(what: Any, path: str) -> None:
        steps("write", "faiss")
        write_index(what, path)
        os.truncate(path, os.path.getsize(path) // 2)
        steps("write half", "faiss")
        write_index(what, path)

    faiss.write_index = torn
    event.listen(Engine, "before_cursor_execute", lambda _c, _cursor, sql, *_: steps.statement(sql))
    event.listen(Engine, "commit", lambda _: steps("commit", steps.last_write))
    _name_parts(steps)


class TornFile:
    """A file of which half is on the disk for a moment."""

    def __init__(self, file: Any, steps: Steps, kind: str) -> None:
        self.file, self.steps, self.kind = file, steps, kind

    def __enter__(self) -> TornFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: Any) -> int:
        whole = memoryview(data).cast("B")
        self.file.write(whole[: len(whole) // 2])
        self.file.flush()
        self.steps("write half", self.kind)
        self.file.write(whole[len(whole) // 2 :])
        return len(whole)


def _before(function: Callable[..., Any], steps: Steps, name: str) -> Callable[..., Any]:
    def watched(what: Any, *rest: Any, **named: Any) -> Any:
        steps(name, "" if isinstance(what, int) else _kind(what))
        return function(what, *rest, **named)

    return watched


def _kind(path: Any) -> str:
    """Which kind of file: its endings, without the part that is made up."""
    name = os.path.basename(os.fspath(path))
    return " ".join(ending for ending in name.split(".")[1:] if len(ending) != 8) or "folder"


def _name_parts(steps: Steps) -> None:
    """A step is told with the part of the job that it belongs to."""
    compact, sweep, save = index.job.compact, index.job.sweep, Indexes.save

    def merging(*given: Any) -> Iterator[tuple[int, int]]:
        steps.part = "merging"
        yield from compact(*given)
        steps.part = "indexing"

    def sweeping(*given: Any) -> None:
        steps.part = "sweeping"
        sweep(*given)
        steps.part = "indexing"

    def saving(self: Indexes) -> None:
        steps.part = "saving"
        save(self)
        steps.part = "indexing"

    index.job.compact, index.job.sweep, Indexes.save = merging, sweeping, saving  # type: ignore[assignment,method-assign]


def job(order: dict[str, Any], told: int) -> None:
    """Runs in a child: opens the library and indexes the folder, or changes its model; several commits and a merge a run."""
    index.pending.COMMIT_PHOTOS, index.compact.SMALL_SHARDS, index.compact.GRACE_S = 3, 3, -1
    if order["migrations"]:
        database.MIGRATIONS, database.SCHEMA_VERSION = Path(order["migrations"][0]), order["migrations"][1]
    steps = Steps(told, order)
    plant(steps)
    if "switch" in order:
        index.open_space.describe, index.open_space.load_backbone = two_models.describe, two_models.load_backbone
    with Library.open(order["library"], model=None if "switch" in order else "colours", create=True) as library:
        steps.part = "switching" if "switch" in order else "indexing"
        does = switch_model(library, order["switch"]) if "switch" in order else index_folder(library, [order["folder"]])
        *_, last = does
        assert last.report is not None


def run(order: dict[str, Any]) -> dict[str, Any]:
    """What became of a child that did the job, or was killed at it."""
    reads, told = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reads)
            job(order, told)
            code = 0
        except KeyboardInterrupt:
            code = 130
        except Exception:  # noqa: BLE001  (the child of a fork must not go on where its parent was)
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(told)
    steps = []
    with closing(os.fdopen(reads, encoding="utf-8")) as lines:
        for line in lines:
            if line == "\n":
                time.sleep(order["delay_s"])
                os.kill(child, signal.Signals[order["signal"]])
            else:
                steps.append(line.strip())
    _, status = os.waitpid(child, 0)
    return {"steps": steps, "ended": os.waitstatus_to_exitcode(status)}


def main() -> None:
    """Until stdin ends."""
    without_torch()
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)  # noqa: T201  the answer


if __name__ == "__main__":
    main()
