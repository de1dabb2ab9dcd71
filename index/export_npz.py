"""The .npz of an export: a zip of .npy files, each written slice by slice. Texts are deflated, vectors are not worth it."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, BinaryIO

import numpy as np

from index.export_source import SLICE, Slice, Source, seconds_of


class _Column:
    """An array of which only the last slice is in memory: its numbers wait in a temporary file."""

    def __init__(self, file: IO[bytes], dtype: str) -> None:
        self.file = file
        self.dtype = np.dtype(dtype)
        self.count = 0

    def append(self, values: list | np.ndarray) -> None:
        array = np.array(values, self.dtype)
        self.file.write(array.tobytes())
        self.count += len(array)


def write(source: Source, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Write the zip; (contents done, contents to do) of all passes, as it goes on."""
    total = source.totals.contents * (1 + len(source.parts))
    with ExitStack() as stack, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        columns = {
            name: _Column(stack.enter_context(tempfile.TemporaryFile(dir=os.path.dirname(file.name))), dtype)
            for name, dtype in _dtypes(source).items()
        }
        done = 0
        for piece in source.slices():
            _append(columns, piece, done)
            done += len(piece.contents)
            yield done, total
        for name, column in columns.items():
            if name != "content_id":  # a number that means something in this library only
                _copy(archive, name, column)
        labels = source.library.space.labels
        names = np.array([labels.get(index, "") for index in range(max(labels, default=-1) + 1)], "U")
        with _member(archive, "label_names", names.dtype, names.shape) as member:
            member.write(names.tobytes())
        ids, embedded = _read(columns["content_id"]), _read(columns["has_vector"])
        for part, width in source.parts:
            with _member(archive, f"vector_{part}", source.dtype, (len(ids), width), zipfile.ZIP_STORED) as member:
                for start in range(0, len(ids), SLICE):
                    where = slice(start, start + SLICE)
                    member.write(source.vectors(ids[where], embedded[where], part).tobytes())
                    done += len(ids[where])
                    yield done, total


def _dtypes(source: Source) -> dict[str, str]:
    """The arrays by name. Texts are as wide as the longest."""
    totals = source.totals
    return {
        "content_id": "i8",
        "digest": "S64",
        "size": "i8",
        "width": "i4",
        "height": "i4",
        "format": f"U{max(1, totals.format)}",
        "taken_at": "M8[s]",
        "camera": f"U{max(1, totals.camera)}",
        "state": "U10",
        "has_vector": "?",
        "photo_row": "i8",
        "photo_path": f"S{max(1, totals.path)}",
        "photo_state": "U10",
        "label_row": "i8",
        "label_index": "i4",
        "label_score": "f4",
        "word_row": "i8",
        "word": f"U{max(1, totals.word)}",
    }


def _append(columns: dict[str, _Column], piece: Slice, row: int) -> None:
    """A slice's values at the end of every column; its first content is the array's row `row`."""
    contents = piece.contents
    columns["content_id"].append([content.id for content in contents])
    for name in ("digest", "size", "width", "height", "format"):
        columns[name].append([getattr(content, name) for content in contents])
    columns["taken_at"].append(seconds_of([content.taken_at for content in contents]))
    columns["camera"].append([content.camera or "" for content in contents])
    columns["state"].append(piece.states)
    columns["has_vector"].append(piece.embedded)
    columns["photo_row"].append([row + place for place, _, _ in piece.photos])
    columns["photo_path"].append([os.fsencode(path) for _, path, _ in piece.photos])
    columns["photo_state"].append([state for _, _, state in piece.photos])
    columns["label_row"].append([row + place for place, _, _ in piece.labels])
    columns["label_index"].append([index for _, index, _ in piece.labels])
    columns["label_score"].append([score for _, _, score in piece.labels])
    columns["word_row"].append([row + place for place, _ in piece.words])
    columns["word"].append([word for _, word in piece.words])


def _copy(archive: zipfile.ZipFile, name: str, column: _Column) -> None:
    column.file.seek(0)
    with _member(archive, name, column.dtype, (column.count,)) as member:
        shutil.copyfileobj(column.file, member, 1 << 20)


def _member(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...], how: int = zipfile.ZIP_DEFLATED
) -> IO[bytes]:
    """A .npy file in the zip, with its header written: the numbers follow."""
    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))  # the same bytes for the same library
    info.compress_type = how
    member = archive.open(info, "w", force_zip64=True)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    return member


def _read(column: _Column) -> np.ndarray:
    column.file.seek(0)
    return np.frombuffer(column.file.read(), column.dtype)
