"""Merge small shards, and leave out rows that no content points to: runs at the end of an index job, under its lease.

File first, then one transaction, then the old files: a kill at any moment leaves a file that belongs to nothing, which the
next job sweeps. Every step stands for itself, so that what a kill left undone is simply what the next plan finds.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby

import numpy as np

from index.errors import LibraryError
from index.library import Library
from storage.errors import ShardError
from storage.records import ShardUse

log = logging.getLogger(__name__)

MOST_ROWS = 65_536
MOST_BYTES = 128 << 20  # of a merged shard: what a merge may need besides, on the disk
SMALL_ROWS = 8192
SMALL_SHARDS = 16  # so many are left as they are
DEAD_SHARE = 0.25  # a shard with more rows than this that nobody needs is written anew
SLICE_BYTES = 4 << 20
# A search in another process may have looked up its rows in the old files and not opened them yet.
GRACE_S = 60


def compact(library: Library, job_id: int | None = None) -> Iterator[tuple[int, int]]:
    """Carry out the plan, a merged shard at a time: (merged so far, of how many), before each one and at the end.

    Damaged shards are left alone, for `doctor` to tell. Raises LibraryError where the disk refuses, LeaseLost.
    """
    groups = plan(library.catalog.shard_uses(library.space_id), library.space.dtype.itemsize)
    for done, group in enumerate(groups):
        yield done, len(groups)
        _merge(library, group, job_id)
    if groups:
        yield len(groups), len(groups)


def plan(uses: Sequence[ShardUse], row_bytes: int) -> list[list[ShardUse]]:
    """Which shards to merge into one each: none of another provenance, none larger than a merged shard may be."""
    most = max(1, min(MOST_ROWS, MOST_BYTES // row_bytes))
    small = {use.id for use in uses if use.live < min(SMALL_ROWS, most)}
    chosen = [use for use in uses if _is_wasteful(use) or (use.id in small and len(small) > SMALL_SHARDS)]
    groups: list[list[ShardUse]] = []
    for _, alike in groupby(sorted(chosen, key=_maker), key=_maker):  # a stable sort: within a maker, oldest first
        groups.append([])
        for use in alike:
            if sum(each.live for each in groups[-1]) + use.live > most:
                groups.append([])
            groups[-1].append(use)
    return [group for group in groups if _is_worth_it(group)]


def sweep(library: Library) -> None:
    """Remove files that belong to nothing: merged away, or left by a kill. Only under the lease, where nobody else writes."""
    for path in (*library.shards.orphans(library.catalog.shard_files()), *library.thumbnails.orphans()):
        with suppress(OSError):  # in use by another process, where that keeps it from being removed
            if abs(time.time() - path.stat().st_mtime) > GRACE_S:
                path.unlink()


def _merge(library: Library, group: Sequence[ShardUse], job_id: int | None) -> None:
    space_id, dtype = library.space_id, library.space.dtype
    places = _places(library, group)
    sound = [use for use in group if _is_sound(library, use, places[use.id][0])]
    if not _is_worth_it(sound):
        return
    contents = np.concatenate([places[use.id][1] for use in sound])
    needed, free = len(contents) * dtype.itemsize, shutil.disk_usage(library.shards.folder).free
    if free < 2 * needed:
        log.warning("Vector shards stay unmerged: %s has %d bytes free, they take %d.", library.folder, free, needed)
        return
    try:
        new = library.shards.write_slices(dtype, len(contents), _rows(library, sound, places)) if needed else None
    except OSError as error:
        raise LibraryError(
            f"Small vector shards could not be merged: {error}. Every photo is stored and nothing is lost; mend the disk, "
            "and the next index run does it again."
        ) from error
    library.catalog.replace_shards(space_id, sound, new, contents, job_id)
    for use in sound:
        with suppress(OSError):
            os.utime(library.shards.folder / use.file.file)  # from now on it is out of use: see GRACE_S


def _places(library: Library, group: Sequence[ShardUse]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """(rows, content ids) in use of each of these shards."""
    nothing = np.empty(0, np.int64)
    found = {use.id: (nothing, nothing) for use in group}
    for use in group:
        for shard_id, rows, contents in library.catalog.vector_places(library.space_id, use.id - 1, use.id):
            found[shard_id] = rows, contents
    return found


def _rows(
    library: Library, uses: Sequence[ShardUse], places: dict[int, tuple[np.ndarray, np.ndarray]]
) -> Iterator[np.ndarray]:
    step = max(1, SLICE_BYTES // library.space.dtype.itemsize)
    for use in uses:
        mapped, rows = library.shards.open(use.file, library.space.dtype), places[use.id][0]
        for start in range(0, len(rows), step):
            yield np.asarray(mapped[rows[start : start + step]])


def _is_sound(library: Library, use: ShardUse, rows: np.ndarray) -> bool:
    """Whether a shard is what was once written, byte by byte: a new checksum over its damage would hide it for good."""
    try:
        library.shards.open(use.file, library.space.dtype)
    except ShardError:
        return False
    return library.shards.verify(use.file) is None and (len(rows) == 0 or int(rows[-1]) < use.file.rows)


def _is_wasteful(use: ShardUse) -> bool:
    return use.live < (1 - DEAD_SHARE) * use.file.rows


def _is_worth_it(group: Sequence[ShardUse]) -> bool:
    return len(group) > 1 or any(_is_wasteful(use) for use in group)


def _maker(use: ShardUse) -> str:
    return json.dumps(use.provenance, sort_keys=True)
