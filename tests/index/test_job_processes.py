"""Index jobs as processes: two at once, one that is interrupted, one that meets a locked catalogue."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import index.pending
from index.doctor import examine
from index.job import index_folder
from index.library import Library
from storage import database
from storage.errors import CatalogError

ROOT = Path(__file__).parents[2]
Run = Callable[..., dict[str, Any]]
Paint = Callable[..., Path]
Open = Callable[..., Library]
# The entry point with the torch-free backbone and a decoder that takes its time; commits of three photos.
PROGRAM = """
import sys, time
from tests.index.colour_program import without_torch
from tests.index.conftest import ColourBackbone
import app, index.pending
without_torch()
embed = ColourBackbone.embed
ColourBackbone.batch_size, index.pending.COMMIT_PHOTOS = 1, 3
ColourBackbone.embed = lambda *given: (time.sleep(0.03), embed(*given))[1]
sys.exit(app.main(sys.argv[1:]))
"""

pytestmark = pytest.mark.usefixtures("inline_decoder")


@pytest.fixture
def many(photos: Path, paint: Paint) -> Path:
    """Twenty photos."""
    for seed in range(15):
        paint(photos / f"more-{seed:02}.png", ["red", "green", "blue"][seed % 3], seed=100 + seed)
    return photos


@pytest.fixture
def start(many: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts an index job over the twenty photos."""
    words = ["index", str(many), "--library", str(tmp_path / "library"), "--model", "colours"]
    command = [sys.executable, "-c", PROGRAM, *words]
    return lambda: subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_that_begin_a_library_at_once(
    start: Callable[[], subprocess.Popen[str]], open_library: Open, many: Path, run: Run
) -> None:
    processes = [start() for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes, said
    for code, words in zip(codes, said, strict=True):
        assert code == 0 or ("Another job (index) has been running" in words and "Wait for it or stop it" in words), (
            words
        )
    library = open_library(create=False)
    assert library.catalog.counts(library.space_id)["embedded"] == 20
    assert examine(library, whole=True)["ok"]
    assert run(library, many)["unchanged"] == 20


def test_one_that_is_interrupted_keeps_what_it_did(
    start: Callable[[], subprocess.Popen[str]], open_library: Open, many: Path, tmp_path: Path, run: Run
) -> None:
    process = start()
    while len(list((tmp_path / "library").glob("shards/*.npy"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert (process.returncode, words.strip().splitlines()[-1]) == (130, "Interrupted. What was done is kept.")
    library = open_library(create=False)
    job = library.catalog.latest_job("index")
    assert job is not None
    assert job.state == "interrupted"
    kept = library.catalog.counts(library.space_id)["embedded"]
    assert 3 <= kept < 20
    assert examine(library, whole=True)["ok"]
    report = run(library, many)
    assert (report["unchanged"], report["embedded"]) == (kept, 20 - kept)


def test_a_catalogue_that_another_program_holds(
    open_library: Open, many: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_S", 0)
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 4)
    library = open_library()
    steps = index_folder(library, [str(many)])
    while library.catalog.counts(library.space_id)["embedded"] < 4:
        next(steps)
    with closing(sqlite3.connect(tmp_path / "library" / "catalog.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            CatalogError, match=r"database is locked.*does another program hold the file\? Nothing of this step"
        ):
            list(steps)
        kept = library.catalog.counts(library.space_id)["embedded"]
        assert 4 <= kept < 20
        assert examine(library, whole=True)["ok"], "looking needs no lock"
    report = run(library, many)
    assert (report["unchanged"], report["embedded"]) == (kept, 20 - kept)
