"""Which shards are merged, and when: the plan, and the end of a job that carries it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import index.compact
import index.job
import index.pending
from index.compact import DEAD_SHARE, MOST_BYTES, MOST_ROWS, SMALL_ROWS, SMALL_SHARDS, plan
from index.doctor import examine
from index.job import index_folder
from index.library import Library
from storage.records import ShardUse
from storage.shards import ShardFile

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]


def use(number: int, live: int, rows: int | None = None, maker: str = "torch") -> ShardUse:
    file = ShardFile(f"{number}.npy", live if rows is None else rows, 1000, "0" * 64)
    return ShardUse(number, file, {"engine": maker}, live)


def planned(*uses: ShardUse, row_bytes: int = 1000) -> list[list[int]]:
    return [[each.id for each in group] for group in plan(uses, row_bytes)]


def test_a_few_small_shards_are_left_and_many_are_merged_oldest_first() -> None:
    small = [use(number, 100) for number in range(1, SMALL_SHARDS + 2)]
    large = use(99, SMALL_ROWS)
    assert planned(*small[:-1], large) == []
    assert planned(*small, large) == [[each.id for each in small]]


def test_engines_are_not_mixed() -> None:
    uses = [use(number, 100, maker="torch" if number % 3 else "onnx") for number in range(30)]
    groups = planned(*uses, use(30, 7, maker="alone"))
    assert sorted(groups) == [[n for n in range(30) if n % 3 == 0], [n for n in range(30) if n % 3]]


def test_a_merged_shard_is_at_most_so_large_and_is_not_merged_for_ever() -> None:
    uses = [use(number, SMALL_ROWS - 1) for number in range(40)]
    groups = planned(*uses)
    assert [len(group) for group in groups] == [8, 8, 8, 8, 8]
    assert 8 * (SMALL_ROWS - 1) <= MOST_ROWS
    wide = MOST_BYTES // 100  # bytes a row: a hundred of them fill a shard
    assert [len(group) for group in planned(*[use(number, 30) for number in range(20)], row_bytes=wide)] == [3] * 6 + [
        2
    ]
    assert planned(*[use(number, 99) for number in range(20)], row_bytes=wide) == []  # no two fit into one
    assert planned(*[use(number, 1) for number in range(20)], row_bytes=MOST_BYTES * 2) == []


def test_what_is_largely_dead_is_written_anew() -> None:
    rows = 100_000
    limit = int(rows * (1 - DEAD_SHARE))
    assert planned(use(1, limit, rows), use(2, limit - 1, rows), use(3, 0, 5)) == [[2], [3]]
    assert planned(use(1, 3, 5), use(2, 3, 5, maker="onnx"), use(3, 0, 5)) == [[2], [1, 3]]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is out of use may be removed without waiting for readers."""
    monkeypatch.setattr(index.compact, "GRACE_S", -1)


@pytest.fixture
def photos_in_shards(photos: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty photos, stored two at a time."""
    for seed in range(35):
        paint(photos / f"more-{seed:02}.png", ["red", "green", "blue"][seed % 3], seed=100 + seed)
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 2)
    return photos


def test_a_job_merges_at_its_end_and_shows_it(
    library: Library, open_library: Open, photos_in_shards: Path, run: Run, at_once: None
) -> None:
    library.backbone.batch_size = 2  # type: ignore[misc]
    steps = list(index_folder(library, [str(photos_in_shards)]))
    said = [step.current for step in steps if step.phase == "finishing"]
    assert said[-2:] == ["merging vectors, 0 of 1", "merging vectors, 1 of 1"]
    (shard,) = library.catalog.shards(library.space_id).values()
    assert shard.rows == 40
    assert [path.name for path in library.shards.folder.iterdir()] == [shard.file]
    for each in (library, open_library()):
        assert examine(each, recall=True)["ok"]
        assert len(each.index("stage2")) == 40
    assert run(library, photos_in_shards)["unchanged"] == 40


def test_a_job_that_is_stopped_between_two_merges_goes_on_next_time(
    library: Library, photos_in_shards: Path, run: Run, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    library.backbone.batch_size = 2  # type: ignore[misc]
    monkeypatch.setattr(index.job, "BEAT_S", 0.0)
    monkeypatch.setattr(index.compact, "MOST_ROWS", 8)
    steps = index_folder(library, [str(photos_in_shards)])
    for step in steps:
        if (step.current or "").startswith("merging vectors, 2 of 5"):
            library.catalog.ask_to_stop(library.catalog.latest_job("index").id)  # type: ignore[union-attr]
    assert library.catalog.latest_job("index").state == "interrupted"  # type: ignore[union-attr]
    half = [shard.rows for shard in library.catalog.shards(library.space_id).values()]
    assert sorted(half) == [2] * 8 + [8] * 3  # the stop is heard at the next beat, after one more
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 4)
    assert run(library, photos_in_shards)["unchanged"] == 40
    assert [shard.rows for shard in library.catalog.shards(library.space_id).values()] == [8] * 5
    assert examine(library, recall=True)["ok"]
