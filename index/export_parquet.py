"""The Parquet file of an export, a row group for each slice. Needs pyarrow, which only this asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from index.errors import LibraryError
from index.export_source import Slice, Source

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("format", "camera", "state")  # few different ones


def write(source: Source, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Write the file; (contents done, contents to do) as it goes on. Raises LibraryError where pyarrow is not installed."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise LibraryError(
            f"Parquet needs pyarrow, which is not installed ({error}). Install it: python -m pip install -r "
            "requirements.txt; or export to a file that ends in .npz, which needs nothing more."
        ) from error
    schema = _schema(source)
    with parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=list(TEXTS)) as writer:
        done = 0
        for piece in source.slices():
            columns = _columns(source, piece)
            writer.write_table(pa.table([columns[name] for name in schema.names], schema), len(piece.contents))
            done += len(piece.contents)
            yield done, source.totals.contents


def _schema(source: Source) -> pa.Schema:
    import pyarrow as pa

    photo = pa.struct([("path", pa.string()), ("path_bytes", pa.binary()), ("state", pa.string())])
    label = pa.struct([("index", pa.int32()), ("label", pa.string()), ("score", pa.float32())])
    number = pa.float16() if source.dtype == np.float16 else pa.float32()
    fields = [
        ("digest", pa.string()), ("size", pa.int64()), ("width", pa.int32()), ("height", pa.int32()), ("format", pa.string()),
        ("taken_at", pa.timestamp("s")), ("camera", pa.string()), ("state", pa.string()),
        ("photos", pa.list_(photo)), ("labels", pa.list_(label)), ("words", pa.list_(pa.string())),
        *((f"vector_{part}", pa.list_(number, width)) for part, width in source.parts),
    ]  # fmt: skip
    return pa.schema(fields, metadata={"model": source.library.model, "pooled": source.library.space.pooled})


def _columns(source: Source, piece: Slice) -> dict[str, Any]:
    import pyarrow as pa

    contents, several = piece.contents, range(len(piece.contents))
    photos: list[list[dict]] = [[] for _ in several]
    labels: list[list[dict]] = [[] for _ in several]
    words: list[list[str]] = [[] for _ in several]
    for place, path, state in piece.photos:
        photos[place].append(_path(path) | {"state": state})
    for place, index, score in piece.labels:
        labels[place].append({"index": index, "label": source.library.label(index), "score": score})
    for place, word in piece.words:
        words[place].append(word)
    plain = {name: [getattr(content, name) for content in contents] for name in contents[0]._fields[1:]}
    columns: dict[str, Any] = plain | {"state": piece.states, "photos": photos, "labels": labels, "words": words}
    columns["taken_at"] = [None if moment is None else _to_seconds(moment) for moment in columns["taken_at"]]
    columns = {name: pa.array(values, _schema(source).field(name).type) for name, values in columns.items()}
    for part, width in source.parts:
        numbers = source.vectors(piece.ids, piece.embedded, part)
        columns[f"vector_{part}"] = pa.FixedSizeListArray.from_arrays(
            pa.array(numbers.ravel()), width, mask=pa.array(~piece.embedded)
        )
    return columns


def _path(path: str) -> dict[str, Any]:
    """A path as text; with its bytes where they are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        exact = os.fsencode(path)
        return {"path": exact.decode("utf-8", "backslashreplace"), "path_bytes": exact}
    return {"path": path, "path_bytes": None}


def _to_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
