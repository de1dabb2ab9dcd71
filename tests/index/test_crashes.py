"""A job that is killed again and again, anywhere in its writing, beside one that nobody disturbs."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from index.doctor import examine
from index.errors import NoLibrary
from index.library import Library
from index.search import example_of_photo, find_similar
from storage import database

ROOT = Path(__file__).parents[2]
Open = Callable[..., Library]
Order = Callable[..., dict[str, Any]]
KILLED, INTERRUPTED = -9, 130
PARTS = ["opening", "indexing", "merging", "saving", "sweeping"]
SAID = {
    "photos": "SELECT path, state, reason, photo.size, mtime_ns, digest FROM photo LEFT JOIN content ON content.id = content_id",
    "contents": "SELECT digest, size, width, height, format, taken_at, camera FROM content",
    "labels": "SELECT digest, rank, label_index, score FROM label JOIN content ON content.id = content_id",
    "marks": "SELECT digest, word FROM mark JOIN content ON content.id = content_id",
    "running jobs": "SELECT id FROM job WHERE state = 'running'",
    "schema": "SELECT version_num FROM alembic_version",
}
MIGRATION = '''"""A planted migration: contents get a number of stars."""

import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{last}"


def upgrade() -> None:
    op.create_table("star", sa.Column("content_id", sa.Integer(), primary_key=True))
    with op.batch_alter_table("content") as batch:
        batch.add_column(sa.Column("stars", sa.Integer(), nullable=False, server_default="3"))
    op.execute("INSERT INTO star SELECT id FROM content")
'''


@pytest.fixture
def order(tmp_path: Path) -> Iterator[Order]:
    """(library's name, **more) -> what the program of crash_program.py answers: its steps, and how the child ended."""
    command = [sys.executable, "-m", "tests.index.crash_program"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def send(name: str, **more: Any) -> dict[str, Any]:
            migrations = [str(database.MIGRATIONS), database.SCHEMA_VERSION]
            folders = {"library": str(tmp_path / name), "folder": str(tmp_path / "photos")}
            program.stdin.write(json.dumps(folders | {"migrations": migrations} | more) + "\n")
            program.stdin.flush()
            return dict(json.loads(program.stdout.readline()))

        yield send
        program.stdin.close()


class Trial:
    """A folder of photos, a library whose jobs are killed, and one whose jobs are not."""

    def __init__(self, base: Path, open_library: Open, order: Order, seed: int) -> None:
        self.photos, self.base = base / "photos", base
        self.photos.mkdir()
        self.open_library, self.order = open_library, order
        self.chance = random.Random(seed)
        self.made = 0
        self.embedded: set[str] = set()
        self.parts: Counter[str] = Counter()

    def strike(self, kills: int, before_round: Callable[[int], None], signal_name: str = "SIGKILL") -> None:
        """So many kills. Between them is the doctor asked; whenever a job got to its end the libraries are compared."""
        rounds = 0
        while self.parts.total() < kills:
            self.photos_come_and_go()
            before_round(rounds)
            rounds += 1
            calm = self.order("calm")
            assert calm["ended"] == 0
            while self.parts.total() < kills:
                part, blow = self.blow(calm["steps"])
                ended = self.order("struck", signal=signal_name, **blow)["ended"]
                assert ended in (0, KILLED if signal_name == "SIGKILL" else INTERRUPTED)
                if not ended:
                    break
                self.parts[part] += 1
                self.check_what_is_left(blow["step"])
            else:
                assert self.order("struck")["ended"] == 0
            self.compare()
        assert rounds > kills // 8, "a library that never got to its end shows little"

    def blow(self, steps: list[str]) -> tuple[str, dict[str, Any]]:
        """When to kill: at a step that the calm job took, in the part that was struck least, each kind of step alike."""
        count = Counter(steps)
        parts = [part for part in PARTS if any(step.startswith(part) for step in count)]
        part = min(parts, key=lambda part: (self.parts[part], self.chance.random()))
        step = self.chance.choice(sorted(step for step in count if step.startswith(part)))
        exact = {"pause_s": 0.2, "delay_s": 0.0}
        later = {"pause_s": 0.0, "delay_s": self.chance.uniform(0, 0.01)}
        blow = {"step": step, "time": self.chance.randint(1, count[step])}
        return part, blow | self.chance.choice([exact, later])

    def photos_come_and_go(self) -> None:
        """New ones (some with the bytes of others), changed, moved, deleted and swapped ones, and one that is none."""
        for _ in range(8):
            self.made += 1
            self.paint(self.photos / f"{self.made:03}.png")
        here = sorted(self.photos.glob("*.png"))
        changed, moved, one, two, copied, *rest = self.chance.sample(here, len(here))
        for deleted in rest[:1] + rest[20:]:
            deleted.unlink()
        self.paint(changed)
        moved.rename(self.photos / f"moved-{self.made}.png")
        one.rename(self.photos / "between")
        two.rename(one)
        (self.photos / "between").rename(two)
        shutil.copy(copied, self.photos / f"copy-{self.made}.png")
        (self.photos / f"broken-{self.made}.jpg").write_bytes(b"\xff\xd8\xff and nothing more")

    def paint(self, path: Path) -> None:
        colour = [self.chance.randint(0, 255) for _ in range(3)]
        Image.new("RGB", (24, 16), tuple(colour)).save(path)  # type: ignore[arg-type]

    def check_what_is_left(self, step: str) -> None:
        """The doctor finds nothing, and what was stored before is there."""
        try:
            library = self.open_library(folder=self.base / "struck", create=False)
        except NoLibrary:
            assert not self.embedded, step
            return
        health = examine(library, whole=True)
        assert health["ok"], (step, health["checks"])
        embedded = set(rows_of(library))
        assert embedded >= self.embedded, step
        self.embedded = embedded
        library.close()

    def compare(self) -> None:
        """Catalogue, vectors, files and answers are those of the library that nobody disturbed."""
        both = [self.open_library(folder=self.base / name, create=False) for name in ("calm", "struck")]
        calm, struck = (said(library) for library in both)
        for name, value in calm.items():
            assert struck[name] == value, name
        assert calm["running jobs"] == []
        assert len(calm["rows"]) > 5
        for library in both:
            health = examine(library, whole=True)
            assert health["ok"], health["checks"]
            left = [path for ending in ("*.tmp", "*-half") for path in library.folder.rglob(ending)]
            assert left == library.shards.orphans(library.catalog.shard_files()) == []
            library.close()


def said(library: Library) -> dict[str, Any]:
    """All that a library knows, without its own numbers: rows and vectors by digest, answers by path."""
    with closing(sqlite3.connect(library.folder / "catalog.sqlite")) as connection:
        found: dict[str, Any] = {name: sorted(connection.execute(sql), key=repr) for name, sql in SAID.items()}
    found["rows"] = rows_of(library)
    found["thumbnails"] = {path.name: path.read_bytes() for path in library.folder.glob("thumbnails/*/*.jpg")}
    present = sorted(library.catalog.photos_in("present", 1000), key=lambda photo: photo.path)
    found["answers"] = {photo.path: answer(library, photo.id, len(present)) for photo in present[::4]}
    return found


def rows_of(library: Library) -> dict[str, bytes]:
    """What the shards hold of each content that has a vector, by its digest."""
    found = {}
    for shard_id, file in library.catalog.shards(library.space_id).items():
        mapped = library.shards.open(file, library.space.dtype)
        rows, _, digests = library.catalog.vector_digests(shard_id)
        found.update({bytes(digest).hex(): bytes(mapped[row]) for row, digest in zip(rows, digests, strict=True)})
    assert all(row.endswith(bytes.fromhex(digest)) for digest, row in found.items())
    return found


def answer(library: Library, photo_id: int, k: int) -> list[tuple[float, str]]:
    """Every photo with its score: equal ones may come in any order."""
    found = find_similar(library, [example_of_photo(library, photo_id)], k=k).neighbours
    assert len(found) == k
    return sorted((round(each.score, 5), each.photo.path) for each in found)


@pytest.fixture
def trial(tmp_path: Path, open_library: Open, order: Order, inline_decoder: None) -> Callable[[int], Trial]:
    """A trial with a seed."""
    return lambda seed: Trial(tmp_path, open_library, order, seed)


@pytest.fixture
def plant_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes a newer schema than the one of this RegConv, for both libraries."""

    def plant() -> None:
        last = database.SCHEMA_VERSION
        newer = f"{int(last) + 1:04}"
        shutil.copytree(database.MIGRATIONS, tmp_path / "migrations")
        text = MIGRATION.format(next=newer, last=last)
        (tmp_path / "migrations" / "versions" / f"{newer}_planted.py").write_text(text)
        monkeypatch.setattr(database, "MIGRATIONS", tmp_path / "migrations")
        monkeypatch.setattr(database, "SCHEMA_VERSION", newer)

    return plant


def mark(trial: Trial, number: int) -> None:
    """Somebody teaches both libraries a word for some photos."""
    if not number:
        return
    chosen = sorted(trial.photos.glob("0*.png"))[number::5]
    for name in ("calm", "struck"):
        library = trial.open_library(folder=trial.base / name, create=False)
        by_path = {photo.path: photo.content_id for photo in library.catalog.photos_in("present", 1000)}
        known = {by_path[str(path)] for path in chosen if by_path.get(str(path)) is not None}
        library.catalog.mark({f"word {number}": known})
        library.close()


@pytest.fixture
def seed() -> int:
    """Another one each time, shown where a test fails; REGCONV_SEED sets it."""
    chosen = int(os.environ.get("REGCONV_SEED", "0")) or random.SystemRandom().randint(1, 10**9)
    print("REGCONV_SEED =", chosen)  # noqa: T201  what it takes to see a failure again
    return chosen


@pytest.fixture
def struck(trial: Callable[[int], Trial], plant_migration: Callable[[], None]) -> Callable[..., Trial]:
    """(seed, number of blows, ...) -> the trial after them: with words taught meanwhile, and a migration in the second round."""

    def strike(seed: int, blows: int, *more: str) -> Trial:
        tried = trial(seed)

        def before_round(number: int) -> None:
            mark(tried, number)
            if number == 1:
                plant_migration()

        tried.strike(blows, before_round, *more)
        assert tried.embedded
        assert min(tried.parts[part] for part in PARTS) >= blows // 15
        return tried

    return strike


def test_fifteen_kills_leave_what_an_undisturbed_library_has(struck: Callable[..., Trial]) -> None:
    struck(1, 15)


@pytest.mark.slow
def test_a_hundred_kills(struck: Callable[..., Trial], seed: int) -> None:
    struck(seed, 100)


@pytest.mark.slow
def test_thirty_interrupts(struck: Callable[..., Trial], seed: int) -> None:
    struck(seed, 30, "SIGINT")
