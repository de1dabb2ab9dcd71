"""Stored vectors by content id: right whatever was asked before, and without the whole library in this process' memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from index import stored
from index.stored import Stored
from storage.catalog import Catalog
from storage.database import now, sqlite_url, writing
from storage.shards import ShardStore, shard_dtype, shard_rows
from storage.tables import Content, Shard, Vector

PARTS = (("stage1", 256), ("pooled", 768))
ROWS, SHARDS = 2000, 6
Many = tuple[Stored, dict[str, np.ndarray]]


def resident() -> int:
    """Bytes of files in this process' memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Many:
    """12,000 vectors of 2 kB in six shards, and what they are: row n is of the content n + 1."""
    folder = tmp_path_factory.mktemp("many")
    catalog, store = Catalog(sqlite_url(folder / "catalog.sqlite")), ShardStore(folder / "shards")
    space = catalog.space_id("space", "model", {})
    random = np.random.default_rng(0)
    vectors = {name: random.normal(size=(ROWS * SHARDS, width)).astype(np.float16) for name, width in PARTS}
    norms = {name: np.ones(ROWS, np.float32) for name, _ in PARTS}
    for number in range(SHARDS):
        rows = slice(number * ROWS, (number + 1) * ROWS)
        digests = [f"{row:064x}" for row in range(rows.start, rows.stop)]
        file = store.write(shard_rows(PARTS, {name: array[rows] for name, array in vectors.items()}, norms, digests))
        with writing(catalog.engine) as connection:
            made = {"space_id": space, "provenance": {}, "created_at": now(), **vars(file)}
            (shard,) = connection.execute(insert(Shard).values(made)).inserted_primary_key or (0,)
            ids = range(rows.start + 1, rows.stop + 1)
            contents = [
                {"id": one, "digest": digest, "size": 1, "width": 1, "height": 1, "format": "PNG"}
                for one, digest in zip(ids, digests, strict=True)
            ]
            connection.execute(insert(Content), contents)
            places = [{"content_id": one, "space_id": space, "shard_id": shard, "row": n} for n, one in enumerate(ids)]
            connection.execute(insert(Vector), places)
    found = Stored(catalog, store, space, shard_dtype(PARTS))
    found.refresh()
    return found, vectors


def test_each_content_gets_its_own_vectors_in_any_order(many: Many) -> None:
    store, vectors = many
    asked = np.random.default_rng(1).permutation(15_000)[:5000].astype(np.int64)
    known, found = store.of_parts(asked, ("stage1", "pooled"))
    np.testing.assert_array_equal(known, (asked >= 1) & (asked <= ROWS * SHARDS))
    for part, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array[known], vectors[part][asked[known] - 1].astype(np.float32))
        assert not array[~known].any()
        np.testing.assert_array_equal(store.of(asked, part)[1], array)
    assert store.of(np.empty(0, np.int64), "stage1")[1].shape == (0, 256)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory")
def test_what_was_read_is_handed_back(many: Many, monkeypatch: pytest.MonkeyPatch) -> None:
    store, vectors = many
    everything = np.arange(1, ROWS * SHARDS + 1)
    store.release()
    before = resident()
    store.of(everything, "pooled")
    held = resident() - before
    assert held > 15_000_000  # of 25 MB of shards
    store.release()
    assert resident() - before < held / 4
    monkeypatch.setattr(stored, "MOST_MAPPED", resident() + 5_000_000)
    _, found = store.of(everything, "pooled")
    assert resident() - before < held / 2  # by itself, on the way
    np.testing.assert_array_equal(found, vectors["pooled"].astype(np.float32))
