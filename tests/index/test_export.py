"""What is exported is what the catalogue says and the shards hold, row by row, for readers that know nothing of us."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from sqlalchemy import select

import index.compact
import index.export_source
from index.errors import LibraryError
from index.export import export
from index.library import Library
from storage.records import Filter
from storage.tables import Content, Label, Mark, Photo, Vector

Run = Callable[..., dict[str, Any]]
CAMERA = "Maker Model 7"

pytestmark = pytest.mark.usefixtures("inline_decoder")


def report_of(steps: Iterator[Any]) -> dict[str, Any]:
    *_, last = steps
    assert last.report is not None
    json.dumps(last.report)
    return last.report


def table(library: Library, model: Any) -> list[Any]:
    """The rows of a table, in the order of its key."""
    with library.catalog.engine.connect() as connection:
        return list(connection.execute(select(model.__table__).order_by(*model.__table__.primary_key)))


def paths_by_digest(library: Library) -> dict[str, set[tuple[str, str]]]:
    """{digest: {(path, state)}} of the catalogue."""
    digests = {content.id: content.digest for content in table(library, Content)}
    found: dict[str, set[tuple[str, str]]] = {digest: set() for digest in digests.values()}
    for photo in table(library, Photo):
        if photo.content_id is not None:
            found[digests[photo.content_id]].add((photo.path, photo.state))
    return found


@pytest.fixture
def several_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few contents in memory at a time, so that a small library has several slices."""
    monkeypatch.setattr(index.export_source, "SLICE", 4)
    monkeypatch.setattr("index.export_npz.SLICE", 4)


@pytest.fixture
def npz(lived_in: Library, tmp_path: Path, several_slices: None) -> dict[str, np.ndarray]:
    """The library's .npz, float32."""
    report = report_of(export(lived_in, tmp_path / "all.npz", dtype="float32"))
    assert (report["contents"], report["photos"], report["unreadable"], report["with_vectors"]) == (9, 10, 1, 9)
    with np.load(tmp_path / "all.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_the_npz_has_a_row_for_each_content_in_the_order_they_were_met(
    lived_in: Library, npz: dict[str, np.ndarray]
) -> None:
    contents = table(lived_in, Content)
    assert npz["digest"].tolist() == [content.digest.encode() for content in contents]
    for name in ("size", "width", "height", "format"):
        assert npz[name].tolist() == [getattr(content, name) for content in contents], name
    assert npz["camera"].tolist() == [content.camera or "" for content in contents]
    assert npz["camera"].tolist().count(CAMERA) == 1
    dated = npz["taken_at"][npz["camera"] == CAMERA]
    assert dated.tolist() == [datetime(2020, 1, 2, 3, 4, 5)]
    assert np.isnat(npz["taken_at"]).sum() == 8
    gone = [all(state == "gone" for _, state in found) for found in paths_by_digest(lived_in).values()]
    assert npz["state"].tolist() == ["gone" if one else "present" for one in gone]
    assert sum(gone) == 1


def test_every_path_comes_back_byte_by_byte_with_its_row(lived_in: Library, npz: dict[str, np.ndarray]) -> None:
    found: dict[str, set[tuple[str, str]]] = {digest.decode(): set() for digest in npz["digest"]}
    for row, path, state in zip(npz["photo_row"], npz["photo_path"], npz["photo_state"], strict=True):
        found[npz["digest"][row].decode()].add((os.fsdecode(path), str(state)))
    assert found == paths_by_digest(lived_in)
    names = {os.fsencode(Path(path).name) for of_content in found.values() for path, _ in of_content}
    assert {b"no-utf8-\xff\xfe.png", "with\na line and \u00fc.png".encode(), b"x" * 251 + b".png"} <= names
    assert max(len(of_content) for of_content in found.values()) == 2, "a copy has its original's row"


def test_the_npz_has_the_vectors_of_the_shards(lived_in: Library, npz: dict[str, np.ndarray]) -> None:
    places = {vector.content_id: (vector.shard_id, vector.row) for vector in table(lived_in, Vector)}
    mapped = {
        number: lived_in.shards.open(shard, lived_in.space.dtype)
        for number, shard in lived_in.catalog.shards(lived_in.space_id).items()
    }
    for part, width in lived_in.space.parts:
        vectors = npz[f"vector_{part}"]
        assert (vectors.shape, vectors.dtype) == ((9, width), np.float32)
        for row, content in enumerate(table(lived_in, Content)):
            shard, place = places[content.id]
            np.testing.assert_array_equal(vectors[row], mapped[shard][part][place].astype(np.float32))
    assert npz["has_vector"].all()


