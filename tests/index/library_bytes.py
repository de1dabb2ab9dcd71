"""What a library, or a backup of one, consists of, read without a line of ours; and the report at the end of a job."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

KEPT = ("setting", "content", "photo", "space", "shard", "vector", "label", "mark", "probe")


def report_of(steps: Iterator[Any]) -> dict[str, Any]:
    *_, last = steps
    assert last.report is not None
    json.dumps(last.report)
    return last.report


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path) -> dict[str, list[tuple]]:
    """Every row of every table that holds more than runs and caches, without a line of ours."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in KEPT}


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if name.startswith(("shards", "thumbnails"))}
