"""The database under the catalogue: its schema, and what happens when it can't be used."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect

from storage import database
from storage.catalog import Catalog
from storage.database import open_engine, sqlite_url
from storage.errors import CatalogError
from storage.records import Batch
from storage.tables import Base

ROOT = Path(__file__).parents[2]


def test_the_migrations_make_the_tables(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert len(inspect(connection).get_table_names()) == len(Base.metadata.tables) + 1  # alembic's own


def test_sqlite_is_set_up_to_lose_nothing_at_a_kill(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")
        }
    assert asked == {"journal_mode": "wal", "foreign_keys": 1}


def test_a_newer_schema_is_refused_in_words(catalog: Catalog, open_catalog: Callable[[], Catalog]) -> None:
    with catalog.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogError, match=r"schema 9999, this RegConv knows up to 0\d+\. Use the newer RegConv"):
        open_catalog()


def test_an_open_catalogue_is_opened_again_without_alembic(catalog: Catalog, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from storage.catalog import Catalog; from storage.database import sqlite_url\n"
        "Catalog(sqlite_url(Path(sys.argv[1]))).close(); sys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "catalog.sqlite"], cwd=ROOT, check=False)
    assert done.returncode == 0, "alembic's import is half a second at every start"


def test_a_migration_that_fails_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(database.MIGRATIONS, tmp_path / "migrations")
    first = tmp_path / "migrations" / "versions" / "0001_first.py"
    good = first.read_text()
    first.write_text(good + "\n    raise MemoryError('killed here')\n")
    monkeypatch.setattr(database, "MIGRATIONS", tmp_path / "migrations")
    with pytest.raises(MemoryError, match="killed here"):
        open_engine(sqlite_url(tmp_path / "c.sqlite"))
    with sqlite3.connect(tmp_path / "c.sqlite") as left:
        assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    left.close()
    monkeypatch.undo()
    engine = open_engine(sqlite_url(tmp_path / "c.sqlite"))
    assert inspect(engine).has_table("photo")
    engine.dispose()


def test_processes_that_make_a_catalogue_at_the_same_moment_all_get_one(tmp_path: Path) -> None:
    code = (
        "import sys, alembic.command\nfrom pathlib import Path\nfrom storage.catalog import Catalog\n"
        "from storage.database import sqlite_url\nprint(flush=True); input()\n"
        "Catalog(sqlite_url(Path(sys.argv[1]))).remember(sys.argv[2], 'was here')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "catalog.sqlite")]
    started = [
        subprocess.Popen([*command, f"p{n}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
    assert [process.returncode for process in started] == [0, 0, 0]
    catalog = Catalog(sqlite_url(tmp_path / "catalog.sqlite"))
    assert [catalog.setting(f"p{n}") for n in range(3)] == ["was here"] * 3
    catalog.close()


@pytest.mark.parametrize("name", ["where?", "100%20", "a#b", "a b", "it's;", "snow 雪", "\udcff"])
def test_a_library_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    Catalog(sqlite_url(folder / "catalog.sqlite")).close()
    assert (folder / "catalog.sqlite").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_text("this is a text, and longer than a header of SQLite would be\n" * 50)
    with pytest.raises(CatalogError, match=r"catalog.sqlite can't be opened: file is not a database"):
        open_engine(sqlite_url(tmp_path / "catalog.sqlite"))
    with pytest.raises(CatalogError, match="can't be opened: unable to open database file"):
        open_engine(sqlite_url(tmp_path / "nowhere" / "catalog.sqlite"))
    with pytest.raises(CatalogError, match=r"'no url' is not a database.*Expected something like postgresql"):
        open_engine("no url")


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="someone") as caught:
        open_engine("nosuchdatabase://someone:secret@host/name")
    assert "secret" not in str(caught.value)


def test_a_locked_database_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_S", 0)
    catalog = Catalog(sqlite_url(tmp_path / "catalog.sqlite"))
    catalog.remember("colour", "red")
    other = sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogError, match=r"database is locked.*another program.*Nothing of this step was written"):
        catalog.remember("colour", "blue")
    assert catalog.setting("colour") == "red"  # readers need not wait for a writer
    other.execute("ROLLBACK")
    other.close()
    catalog.remember("colour", "blue")
    assert catalog.setting("colour") == "blue"
    catalog.close()


def test_a_database_that_is_read_only_is_said_in_words(catalog: Catalog, space: int, tmp_path: Path) -> None:
    reader = Catalog(f"sqlite:///file:{tmp_path / 'catalog.sqlite'}?mode=ro&uri=true")
    with pytest.raises(CatalogError, match=r"readonly database.*disk full or read-only"):
        reader.remember("colour", "red")
    assert reader.space(space)[1] == "a model"
    reader.close()


def test_a_full_disk_is_said_in_words_and_stores_nothing(
    catalog: Catalog, space: int, batch_of: Callable[..., Batch]
) -> None:
    catalog.store(batch_of(["/a.png"]), space)
    with catalog.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    catalog.engine.dispose()
    event.listen(catalog.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(CatalogError, match="database or disk is full"):
        catalog.store(batch_of([f"/photos/{'long ' * 20}{n}.png" for n in range(2000)]), space)
    assert catalog.counts(space) == {"present": 1, "unreadable": 0, "gone": 0, "embedded": 1}
    assert len(catalog.shards(space)) == 1


def test_a_damaged_database_is_said_in_words(tmp_path: Path, batch_of: Callable[..., Batch]) -> None:
    catalog = Catalog(sqlite_url(tmp_path / "catalog.sqlite"))
    space = catalog.space_id("key", "model", {})
    catalog.store(batch_of([f"/photos/{n}.png" for n in range(300)]), space)
    with catalog.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    catalog.close()
    assert catalog.damage() is None
    catalog.close()
    with (tmp_path / "catalog.sqlite").open("r+b") as file:
        size = file.seek(0, 2)
        for page in range(4096 * 4, size, 4096):
            file.seek(page)
            file.write(b"\xa5" * 512)
    with pytest.raises(CatalogError, match=r"damaged.*malformed"):
        catalog.counts(space)
    assert catalog.damage() is not None
    catalog.close()
