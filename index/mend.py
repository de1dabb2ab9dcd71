"""Make again what is derived, and give up what is damaged so that the next index run makes it again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from index.errors import LibraryError
from index.library import Library
from regconv.errors import UnreadableImage
from storage import jobs
from storage.errors import ShardError
from storage.records import PhotoRecord
from storage.tables import PRESENT

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
        shifted = [content for _, wrong in shifted_rows(library) for content in wrong]
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
        made = sum(_make_thumbnail(library, photo) for photo in without_thumbnail(library))
        if made:
            done.append(f"made {made} thumbnails")
        state = jobs.DONE
    finally:
        library.catalog.finish_job(job_id, state, {"mended": done})
    return done


def _make_thumbnail(library: Library, photo: PhotoRecord) -> bool:
    try:
        decoded = library.decoder.picture(photo.path)
    except UnreadableImage:
        return False
    library.thumbnails.write(decoded.digest, decoded.thumbnail)
    return decoded.digest == photo.digest


def without_thumbnail(library: Library) -> Iterator[PhotoRecord]:
    """The present photos whose content has no thumbnail."""
    return (photo for photo in _present(library) if photo.digest and not library.thumbnails.has(photo.digest))


def shifted_rows(library: Library) -> Iterator[tuple[np.ndarray, list[int]]]:
    """For each shard that can be read: (its content ids, those of them whose row is another content's)."""
    files = library.catalog.shards(library.space_id)
    newest = library.catalog.newest_shard(library.space_id)
    for shard_id, rows, contents in library.catalog.vector_places(library.space_id, 0, newest):
        try:
            mapped = library.shards.open(files[shard_id], library.space.dtype)
        except ShardError:
            continue  # the check of the shards says so
        digests = library.catalog.digests(contents.tolist())
        yield (
            contents,
            [
                content
                for row, content in zip(rows.tolist(), contents.tolist(), strict=True)
                if row >= len(mapped) or mapped["digest"][row].tobytes().hex() != digests[content]
            ],
        )


def _present(library: Library) -> Iterator[PhotoRecord]:
    last = 0
    while photos := library.catalog.photos_in(PRESENT, 1000, last):
        yield from photos
        last = photos[-1].id
