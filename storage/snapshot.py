"""A copy of an SQLite catalogue, whole and of one moment, made while others go on writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from storage.errors import CatalogError
from storage.shards import ShardFile
from storage.tables import GONE, PRESENT, UNREADABLE


@dataclass(frozen=True)
class Snapshot:
    """What a copy of a catalogue names."""

    shards: list[ShardFile]
    photos: dict[str, int]  # by state


def is_a_file(engine: Engine) -> bool:
    """Whether the catalogue is an SQLite file, which can be copied; a server's own tools copy a server's."""
    return engine.dialect.name == "sqlite"


def take_snapshot(engine: Engine, path: Path) -> Snapshot:
    """Copy the catalogue to a file that is not there yet. Nobody's job runs in the copy, and no saved index belongs to it.

    Raises CatalogError where the catalogue is no SQLite file, is damaged, or the disk refuses.
    """
    if not is_a_file(engine):
        raise CatalogError(f"The catalogue is on {engine.dialect.name}: its own tools make copies of it.")
    source = engine.raw_connection()
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as target:
            # All pages in one step: it reads one state, and in WAL mode a reader holds up no writer.
            source.driver_connection.backup(target)  # type: ignore[union-attr]
            # One file with nothing beside it. The copy's own: who opens it as a catalogue has it in WAL mode again.
            target.execute("PRAGMA journal_mode=DELETE")
            target.execute("UPDATE job SET state = 'interrupted', lease_until = 0 WHERE state = 'running'")
            target.execute("DELETE FROM generation")
            found = [row[0] for row in target.execute("PRAGMA quick_check")]
            shards = [ShardFile(*row) for row in target.execute("SELECT file, rows, bytes, checksum FROM shard")]
            counted = dict(target.execute("SELECT state, count(*) FROM photo GROUP BY state").fetchall())
    except sqlite3.Error as error:
        raise CatalogError(
            f"The catalogue can't be copied: {error}. Is the disk full, or the catalogue damaged?"
        ) from error
    finally:
        source.close()
    if found != ["ok"]:
        raise CatalogError(f"The catalogue is damaged: {'; '.join(found)}. A copy of it would be no backup.")
    return Snapshot(shards, {state: counted.get(state, 0) for state in (PRESENT, UNREADABLE, GONE)})
