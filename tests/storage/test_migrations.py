"""From one schema to the next: a planted second migration on a catalogue that the code of the first schema wrote."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from storage import database
from storage.catalog import Catalog
from storage.database import sqlite_url
from storage.errors import CatalogError

ROOT = Path(__file__).parents[2]
FIRST = ROOT / "tests" / "golden" / "first_library" / "library" / "catalog.sqlite"
NEXT = f"{int(database.SCHEMA_VERSION) + 1:04}"
# In batch mode, as most changes on SQLite are: `content` is copied, dropped and named anew, with rows pointing at it.
PLANTED = f'''"""A planted migration: contents get a number of stars."""

import os
import signal

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{database.SCHEMA_VERSION}"


def upgrade() -> None:
    op.create_table("star", sa.Column("content_id", sa.Integer(), primary_key=True))
    with op.batch_alter_table("content") as batch:
        batch.add_column(sa.Column("stars", sa.Integer(), nullable=False, server_default="3"))
        batch.alter_column("format", type_=sa.String(length=32))
    MIDDLE
    op.execute("INSERT INTO star SELECT id FROM content")
'''


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A catalogue of the first schema: five photos, one gone, one unreadable, three marks."""
    return Path(shutil.copy(FIRST, tmp_path / "catalog.sqlite"))


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes the planted migration the newest, with a line in its middle; the folder of the migrations."""

    original = database.MIGRATIONS

    def planted(middle: str = "pass") -> Path:
        folder = tmp_path / "migrations"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        (folder / "versions" / f"{NEXT}_planted.py").write_text(PLANTED.replace("MIDDLE", middle))
        monkeypatch.setattr(database, "MIGRATIONS", folder)
        monkeypatch.setattr(database, "SCHEMA_VERSION", NEXT)
        return folder

    return planted


def state(file: Path) -> dict[str, list[tuple]]:
    """What the catalogue says, without a line of ours: every row of what a user could lose."""
    with closing(sqlite3.connect(file)) as connection:
        columns = {
            "content": "id, digest, size, taken_at, camera",
            "photo": "*",
            "vector": "*",
            "mark": "*",
            "label": "*",
        }
        found = {table: connection.execute(f"SELECT {what} FROM {table}").fetchall() for table, what in columns.items()}
        return found | {"version": connection.execute("SELECT version_num FROM alembic_version").fetchall()}


def without_version(said: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    return {table: rows for table, rows in said.items() if table != "version"}


def test_the_first_schema_is_brought_up_to_date_with_everything_in_it(first: Path) -> None:
    before = state(first)
    assert [len(before[table]) for table in ("content", "photo", "vector", "mark", "label")] == [6, 7, 6, 3, 12]
    assert before["version"] == [("0001",)]
    catalog = Catalog(sqlite_url(first))
    assert catalog.counts(1) == {"present": 5, "unreadable": 1, "gone": 1, "embedded": 5}
    assert catalog.words() == {"cold": 1, "warm": 2}
    catalog.close()
    after = state(first)
    assert without_version(after) == without_version(before)
    assert after["version"] == [(database.SCHEMA_VERSION,)]


def test_a_migration_that_rebuilds_a_table_takes_nothing_along(first: Path, plant: Callable[..., Path]) -> None:
    before = state(first)
    plant()
    catalog = Catalog(sqlite_url(first))
    with catalog.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT stars FROM content").scalars().all() == [3] * 6
        assert connection.exec_driver_sql("SELECT count(*) FROM star").scalar() == 6
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1, "enforced again once it is done"
    assert catalog.counts(1)["embedded"] == 5
    catalog.close()
    after = state(first)
    assert without_version(after) == without_version(before)
    assert after["version"] == [(NEXT,)]


def test_a_migration_that_would_lose_what_rows_point_to_is_refused(first: Path, plant: Callable[..., Path]) -> None:
    before = state(first)
    plant('op.execute("DELETE FROM content WHERE id = 1")')
    with pytest.raises(CatalogError, match="5 rows would point to nothing; nothing was changed"):
        Catalog(sqlite_url(first))
    assert state(first) == before


def test_a_kill_in_the_middle_of_a_migration_leaves_a_catalogue_that_opens(
    first: Path, plant: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(first)
    folder = plant("os.kill(os.getpid(), signal.SIGKILL)")
    code = (
        "import sys; from pathlib import Path; from storage import database; from storage.catalog import Catalog\n"
        "database.MIGRATIONS, database.SCHEMA_VERSION = Path(sys.argv[1]), sys.argv[2]\n"
        "Catalog(database.sqlite_url(Path(sys.argv[3])))"
    )
    done = subprocess.run([sys.executable, "-c", code, folder, NEXT, first], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    copy = first.with_name("copy.sqlite")
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(f"{first}{ending}"):
            shutil.copy(f"{first}{ending}", f"{copy}{ending}")
    with monkeypatch.context() as back:  # the RegConv that knows no such migration
        back.setattr(database, "SCHEMA_VERSION", before["version"][0][0])
        old = Catalog(sqlite_url(copy))
        assert old.counts(1)["embedded"] == 5
        old.close()
    assert state(copy) == before
    plant()
    catalog = Catalog(sqlite_url(first))
    assert catalog.counts(1)["embedded"] == 5
    catalog.close()
    assert state(first) == without_version(before) | {"version": [(NEXT,)]}


def test_two_processes_that_migrate_at_the_same_moment_both_go_on(first: Path, plant: Callable[..., Path]) -> None:
    folder = plant("import time; time.sleep(1)")
    code = (
        "import sys; from pathlib import Path; from storage import database; from storage.catalog import Catalog\n"
        "import alembic.command\n"
        "database.MIGRATIONS, database.SCHEMA_VERSION = Path(sys.argv[1]), sys.argv[2]\n"
        "print(flush=True); input()\n"
        "print(Catalog(database.sqlite_url(Path(sys.argv[3]))).counts(1)['embedded'])"
    )
    command = [sys.executable, "-c", code, folder, NEXT, first]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said == [["5"], ["5"]]


def test_a_catalogue_of_a_newer_schema_is_refused_and_left_alone(
    first: Path, plant: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant()
    Catalog(sqlite_url(first)).close()
    newer = first.read_bytes()
    monkeypatch.undo()
    with pytest.raises(CatalogError, match=rf"schema {NEXT}, this RegConv knows up to \d+\. Use the newer RegConv"):
        Catalog(sqlite_url(first))
    assert first.read_bytes() == newer
