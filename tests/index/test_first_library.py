"""A library that the first landed schema wrote opens with this code, goes on, and is asked for nothing again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.backup import back_up
from index.doctor import examine
from index.export import export
from index.library import Library
from index.restore import restore
from index.search import example_of_photo, find_similar
from storage import database
from storage.errors import CatalogError

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "first_library"
MTIME_NS = 1_700_000_000 * 10**9  # see made_by.py

NEXT = f"{int(database.SCHEMA_VERSION) + 1:04}"
# A change to each of the tables that hold what was learnt: SQLite copies them, drops them and names the copies anew.
PLANTED = f'''
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEXT}", "{database.SCHEMA_VERSION}"


def upgrade() -> None:
    for table in ("content", "vector", "shard", "mark"):
        with op.batch_alter_table(table, table_kwargs={{"sqlite_autoincrement": table == "shard"}}) as batch:
            batch.add_column(sa.Column("note", sa.Text(), nullable=False, server_default="new"))
'''

pytestmark = pytest.mark.usefixtures("inline_decoder")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The golden library's photos beside a copy of it that knows where they lie now; the photos' folder."""
    shutil.copytree(GOLDEN / "library", tmp_path / "library")
    photos = Path(shutil.copytree(GOLDEN / "photos", tmp_path / "photos"))
    for path in photos.iterdir():
        os.utime(path, ns=(MTIME_NS, MTIME_NS))
    with closing(sqlite3.connect(tmp_path / "library" / "catalog.sqlite")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        connection.execute("UPDATE photo SET path = CAST(? || CAST(path AS TEXT) AS BLOB)", (str(tmp_path),))
        connection.commit()
    return photos


def test_the_first_library_goes_on_without_asking_the_network(first: Path, open_library: Open, run: Run) -> None:
    library = open_library(create=False)
    shards = {path.name: path.read_bytes() for path in library.shards.folder.iterdir()}
    report = run(library, first)
    assert {name: report[name] for name in ("seen", "embedded", "unchanged", "moved", "gone")} == {
        "seen": 6, "embedded": 0, "unchanged": 5, "moved": 0, "gone": 0,
    }  # fmt: skip
    assert "backbone" not in library.opened.__dict__, "no network was even loaded"
    assert {path.name: path.read_bytes() for path in library.shards.folder.iterdir()} == shards
    assert library.catalog.words() == {"cold": 1, "warm": 2}
    photos = {Path(photo.path).name: photo for photo in library.catalog.photos_in("present", 99)}
    answer = find_similar(library, [example_of_photo(library, photos["red.png"].id)], k=5)
    assert [Path(each.photo.path).stem for each in answer.neighbours][:2] == ["red", "rose"]
    assert answer.neighbours[0].score == pytest.approx(1, abs=1e-3)
    assert {photo.camera for photo in photos.values()} == {"Maker Model"}
    assert len(library.catalog.marked_with(["warm"])) == 2
    assert "backbone" not in library.opened.__dict__


def test_a_later_migration_takes_it_along_without_asking_the_network(
    first: Path, open_library: Open, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations = shutil.copytree(database.MIGRATIONS, tmp_path / "migrations")
    (migrations / "versions" / f"{NEXT}_planted.py").write_text(PLANTED)
    monkeypatch.setattr(database, "MIGRATIONS", migrations)
    monkeypatch.setattr(database, "SCHEMA_VERSION", NEXT)
    library = open_library(create=False)
    with library.catalog.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == NEXT
        assert connection.exec_driver_sql("SELECT DISTINCT note FROM vector").scalars().all() == ["new"]
    assert (run(library, first)["embedded"], library.catalog.words()) == (0, {"cold": 1, "warm": 2})
    assert "backbone" not in library.opened.__dict__, "no network was even loaded"
    health = examine(library, whole=True)
    assert health["ok"], health["checks"]


def test_its_vectors_are_those_that_the_network_gives_today(first: Path, open_library: Open) -> None:
    health = examine(open_library(create=False), recall=True, whole=True)
    assert health["ok"], health["checks"]
    assert (health["recall_at_10"], health["embedded"]) == (1.0, 5)
    assert "5 photos embedded again agree" in {check["name"]: check["detail"] for check in health["checks"]}["vectors"]


def test_a_photo_that_was_lost_then_comes_back_without_the_network(
    first: Path, open_library: Open, run: Run, paint: Callable[..., Path]
) -> None:
    library = open_library(create=False)
    (first / "red.png").rename(first / "scarlet.png")
    report = run(library, first)
    assert (report["embedded"], report["moved"], report["gone"]) == (0, 1, 1)
    assert "backbone" not in library.opened.__dict__
    paint(first / "new.png", "blue", seed=3)
    assert run(library, first)["embedded"] == 1
    assert library.backbone.embedded == 1  # type: ignore[attr-defined]


def test_it_is_backed_up_and_exported_like_any_other(first: Path, open_library: Open, tmp_path: Path) -> None:
    library = open_library(create=False)
    list(back_up(library, tmp_path / "backup"))
    list(restore(tmp_path / "backup", tmp_path / "again"))
    assert open_library(folder=tmp_path / "again").catalog.words() == {"cold": 1, "warm": 2}
    list(export(library, tmp_path / "all.npz"))
    with np.load(tmp_path / "all.npz") as arrays:
        assert arrays["vector_stage2"].shape == (6, 3)
        assert sorted(arrays["word"].tolist()) == ["cold", "warm", "warm"]


def test_a_library_of_a_newer_program_is_refused_and_left_alone(
    first: Path, open_library: Open, tmp_path: Path
) -> None:
    open_library(create=False).close()
    file = tmp_path / "library" / "catalog.sqlite"
    newer = f"{int(database.SCHEMA_VERSION) + 1:04}"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (newer,))
        connection.commit()
    before = {path: path.read_bytes() for path in (tmp_path / "library").rglob("*") if path.is_file()}
    for options in ({}, {"create": False}):
        with pytest.raises(CatalogError, match=rf"schema {newer}, this RegConv knows up to.*Use the newer RegConv"):
            open_library(**options)
    assert {path: path.read_bytes() for path in (tmp_path / "library").rglob("*") if path.is_file()} == before
