"""export: everything that a library knows, in one file that others can read: NumPy's .npz or Parquet.

One state of the catalogue, read content by content in slices, so that no more than a slice is in memory.

.npz, arrays of n contents in one order, in which the library met them: digest, size, width, height, format, taken_at (NaT:
unknown), camera ("": unknown), state ("present" where one of its photos is), has_vector, and vector_PART (n, width), zeros
where there is none. What a content has several of comes with its row's number: photo_row, photo_path (bytes, os.fsdecode
makes them paths), photo_state; label_row, label_index, label_score, with the words of the indices in label_names; word_row,
word.

.parquet, a row for each content in that order: the same columns, photos, labels and words as lists, vector_PART null where
there is none. A path that is not UTF-8 is written out in `path` and exact in `path_bytes`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from index.errors import LibraryError
from index.export_source import Source
from index.library import Library
from index.progress import DONE, Progress, step
from storage.shards import replaced

FORMATS = (".npz", ".parquet")


def export(
    library: Library, out: str | Path, *, parts: Sequence[str] = (), dtype: str = "float16"
) -> Generator[Progress, None, None]:
    """Write the library to a .npz or .parquet file, which appears whole or not at all; the last Progress carries the report.

    `parts` are those whose vectors are wanted, all by default. Raises LibraryError for another ending, an unknown part, a
    folder that can't be written to, or Parquet without pyarrow.
    """
    start, out = time.monotonic(), Path(out).expanduser().absolute()
    _check_place(out)
    chosen = _chosen(library, parts)
    if out.suffix.lower() == ".npz":
        from index.export_npz import write
    else:
        from index.export_parquet import write
    try:
        with library.catalog.listing() as listing:
            source = Source(library, listing, listing.totals(), chosen, np.dtype(dtype))
            library.vectors.refresh()
            with replaced(out) as file:
                for done, total in write(source, file):
                    yield step("exporting", done, total, out.name)
    except OSError as error:
        raise LibraryError(
            f"{out} could not be written: {error}. Nothing is there; make room or name another file."
        ) from error
    report = {
        "path": str(out),
        "contents": source.totals.contents,
        "photos": source.photos,
        "unreadable": source.totals.unreadable,
        "parts": [{"name": name, "width": width} for name, width in chosen],
        "dtype": dtype,
        "with_vectors": source.with_vectors,
        "bytes": os.path.getsize(out),
        "seconds": round(time.monotonic() - start, 3),
    }
    yield step(DONE, 1, 1, report=report)


def _check_place(out: Path) -> None:
    if out.suffix.lower() not in FORMATS:
        raise LibraryError(f"{out.name} says no format that is known. Give a file that ends in .npz or .parquet.")
    if out.is_dir() or not out.parent.is_dir():
        reason = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise LibraryError(f"{out} can't be written: {reason}. Name another file.")


def _chosen(library: Library, parts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The parts asked for, in the library's order, with their widths."""
    widths = dict(library.space.parts)
    unknown = [part for part in parts if part not in widths]
    if unknown:
        raise LibraryError(f"The library has no part {unknown[0]!r}. It has {', '.join(widths)}.")
    return tuple((name, width) for name, width in widths.items() if not parts or name in parts)
