"""Vector shards: what is written is what is read, and any other file in its place is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from storage.catalog import Catalog
from storage.errors import ShardError
from storage.shards import ShardFile, ShardStore, checksum_of, replaced, shard_dtype, shard_rows
from storage.thumbnails import ThumbnailStore

PARTS = (("stage1", 3), ("pooled", 5))
ROOT = Path(__file__).parents[2]


def some_rows(n: int = 6, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    vectors = {name: random.normal(size=(n, width)).astype(np.float32) for name, width in PARTS}
    norms = {name: random.uniform(0.5, 9, n).astype(np.float32) for name, _ in PARTS}
    return shard_rows(PARTS, vectors, norms, [f"{seed * 1000 + row:064x}" for row in range(n)])


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(tmp_path / "shards")


def test_rows_keep_every_vector_norm_and_digest(store: ShardStore) -> None:
    random = np.random.default_rng(1)
    vectors = {name: random.normal(size=(4, width)).astype(np.float32) for name, width in PARTS}
    norms = {name: random.uniform(0.5, 9, 4).astype(np.float32) for name, _ in PARTS}
    digests = [os.urandom(32).hex() for _ in range(4)]
    shard = store.write(shard_rows(PARTS, vectors, norms, digests))
    mapped = store.open(shard, shard_dtype(PARTS))
    for position, (name, _) in enumerate(PARTS):
        np.testing.assert_array_equal(mapped[name], vectors[name].astype(np.float16))
        np.testing.assert_array_equal(mapped["norms"][:, position], norms[name])
    assert [row.tobytes().hex() for row in mapped["digest"]] == digests
    assert isinstance(mapped, np.memmap), "a shard must not be read into memory to be opened"
    np.testing.assert_array_equal(np.load(store.folder / shard.file), mapped)  # readable without us


def test_what_is_written_verifies_and_leaves_nothing_else(store: ShardStore) -> None:
    shard = store.write(some_rows())
    assert store.verify(shard) is None
    assert shard.rows == 6
    assert [path.name for path in store.folder.iterdir()] == [shard.file]
    assert store.orphans({shard.file}) == []


def test_every_truncation_is_noticed_at_opening(store: ShardStore) -> None:
    shard = store.write(some_rows())
    path = store.folder / shard.file
    whole = path.read_bytes()
    for length in [0, 1, 6, 9, 64, 127, 128, 129, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ShardError, match=r"vector shard .*\.npy .*Run `python app.py doctor`"):
            store.open(shard, shard_dtype(PARTS))
        assert "have changed" in (store.verify(shard) or "")


def test_a_flipped_byte_anywhere_is_noticed_by_verify_and_never_ends_in_another_error(store: ShardStore) -> None:
    shard = store.write(some_rows())
    path = store.folder / shard.file
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        assert store.verify(shard) == f"{shard.file}: its bytes have changed since it was written"
        if position < 128:  # the header; what lies behind it is the checksum's to find
            try:
                store.open(shard, shard_dtype(PARTS))
            except ShardError:
                continue


def test_bytes_that_were_added_are_noticed_at_opening(store: ShardStore) -> None:
    shard = store.write(some_rows())
    with (store.folder / shard.file).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ShardError, match=f"has {shard.bytes + 1} bytes.*expected {shard.bytes} bytes"):
        store.open(shard, shard_dtype(PARTS))


def test_another_file_in_its_place_is_noticed(store: ShardStore) -> None:
    shard = store.write(some_rows())
    other = store.write(some_rows(n=7))
    (store.folder / other.file).replace(store.folder / shard.file)
    with pytest.raises(ShardError, match="7,"):
        store.open(shard, shard_dtype(PARTS))
    (store.folder / shard.file).write_bytes(b"PK\x03\x04 a zip archive")
    with pytest.raises(ShardError, match="can't be read"):
        store.open(shard, shard_dtype(PARTS))


def test_a_shard_of_other_parts_is_refused(store: ShardStore) -> None:
    shard = store.write(some_rows())
    for parts in [(("stage1", 5), ("pooled", 3)), (("pooled", 3), ("stage1", 5)), (("stage1", 3),)]:
        with pytest.raises(ShardError, match="expected"):
            store.open(shard, shard_dtype(parts))


def test_a_missing_shard_is_said_in_words(store: ShardStore) -> None:
    shard = store.write(some_rows())
    (store.folder / shard.file).unlink()
    with pytest.raises(ShardError, match=r"can't be read.*No such file"):
        store.open(shard, shard_dtype(PARTS))
    assert store.verify(shard) == f"{shard.file}: can't be read (No such file or directory)"


def test_files_that_nobody_names_are_orphans(store: ShardStore, tmp_path: Path) -> None:
    assert store.orphans(set()) == []  # no folder yet
    kept, left = store.write(some_rows()), store.write(some_rows(seed=2))
    half = store.folder / "x.npy.1234.tmp"
    half.write_bytes(b"half")
    assert store.orphans({kept.file}) == sorted([store.folder / left.file, half])


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fill() -> None:
        with replaced(path) as file:
            file.write(b"half of the ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill()
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file", b"old")]


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        steps.append(f"fsync {kind}{' under its name' if path.exists() else ''}")
        sync(descriptor)

    def replaced_by(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced_by)
    with replaced(path) as file:
        file.write(b"new")
    assert steps == ["fsync file", "rename", "fsync folder under its name"]


KILLED_BETWEEN = """
import os, sys
from pathlib import Path
import numpy as np
from storage import storing
from storage.catalog import Catalog
from storage.database import sqlite_url
from storage.records import Batch, ContentFacts, FileStamp
from storage.shards import ShardStore, shard_rows