def test_the_npz_has_labels_and_words(lived_in: Library, npz: dict[str, np.ndarray]) -> None:
    row_of = {content.id: row for row, content in enumerate(table(lived_in, Content))}
    labels = [(row_of[one.content_id], one.label_index, np.float32(one.score)) for one in table(lived_in, Label)]
    exported = zip(npz["label_row"], npz["label_index"], npz["label_score"], strict=True)
    assert [tuple(one) for one in exported] == labels
    assert npz["label_names"].tolist() == ["warm, hot", "cold"]
    marks = sorted((row_of[mark.content_id], mark.word) for mark in table(lived_in, Mark))
    assert [(int(row), str(word)) for row, word in zip(npz["word_row"], npz["word"], strict=True)] == marks
    assert len(marks) == 3


def test_parquet_has_the_same_rows_as_the_npz(
    lived_in: Library, npz: dict[str, np.ndarray], tmp_path: Path, several_slices: None
) -> None:
    report_of(export(lived_in, tmp_path / "all.parquet", dtype="float32"))
    opened = parquet.ParquetFile(tmp_path / "all.parquet")
    assert opened.metadata.num_row_groups == 3, "a row group for each slice"
    assert opened.schema_arrow.metadata[b"pooled"] == b"stage2"
    rows = opened.read().to_pylist()
    assert [row["digest"].encode() for row in rows] == npz["digest"].tolist()
    for name in ("size", "width", "height", "format", "state"):
        assert [row[name] for row in rows] == npz[name].tolist(), name
    assert [row["camera"] or "" for row in rows] == npz["camera"].tolist()
    assert [np.datetime64(row["taken_at"] or "NaT", "s") for row in rows if row["taken_at"]] == [
        np.datetime64("2020-01-02T03:04:05", "s")
    ]
    exact = {
        row["digest"]: {
            (os.fsdecode(photo["path_bytes"] or photo["path"].encode()), photo["state"]) for photo in row["photos"]
        }
        for row in rows
    }
    assert exact == paths_by_digest(lived_in)
    odd = [photo["path"] for row in rows for photo in row["photos"] if photo["path_bytes"] is not None]
    assert [Path(path).name for path in odd] == ["no-utf8-\\xff\\xfe.png"]
    for part, width in lived_in.space.parts:
        vectors = np.array([row[f"vector_{part}"] for row in rows], np.float32)
        assert vectors.shape == (9, width)
        np.testing.assert_array_equal(vectors, npz[f"vector_{part}"])
    assert sorted(word for row in rows for word in row["words"]) == ["cold \u2744", "warm", "warm"]
    assert [len(row["labels"]) for row in rows] == [2] * 9
    assert {label["label"] for row in rows for label in row["labels"]} == {"warm, hot", "cold"}


