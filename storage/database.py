"""Engine, transactions and schema of the catalogue: SQLite in WAL mode by default, any SQLAlchemy URL otherwise."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError

from storage import read_only
from storage.errors import CatalogError

SCHEMA_VERSION = "0002"
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_WAIT_S = 30
CHUNK = 500  # values in one IN (...): far below every database's limit
T = TypeVar("T")


def sqlite_url(file: Path) -> URL:
    """The SQLAlchemy URL of an SQLite file."""
    # In a URL that is text, a folder's "?" and "%" would mean something else.
    return URL.create("sqlite", database=str(file))


def open_engine(url: str | URL) -> Engine:
    """An engine on a catalogue whose schema is current.

    An SQLite file that can't be written to is opened for reading: `writing` then raises ReadOnly. Raises CatalogError where
    the database can't be reached, or is of a newer RegConv than this one.
    """
    try:
        engine = read_only.engine(url) or create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _set_pragmas)
            event.listen(engine, "begin", _begin)
        try:
            _migrate(engine)
        except BaseException:
            engine.dispose()  # no file stays open, nor SQLite's log beside it
            raise
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise CatalogError(
            f"{_safe(url)!r} is not a database that can be used: {error}. Expected {EXPECTED}."
        ) from error
    except DBAPIError as error:
        raise CatalogError(f"The database {_safe(url)} can't be opened: {error.orig}.") from error
    return engine


EXPECTED = "something like postgresql+psycopg://user:password@host/name, or no --database for SQLite in the library"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection whose statements see one state of the catalogue."""
    with _in_words(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection with one write transaction: committed at the end, rolled back by any error. Raises ReadOnly."""
    read_only.refuse(engine)
    # IMMEDIATE takes the write lock at once: a deferred transaction that first reads can fail when it comes to write.
    with _in_words(), engine.connect().execution_options(immediate=True) as connection, connection.begin():
        yield connection


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise CatalogError(
            f"The catalogue can't be used: {error.orig}. Is the disk full or read-only, or does another program hold the file? "
            "Nothing of this step was written; mend that and run it again."
        ) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # the others are faults of ours: a broken constraint, a wrong statement
            raise
        raise CatalogError(
            f"The catalogue is damaged: {error.orig}. Nothing of this step was written. Restore a backup of it, or begin a new "
            "library: `index` makes everything again from the photos."
        ) from error


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists short enough for one IN (...)."""
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def now() -> datetime:
    """This second, in UTC, as a time without zone: what SQLite keeps."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see _begin
    connection.execute(f"PRAGMA busy_timeout={LOCK_WAIT_S * 1000}")
    if isinstance(connection, read_only.ReadConnection):
        return
    _use_write_ahead_log(connection)
    for pragma in (
        "synchronous=NORMAL",  # safe against kill -9; a power cut may undo the last commits, never corrupt
        "foreign_keys=ON",
        "cache_size=-8192",  # KiB a connection; the 2 MB that SQLite takes by itself hold no page of a large catalogue for long
    ):
        connection.execute(f"PRAGMA {pragma}")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Of two that switch a new file at the same moment SQLite refuses one at once, whatever its busy_timeout.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _migrate(engine: Engine) -> None:
    if _version(engine) == SCHEMA_VERSION:
        return
    read_only.refuse(engine)
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    found = _version(engine)
    try:
        if found is not None:
            ScriptDirectory.from_config(config).get_revision(found)
        command.upgrade(config, SCHEMA_VERSION)
    except CommandError as error:
        raise CatalogError(
            f"The catalogue has schema {found}, this RegConv knows up to {SCHEMA_VERSION}. Use the newer RegConv that made it."
        ) from error


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _safe(url: str | URL) -> str:
    """The URL with its password hidden, for messages."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return str(url)