folder = Path(sys.argv[1])
catalog, store = Catalog(sqlite_url(folder / "catalog.sqlite")), ShardStore(folder / "shards")
space = catalog.space_id("key", "model", {})

def batch(number):
    digest = f"{number:064x}"
    vectors = {"pooled": np.full((1, 5), number, np.float32)}
    shard = store.write(shard_rows((("pooled", 5),), vectors, {"pooled": np.ones(1)}, [digest]))
    facts = ContentFacts(digest, 9, 4, 3, "PNG", None, None)
    return Batch([facts], shard, {}, [(FileStamp(f"/photos/{number}.png", 9, 9), digest)])

def pause(*_):
    print("the file is there, its row is not", flush=True)
    input()

catalog.store(batch(1), space)
if sys.argv[2] == "before":
    Catalog.store = pause
else:
    storing.write_photos = pause  # within the transaction: all but the photos is written
catalog.store(batch(2), space)
"""


@pytest.mark.parametrize("moment", ["before", "within"])
def test_a_kill_between_a_shard_and_its_row_leaves_an_orphan_and_nothing_lost(tmp_path: Path, moment: str) -> None:
    command = [sys.executable, "-c", KILLED_BETWEEN, str(tmp_path), moment]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "its row is not" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    from storage.database import sqlite_url

    catalog, store = Catalog(sqlite_url(tmp_path / "catalog.sqlite")), ShardStore(tmp_path / "shards")
    space = catalog.space_id("key", "model", {})
    assert catalog.counts(space) == {"present": 1, "unreadable": 0, "gone": 0, "embedded": 1}
    assert len(list(store.folder.iterdir())) == 2
    orphan = store.orphans(catalog.shard_files())
    assert len(orphan) == 1
    (shard,) = catalog.shards(space).values()
    ((_, rows, contents),) = catalog.vector_places(space, 0, catalog.newest_shard(space))
    mapped = store.open(shard, shard_dtype((("pooled", 5),)))
    assert mapped["digest"][rows[0]].tobytes().hex() == catalog.digests(contents.tolist())[contents[0]] == f"{1:064x}"
    assert mapped["pooled"][rows[0]].tolist() == [1.0] * 5
    assert np.load(orphan[0])["pooled"].tolist() == [[2.0] * 5]
    catalog.close()


def test_checksums_differ_for_different_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    (tmp_path / "b").write_bytes(b"a" * 99_999 + b"b")
    assert len({checksum_of(tmp_path / "a"), checksum_of(tmp_path / "b")}) == 2
    assert len(checksum_of(tmp_path / "a")) == 64


def test_thumbnails_are_kept_by_digest_and_an_empty_one_counts_for_none(tmp_path: Path) -> None:
    store = ThumbnailStore(tmp_path / "thumbnails")
    digest = "ab" * 32
    assert (store.has(digest), store.read(digest)) == (False, None)
    jpeg = b"\xff\xd8 and so on \xff\xd9"
    store.write(digest, jpeg)
    assert (store.has(digest), store.read(digest)) == (True, jpeg)
    for left in (b"", jpeg[:1], jpeg[:-2]):  # as a power cut may leave it
        store.path(digest).write_bytes(left)
        assert not store.has(digest)
    assert not store.has("cd" * 32)


def test_a_half_written_thumbnail_lies_where_the_next_job_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ThumbnailStore(tmp_path / "thumbnails")
    assert store.orphans() == []
    store.write("ab" * 32, b"jpeg")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda path, target: target)
        killed.setattr(Path, "unlink", lambda path, missing_ok: None)
        store.write("cd" * 32, b"jp")
    [left] = store.orphans()
    assert (left.parent, left.read_bytes()) == (store.folder, b"jp")


def test_a_shard_file_says_what_is_on_the_disk(store: ShardStore) -> None:
    shard = store.write(some_rows())
    path = store.folder / shard.file
    assert shard == ShardFile(path.name, 6, path.stat().st_size, checksum_of(path))
