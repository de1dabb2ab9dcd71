"""Make again what is derived, and give up what is damaged so that the next index run makes it again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from index.errors import LibraryError
from index.library import Library
from regconv.errors import UnreadableImage
from storage import jobs
from storage.errors import ShardError
from storage.listings import StampRow

INDEX_AGAIN = "; run `python app.py index` on your folders again to make the rest"


def mend(library: Library) -> list[str]:
    """What was mended, in words. Takes the library's lease; raises JobRunning, and LibraryError where shards/ is not there."""
    if library.catalog.shards(library.space_id) and not library.shards.folder.is_dir():
        raise LibraryError(
            f"{library.shards.folder} is not there. Is its disk mounted? Nothing was mended or given up."
        )
    job_id = library.catalog.start_job("mend", [])
    state, done = jobs.FAILED, []
    try:
        for shard_id, shard in library.catalog.shards(library.space_id).items():
            if library.shards.verify(shard):
                lost = library.catalog.drop_shard(shard_id)
                done.append(f"gave up the damaged shard {shard.file} with {lost} vectors{INDEX_AGAIN}")
        shifted = np.concatenate([np.empty(0, np.int64), *(wrong for _, wrong in shifted_rows(library))]).tolist()
        if shifted:
            library.catalog.drop_vectors(shifted, library.space_id)
            done.append(f"gave up {len(shifted)} vectors that were other photos' own{INDEX_AGAIN}")
        for path in library.shards.orphans(library.catalog.shard_files()):
            path.unlink()
            done.append(f"removed {path.name}, which belonged to nothing")
        library.indexes.drop()
        library.index(library.space.pooled)
        library.indexes.save()
        done.append("built the index anew from the shards")
        made = sum(_make_thumbnail(library, photo) for photo in _without_thumbnail(library))
        if made:
            done.append(f"made {made} thumbnails")
        state = jobs.DONE
    finally:
        library.catalog.finish_job(job_id, state, {"mended": done})
    return done


def _make_thumbnail(library: Library, photo: StampRow) -> bool:
    try:
        decoded = library.decoder.picture(photo.path)
    except UnreadableImage:
        return False
    library.thumbnails.write(decoded.digest, decoded.thumbnail)
    return decoded.digest == photo.digest


def _without_thumbnail(library: Library) -> Iterator[StampRow]:
    """The present photos whose content has no thumbnail."""
    return (photo for photo in library.catalog.stamps() if photo.digest and not library.thumbnails.has(photo.digest))


def shifted_rows(library: Library, most: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each shard that can be read: (its content ids, those of them whose row is another content's), int64 (n,).

    With `most`, of as many shards, drawn anew each time, as it takes to look at so many vectors.
    """
    files = list(library.catalog.shards(library.space_id).items())
    if most is not None:
        np.random.default_rng().shuffle(files)
    looked = 0
    for shard_id, file in files:
        if most is not None and looked >= most:
            return
        try:
            mapped = library.shards.open(file, library.space.dtype)
        except ShardError:
            continue  # the check of the shards says so
        rows, contents, digests = library.catalog.vector_digests(shard_id)
        looked += len(rows)
        wrong = rows >= len(mapped)
        wrong[~wrong] = (mapped["digest"][rows[~wrong]] != digests[~wrong]).any(axis=1)
        yield contents, contents[wrong]
