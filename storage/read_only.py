"""A catalogue in a folder that can't be written to: on a disk mounted read-only, or another user's.

SQLite's write-ahead log wants two files beside the database even for reading. Where they are there, they are used; where they
are not, nobody is writing, and the file is read as it stands.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, NullPool, create_engine
from sqlalchemy.engine import make_url

from storage.errors import CatalogError, ReadOnly

OPTION = "read_only"  # among the engine's execution options: the file's path


class ReadConnection(sqlite3.Connection):
    """A connection that only reads."""


def engine(url: str | URL) -> Engine | None:
    """An engine that reads an SQLite file which can't be written to, None for any other database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.query:
        return None
    file = Path(parsed.database).absolute()
    if not file.exists() or (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        return None
    # A new connection for every question: whether somebody writes meanwhile is asked anew each time.
    return create_engine(
        "sqlite://", creator=lambda: _connect(file), poolclass=NullPool, execution_options={OPTION: str(file)}
    )


def refuse(engine: Engine) -> None:
    """Raises ReadOnly for an engine that only reads."""
    file = engine.get_execution_options().get(OPTION)
    if file is not None:
        raise ReadOnly(
            f"{Path(file).parent} can't be written to: the library in it can be looked at and searched, not changed. Make the "
            "folder writable (its disk may be mounted read-only, or it may be another user's), or use another --library."
        )


def _connect(file: Path) -> ReadConnection:
    log = Path(f"{file}-wal")
    is_written = log.exists() and (log.stat().st_size > 0 or os.path.exists(f"{file}-shm"))
    name = f"file:{quote(os.fsencode(file))}?mode=ro" + ("" if is_written else "&immutable=1")
    connection = sqlite3.connect(name, uri=True, factory=ReadConnection, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError as error:
        connection.close()
        if not is_written:
            raise
        raise CatalogError(
            f"{file} was not closed by the program that wrote it, and can't be read as it is ({error}). Open the library once "
            "where it can be written to, or copy it there."
        ) from error
    return connection