@pytest.mark.parametrize("ending", ["npz", "parquet"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dtype_and_parts_are_those_asked_for(lived_in: Library, tmp_path: Path, ending: str, dtype: str) -> None:
    out = tmp_path / f"part.{ending}"
    report = report_of(export(lived_in, out, parts=["stage2"], dtype=dtype))
    assert (report["parts"], report["dtype"]) == ([{"name": "stage2", "width": 3}], dtype)
    assert report["bytes"] == out.stat().st_size
    vectors, names = read_vectors(out)
    assert names == ["vector_stage2"]
    assert (vectors.dtype, vectors.shape) == (np.dtype(dtype), (9, 3))
    contents = [content.id for content in table(lived_in, Content)]
    stored = lived_in.stored(contents, "stage2")
    np.testing.assert_array_equal(vectors, np.stack([stored[content] for content in contents]).astype(dtype))


def read_vectors(out: Path, part: str = "stage2") -> tuple[np.ndarray, list[str]]:
    """A part's vectors, and the names of all parts in the file."""
    if out.suffix == ".npz":
        with np.load(out, allow_pickle=False) as arrays:
            return arrays[f"vector_{part}"], [name for name in arrays.files if name.startswith("vector_")]
    read = parquet.read_table(out)
    column = read[f"vector_{part}"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, column.type.list_size), [name for name in read.column_names if name.startswith("vector_")]


def test_a_content_without_a_vector_is_told_from_one_of_zeros(lived_in: Library, tmp_path: Path) -> None:
    contents = table(lived_in, Content)
    lived_in.catalog.drop_vectors([contents[3].id], lived_in.space_id)
    lived_in.vectors.forget()
    assert report_of(export(lived_in, tmp_path / "some.npz"))["with_vectors"] == 8
    with np.load(tmp_path / "some.npz") as arrays:
        assert arrays["has_vector"].tolist() == [row != 3 for row in range(9)]
        assert not arrays["vector_stage2"][3].any()
    report_of(export(lived_in, tmp_path / "some.parquet"))
    read = parquet.read_table(tmp_path / "some.parquet")["vector_stage2"].to_pylist()
    assert [row for row, vector in enumerate(read) if vector is None] == [3]


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_an_empty_library_is_exported_too(library: Library, tmp_path: Path, ending: str) -> None:
    report = report_of(export(library, tmp_path / f"none.{ending}"))
    assert (report["contents"], report["photos"]) == (0, 0)
    vectors, names = read_vectors(tmp_path / f"none.{ending}")
    assert (vectors.shape, names) == ((0, 3), ["vector_stage1", "vector_stage2"])


def test_the_same_library_gives_the_same_bytes(lived_in: Library, tmp_path: Path) -> None:
    report_of(export(lived_in, tmp_path / "one.npz"))
    report_of(export(lived_in, tmp_path / "two.npz"))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_merge_during_the_export_changes_nothing(
    lived_in: Library, open_library: Callable[..., Library], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    several_slices: None,
) -> None:  # fmt: skip
    report_of(export(lived_in, tmp_path / "quiet.npz"))
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 1)
    other = open_library()
    for number, _ in enumerate(export(lived_in, tmp_path / "busy.npz")):
        if number == 1:
            other.catalog.mark({"new word": [1]})
            assert list(index.compact.compact(other))
            for path in other.shards.orphans(other.catalog.shard_files()):
                path.unlink()
    assert (tmp_path / "busy.npz").read_bytes() == (tmp_path / "quiet.npz").read_bytes(), "one state of the catalogue"


def test_vectors_given_up_meanwhile_end_the_export_without_a_file(
    lived_in: Library, open_library: Callable[..., Library], tmp_path: Path, several_slices: None
) -> None:
    steps = export(lived_in, tmp_path / "out.npz")
    next(steps)
    other = open_library()
    for shard in other.catalog.shards(other.space_id):
        other.catalog.drop_shard(shard)
    for path in other.shards.orphans(set()):
        path.unlink()
    with pytest.raises(LibraryError, match=r"given up while they were exported\. Nothing was written"):
        list(steps)
    assert not list(tmp_path.glob("out*"))


def test_memory_does_not_grow_with_the_library(
    library: Library, fill: Callable[..., list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.export_source, "SLICE", 100)
    monkeypatch.setattr("index.export_npz.SLICE", 100)
    random = np.random.default_rng(1)

    def more(first: int, count: int) -> None:
        fill(library, {f"/{first + number:06}.png": random.normal(size=3) for number in range(count)})

    def peak(ending: str) -> int:
        report_of(export(library, tmp_path / f"warm.{ending}"))  # what is loaded once
        tracemalloc.start()
        try:
            for _ in export(library, tmp_path / f"all.{ending}"):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    more(0, 300)
    small = {ending: peak(ending) for ending in ("npz", "parquet")}
    arrow = pyarrow.default_memory_pool().max_memory()
    more(300, 3000)
    for ending, before in small.items():
        # Eleven times as many rows, which held whole would be megabytes; what may grow is 9 bytes a content, kept to find the
        # vectors in a second pass. (Beside other tests some 200,000 bytes of theirs are counted too.)
        assert peak(ending) < before + 400_000, ending
        assert (tmp_path / f"all.{ending}").stat().st_size > 100_000
    assert pyarrow.default_memory_pool().max_memory() < arrow + 500_000


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_an_export_that_ends_early_leaves_what_was_there(lived_in: Library, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    out.write_text("the last one")
    steps = export(lived_in, out)
    next(steps)
    steps.close()
    assert out.read_text() == "the last one"
    assert list(tmp_path.glob("out*")) == [out], "and nothing half beside it"
    with pytest.raises(LibraryError, match="nowhere"):
        list(export(lived_in, tmp_path / "nowhere" / f"out.{ending}"))


def test_what_can_not_be_exported_says_why(lived_in: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        LibraryError, match=r"out\.csv says no format that is known\. Give a file that ends in \.npz or \.parquet"
    ):
        list(export(lived_in, tmp_path / "out.csv"))
    with pytest.raises(LibraryError, match=r"has no part 'stage9'\. It has stage1, stage2"):
        list(export(lived_in, tmp_path / "out.npz", parts=["stage9"]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        LibraryError, match=r"Parquet needs pyarrow.*requirements\.txt; or export to a file that ends in \.npz"
    ):
        list(export(lived_in, tmp_path / "out.parquet"))
    assert not list(tmp_path.glob("out*"))


def test_the_npz_is_a_plain_zip_of_arrays(lived_in: Library, tmp_path: Path) -> None:
    report_of(export(lived_in, tmp_path / "all.npz"))
    with zipfile.ZipFile(tmp_path / "all.npz") as archive:
        assert archive.testzip() is None
        documented = importlib.import_module("index.export").__doc__ or ""
        for name in archive.namelist():
            assert name.removesuffix(".npy").split("_stage")[0] in documented.replace("PART", ""), name
    present = {photo.path for of in lived_in.catalog.photos(range(1, 99), Filter(), 1).values() for photo in of}
    assert len(present) == 9
