"""Make again what is derived, and give up what is damaged so that the next index run makes it again.

Photos, words and whatever else a user said are not derived: nothing here touches them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator

import numpy as np

from index.compare import SAME, embedded_again
from index.errors import LibraryError
from index.job import BEAT_S
from index.library import Library
from index.progress import Progress, step
from regconv.errors import RegconvError, UnreadableImage
from storage import jobs
from storage.errors import ShardError
from storage.listings import StampRow
from storage.records import Filter

INDEX_AGAIN = "; run `python app.py index` on your folders again to make the rest"


def mend(library: Library) -> Generator[Progress, None, list[str]]:
    """What was mended, and what could not be, in words. Takes the library's lease.

    Raises JobRunning, ReadOnly, and LibraryError where the shards are not there or may not be read.
    """
    _check_shards_are_there(library)
    job_id = library.catalog.start_job("mend", [])
    done: list[str] = []
    state, last_beat = jobs.INTERRUPTED, 0.0
    try:
        library = library.follow()
        for mends in (_shards, _rows, _vectors, _left_over, _index, _thumbnails):
            for progress in mends(library, done):
                if time.monotonic() - last_beat > BEAT_S:
                    last_beat = time.monotonic()
                    if library.catalog.beat(job_id, progress.as_dict()):
                        raise LibraryError("The mending was asked to stop. What was mended stays so; run it again.")
                yield progress
        state = jobs.DONE
    except Exception:
        state = jobs.FAILED
        raise
    finally:
        library.catalog.finish_job(job_id, state, {"mended": done})
    return done


def _check_shards_are_there(library: Library) -> None:
    """What may come back by itself is not given up."""
    folder, shards = library.shards.folder, library.catalog.shards(library.space_id)
    if shards and not folder.is_dir():
        raise LibraryError(f"{folder} is not there. Is its disk mounted? Nothing was mended or given up.")
    for shard in shards.values():
        if (folder / shard.file).exists() and not os.access(folder / shard.file, os.R_OK):
            raise LibraryError(f"{folder / shard.file} may not be read by you. Nothing was mended or given up.")


def _shards(library: Library, done: list[str]) -> Iterator[Progress]:
    """Give up shards that are not what was written."""
    shards = library.catalog.shards(library.space_id)
    for number, (shard_id, shard) in enumerate(shards.items()):
        yield step("verifying shards", number, len(shards), shard.file)
        if library.shards.verify(shard):
            lost = library.catalog.drop_shard(shard_id)
            done.append(f"gave up the damaged shard {shard.file} with {lost} vectors{INDEX_AGAIN}")


def _rows(library: Library, done: list[str]) -> Iterator[Progress]:
    """Give up vectors that are another content's, and those of no content or in no shard at all."""
    yield step("comparing rows", 0, 1)
    shifted = np.concatenate([np.empty(0, np.int64), *(wrong for _, wrong in shifted_rows(library))]).tolist()
    if shifted:
        library.catalog.drop_vectors(shifted, library.space_id)
        done.append(f"gave up {len(shifted)} vectors that were other photos' own{INDEX_AGAIN}")
    lost = library.catalog.drop_lost_vectors(library.space_id)
    if lost:
        done.append(f"gave up {lost} vectors whose shard or photo is not known{INDEX_AGAIN}")


def _vectors(library: Library, done: list[str]) -> Iterator[Progress]:
    """Give up the vectors beside one that the network would not give: they were made alike."""
    wrong: set[int] = set()
    try:
        for photo, cosine in embedded_again(library):
            yield step("embedding a sample again", 0, None, photo.path)
            if cosine < SAME:
                wrong.add(photo.content_id or 0)
    except (RegconvError, LibraryError) as error:
        done.append(f"could not compare vectors with the network's: {error}")
    places = library.catalog.places_of(wrong, library.space_id)
    present = library.catalog.matching(Filter())  # only they can be made again
    for shard_id in sorted({shard for shard, _ in places.values()}):
        contents = np.intersect1d(library.catalog.vector_digests(shard_id)[1], present).tolist()
        library.catalog.drop_vectors(contents, library.space_id)
        done.append(f"gave up {len(contents)} vectors made with some that the network does not give{INDEX_AGAIN}")


def _left_over(library: Library, done: list[str]) -> Iterator[Progress]:
    """Remove files in shards/ that belong to nothing."""
    yield step("removing what is left over", 0, 1)
    for path in library.shards.orphans(library.catalog.shard_files()):
        path.unlink()
        done.append(f"removed {path.name}, which belonged to nothing")


def _index(library: Library, done: list[str]) -> Iterator[Progress]:
    """Build the index anew."""
    yield step("building the index", 0, 1)
    library.indexes.drop()
    library.index(library.space.pooled)
    library.indexes.save()
    done.append("built the index anew from the shards")


def _thumbnails(library: Library, done: list[str]) -> Iterator[Progress]:
    """Make thumbnails where there are none."""
    yield step("making thumbnails", 0, None)
    made = missed = 0
    for photo in library.catalog.stamps():
        if photo.digest and not library.thumbnails.has(photo.digest):
            made_it = _make_thumbnail(library, photo)
            made, missed = made + made_it, missed + (not made_it)
            yield step("making thumbnails", made, None, photo.path)
    if made:
        done.append(f"made {made} thumbnails")
    if missed:
        done.append(f"could not make {missed} thumbnails: their photos are not there, or have changed since `index`")


def _make_thumbnail(library: Library, photo: StampRow) -> bool:
    try:
        decoded = library.decoder.picture(photo.path)
    except UnreadableImage:
        return False
    library.thumbnails.write(decoded.digest, decoded.thumbnail)
    return decoded.digest == photo.digest


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
