"""doctor, backup, restore and export as a user runs them: exit codes, words, documents, progress."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import app as program
from index.sample import photographs

ROOT = Path(__file__).resolve().parent.parent
App = Callable[..., subprocess.CompletedProcess[str]]
Main = Callable[..., tuple[str, str]]
COUNT = 6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The current folder of the programs; photos/ in it."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    for path in photographs()[:COUNT]:
        shutil.copy(path, home / "photos")
    return home


@pytest.fixture(scope="module")
def app(home: Path) -> App:
    """Runs the real program, offline."""

    def run(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=home, env=environment, timeout=300, check=False
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def library(home: Path) -> Path:
    """A library of the photos, with two words taught by copies of the first two."""
    for number, word in enumerate(("warm", "cold")):
        (home / "words" / word).mkdir(parents=True)
        shutil.copy(sorted((home / "photos").iterdir())[number], home / "words" / word)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert program.main(["index", "photos", "--model", "starter"]) == 0
        assert program.main(["teach", "words"]) == 0
    return home / "library"


@pytest.fixture
def main(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    """Runs the program's main function here, which saves its start: (stdout, stderr)."""
    monkeypatch.chdir(home)

    def run(*arguments: str | Path, expect: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        code = program.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert code == expect, f"{arguments}: {code}\n{said.out}\n{said.err}"
        return said.out, said.err

    return run


def test_backup_destroy_restore_and_go_on(app: App, main: Main, library: Path, home: Path) -> None:
    report = json.loads(app("backup", "--out", "copy", "--json").stdout)
    assert (report["photos"]["present"], report["thumbnails"]) == (COUNT + 2, COUNT)
    assert report["backup"] == str(home / "copy")
    said, _ = main("backup", "--out", "copy")
    assert said.startswith(
        "Photos: 8 present, 0 unreadable, 0 gone; 1 vector shards (0 new) and 6 thumbnails (0 new). The photos' own files"
    )
    first = sorted((home / "photos").iterdir())[0]
    similar, own = (json.loads(main(verb, first, "--json")[0]) for verb in ("search", "classify"))
    assert {label["label"] for label in own[0]["own_labels"]} & {"warm", "cold"}
    shutil.rmtree(library)
    restored = json.loads(app("restore", "copy", "--json").stdout)
    assert (restored["photos"], restored["library"]) == (report["photos"], str(library))
    assert json.loads(main("search", first, "--json")[0])["neighbours"] == similar["neighbours"]
    assert json.loads(main("classify", first, "--json")[0]) == own
    health = json.loads(main("doctor", "--recall", "--json")[0])
    assert health["ok"], health["checks"]
    assert (health["embedded"], health["recall_at_10"]) == (COUNT + 2, 1.0)
    again = json.loads(main("index", "photos", "--json")[0])
    assert (again["embedded"], again["unchanged"]) == (0, COUNT)


def test_export_for_numpy_and_for_everything_else(app: App, main: Main, library: Path, home: Path) -> None:
    report = json.loads(app("export", "--out", "all.npz", "--json").stdout)
    with np.load(home / "all.npz", allow_pickle=False) as arrays:
        assert len(arrays["digest"]) == report["contents"] == COUNT
        assert arrays["vector_stage4"].dtype == np.float16
        assert {os.fsdecode(path) for path in arrays["photo_path"]} >= {
            str(path) for path in (home / "photos").iterdir()
        }
        vectors = arrays["vector_stage4"]
    out, _ = main("export", "--out", "all.parquet", "--part", "stage4", "--dtype", "float32")
    width = vectors.shape[1]
    assert out.startswith(
        f"{COUNT} pictures with {report['photos']} paths; vectors of stage4 ({width} numbers) for {COUNT}"
    )
    table = parquet.read_table(home / "all.parquet")
    assert table.num_rows == COUNT
    read = np.array(table["vector_stage4"].to_pylist(), np.float32)
    np.testing.assert_array_equal(read.astype(np.float16), vectors)


def test_a_killed_backup_is_none_and_the_next_one_is_whole(main: Main, library: Path, home: Path) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv.pop(1)); import index.manifest as m\n"
        "m.Manifest.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "import app; sys.exit(app.main(sys.argv[1:]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, ROOT, "backup", "--out", "half"], cwd=home, check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert any((home / "half").rglob("*.npy"))
    out, err = main("restore", "half", "--library", "from-half", expect=1)
    assert out == ""
    assert err == (
        f"Error: There is no whole backup in {home / 'half'}: it has no backup.json. Give the folder of `backup --out`.\n"
    )
    assert not (home / "from-half").exists()
    main("backup", "--out", "half")
    assert "from-half is what it was at " in main("restore", "half", "--library", "from-half")[0]


def test_doctor_finds_mends_and_says_what_is_left_to_do(
    main: Main, library: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main("backup", "--out", "good")
    main("restore", "good", "--library", "sick")
    shard = next((home / "sick" / "shards").iterdir())
    data = bytearray(shard.read_bytes())
    data[-50] ^= 1
    shard.write_bytes(data)
    thumbnail = next((home / "sick" / "thumbnails").glob("*/*"))
    thumbnail.write_bytes(thumbnail.read_bytes()[:99])
    with monkeypatch.context() as log:
        log.setattr(program, "LOG_EVERY_S", -1)
        out, err = main("doctor", "--library", "sick", expect=1)
    assert "examining: shards: 4/" in err
    assert (
        f"NOT  shards: {shard.name}: its bytes have changed since it was written; --mend gives their vectors up" in out
    )
    assert "photos have no whole thumbnail; --mend makes them" in out
    assert out.endswith("Something is wrong: shards, thumbnails.\n")
    out, _ = main("doctor", "--library", "sick", "--mend", expect=1)
    assert f"Mended: gave up the damaged shard {shard.name} with {COUNT} vectors; run `python app.py index`" in out
    assert "Mended: made 1 thumbnails" in out
    assert out.endswith("Something is wrong: photos.\n")
    report = json.loads(main("index", "photos", "words", "--library", "sick", "--json")[0])
    assert report["embedded"] == COUNT
    assert main("doctor", "--library", "sick")[0].endswith("All is well.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["restore", "whole"],
            "library holds a library of 8 photos. Give another --library, or --force, which moves this",
        ),
        (["restore", "nowhere", "--library", "new"], "There is no whole backup in"),
        (["restore", "photos", "--library", "new"], "it has no backup.json"),
        (["restore", "torn", "--library", "new"], "The backup in {home}/torn is damaged: the bytes of shards/"),
        (["restore", "whole", "--library", "photos"], "photos holds other things and no library. Give a new folder"),
        (["restore", "whole", "--library", "new", "--database", "sqlite:///x"], "leave --database out"),
        (["backup", "--out", "library/copy"], "would lie in the library"),
        (["backup", "--out", "photos"], "holds other things, such as "),
        (["backup", "--out", "x", "--library", "nowhere"], "There is no library in"),
        (["export", "--out", "all.csv"], "Give a file that ends in .npz or .parquet"),
        (["export", "--out", "nowhere/all.npz"], "there is no folder {home}/nowhere. Name another file"),
        (
            ["export", "--out", "all.npz", "--part", "stage9"],
            "has no part 'stage9'. It has stage1, stage2, stage3, stage4",
        ),
        (["doctor", "--library", "nowhere"], "There is no library in"),
        (["doctor", "--library", "newer"], "Use the newer RegConv that made it"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line_and_nothing_is_left(
    main: Main, library: Path, home: Path, arguments: list[str], words: str
) -> None:
    main("backup", "--out", "whole")
    if not (home / "torn").exists():
        shutil.copytree(home / "whole", home / "torn")
        with next((home / "torn" / "shards").iterdir()).open("r+b") as file:
            file.truncate(1000)
        main("restore", "whole", "--library", "newer")
        with closing(sqlite3.connect(home / "newer" / "catalog.sqlite")) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
    before = sorted(path.name for path in home.iterdir())
    out, err = main(*arguments, expect=1)
    assert words.format(home=home) in err
    assert (out, err.count("\n")) == ("", 1)
    assert json.loads(main(*arguments, "--json", expect=1)[0])["error"] in err
    assert sorted(path.name for path in home.iterdir()) == before


def test_a_long_job_shows_where_it_is(main: Main, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LOG_EVERY_S", -1)
    _, err = main("backup", "--out", "shown", "--json")
    assert [line.split(":")[0] for line in err.splitlines()] == ["copying shards", "copying the catalogue"]
    _, err = main("restore", "shown", "--library", "shown-again")
    assert {line.split(":")[0] for line in err.splitlines()} == {"copying", "copying thumbnails"}
    _, err = main("export", "--out", "shown.npz")
    assert err.splitlines()[0].startswith(f"exporting: {COUNT}/{5 * COUNT}")
