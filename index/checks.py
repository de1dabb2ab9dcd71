"""The doctor's questions. Each gets a library, and whether to look at all of it; it answers (ok, detail).

Files that moved or changed since the last index run are no illness: they are counted, and `index` sees to them. What is not ok
is the library contradicting itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from index.compare import SAME, embedded_again, some
from index.errors import LibraryError
from index.library import Library
from index.mend import INDEX_AGAIN, shifted_rows
from regconv.errors import RegconvError
from storage.errors import ShardError
from storage.listings import StampRow
from storage.shards import checksum_of
from storage.tables import PRESENT

Asks = Callable[[Library, bool], tuple[bool, str]]

# What is looked at without --whole: some seconds of it, in a library of any size.
PHOTOS = 10_000
READ, READ_OF_WHOLE = 20, 1000  # photos whose bytes are read
SHARD_BYTES = 1 << 30
VECTORS = 100_000
QUERIES = 100  # stored vectors that ask the index for themselves
NEAREST = 10  # among which each must be
SAMPLED = " (a sample; --whole looks at all)"


def database(library: Library, whole: bool) -> tuple[bool, str]:
    """The database's own check of its file."""
    damage = library.catalog.damage()
    return damage is None, damage or "the database finds nothing wrong with itself"


def counts(library: Library, whole: bool) -> tuple[bool, str]:
    """Every present photo has a vector."""
    counted = library.catalog.counts(library.space_id)
    ok = counted["embedded"] == counted[PRESENT]
    return ok, f"{counted[PRESENT]} photos are present, {counted['embedded']} of them have vectors" + (
        "" if ok else INDEX_AGAIN
    )


def catalogue(library: Library, whole: bool) -> tuple[bool, str]:
    """The catalogue contradicts itself nowhere: what a row points to is there."""
    found = library.catalog.contradictions(whole)
    if not found:
        return True, "every row of the catalogue points to something that is there"
    told = ", ".join(f"{count} {what}" for what, count in found.items())
    return False, f"{told}; --mend gives up the vectors among them, `index` looks at the photos again, words stay"


def files(library: Library, whole: bool) -> tuple[bool, str]:
    """Photos are where the catalogue says, unchanged. Only an index run may judge what is gone: that is ok.

    What is not: other bytes under the same size and time, which no index run looks at.
    """
    looked = missing = changed = 0
    for photo in _photos(library, whole):
        looked += 1
        is_there, is_same = _stamped(photo)
        missing += not is_there
        changed += is_there and not is_same
    rotten = [photo.path for photo in some(library, READ_OF_WHOLE if whole else READ) if _is_rotten(photo)]
    if rotten:
        return False, (
            f"{len(rotten)} photos have other bytes than when they were indexed, under the same size and time, such as "
            f"{rotten[0]}: is the disk failing? If the change was meant, touch them and run `index`"
        )
    sampled = _sampled(library, looked)
    if not missing and not changed:
        return True, f"{looked} photos are where they were, unchanged{sampled}"
    return True, (
        f"of {looked} photos {missing} are not where they were and {changed} have changed{sampled}; `index` on their folders "
        "brings the catalogue up to date, once their disk is there"
    )


def _stamped(photo: StampRow) -> tuple[bool, bool]:
    """Whether a photo's file is there, and whether it has the size and time that the catalogue has."""
    try:
        found = os.stat(photo.path)
    except (OSError, ValueError):
        return False, False
    return True, (found.st_size, found.st_mtime_ns) == (photo.size, photo.mtime_ns)


def _is_rotten(photo: StampRow) -> bool:
    try:
        return _stamped(photo)[1] and checksum_of(Path(photo.path)) != photo.digest and _stamped(photo)[1]
    except OSError:
        return False  # gone, or not readable: the index run says so


def shards(library: Library, whole: bool) -> tuple[bool, str]:
    """Every shard is there with its size and header; so many bytes of them, or all, are what was once written."""
    wrong, read = [], 0
    held = list(library.catalog.shards(library.space_id).values())
    np.random.default_rng().shuffle(held)
    verified = 0
    for shard in held:
        try:
            library.shards.open(shard, library.space.dtype)
        except ShardError as error:
            wrong.append(str(error))
            continue
        if whole or read < SHARD_BYTES:
            read += shard.bytes
            verified += 1
            wrong += filter(None, [library.shards.verify(shard)])
    rest = f", {len(held) - verified} more have their size{SAMPLED}" if verified < len(held) else ""
    if wrong:
        return False, "; ".join(wrong) + "; --mend gives their vectors up, the next index run makes them again"
    return True, f"{verified} vector shards are whole, byte by byte{rest}"


def rows(library: Library, whole: bool) -> tuple[bool, str]:
    """Every vector's row carries the digest of the content that points to it: nothing has shifted."""
    checked = shifted = 0
    for contents, wrong in shifted_rows(library, None if whole else VECTORS):
        checked += len(contents)
        shifted += len(wrong)
    sampled = SAMPLED if checked < len(library.vectors) and not whole else ""
    return not shifted, f"{checked - shifted} of {checked} vectors carry their content's own fingerprint{sampled}" + (
        "; --mend gives the others up" if shifted else ""
    )


def left_over(library: Library, whole: bool) -> tuple[bool, str]:
    """Files in shards/ that belong to nothing cost room, no more."""
    orphans = library.shards.orphans(library.catalog.shard_files())
    if not orphans:
        return True, "no file is left over"
    return True, (
        f"{len(orphans)} files in shards/ belong to nothing (an interrupted run leaves them); the next index run, or --mend, "
        "removes them"
    )


def places(library: Library, whole: bool) -> tuple[bool, str]:
    """What a search takes for the places of the vectors, from the cache, is what the catalogue says."""
    library.vectors.refresh()
    with tempfile.TemporaryDirectory() as folder:
        library.vectors.save(Path(folder) / "places")
        saved = np.load(Path(folder) / "places", allow_pickle=False)
    contents, shard_ids, in_rows = (np.ascontiguousarray(saved[name]) for name in ("content", "shard", "row"))
    known = right = 0
    newest = library.vectors.last_shard  # what a job stores from now on is not looked for yet
    for shard_id, its_rows, its_contents in library.catalog.vector_places(library.space_id, 0, newest):
        known += len(its_contents)
        at = np.minimum(np.searchsorted(contents, its_contents), max(len(contents) - 1, 0))
        if len(contents):
            right += int(
                ((contents[at] == its_contents) & (shard_ids[at] == shard_id) & (in_rows[at] == its_rows)).sum()
            )
    ok = right == known == len(contents)
    return ok, f"{right} of {known} vectors are looked for where they lie" + (
        "" if ok else f", {len(contents)} are known; --mend reads their places anew"
    )


def index(library: Library, whole: bool) -> tuple[bool, str]:
    """The index holds the catalogue's contents, each once, and asked for a vector it finds the content it belongs to."""
    part = library.space.pooled
    held = library.index(part)
    known = library.vectors.sample(len(library.vectors))
    ids = np.sort(held.ids())
    asked = ids[:: max(1, len(ids) // QUERIES)][:QUERIES]
    own, stored = library.vectors.of(asked, part)
    own &= stored.any(axis=1)
    scores, found = held.search(held.compared(stored[own]), NEAREST)
    itself = ((found == asked[own][:, None]) & (scores > 1 - 1e-3)).any(axis=1)
    crowded = scores[:, -1] > 1 - 1e-3  # as many others are the same: any of them is right
    lost = int((~itself & ~crowded).sum())
    return (
        np.array_equal(ids, known) and not lost,
        f"the index holds {len(np.intersect1d(ids, known))} of {len(known)} vectors, {len(np.setdiff1d(ids, known))} that are "
        f"no longer known, {len(ids) - len(np.unique(ids))} twice; {own.sum() - lost} of {own.sum()} asked find themselves",
    )


def cache(library: Library, whole: bool) -> tuple[bool, str]:
    """Saved indexes are, byte by byte, what was saved."""
    damaged = library.indexes.damaged()
    return not damaged, (
        f"saved indexes whose bytes have changed, not used and built anew: {', '.join(damaged)}"
        if damaged
        else "no saved index is damaged"
    )


def thumbnails(library: Library, whole: bool) -> tuple[bool, str]:
    """Every present photo has its thumbnail."""
    looked = missing = 0
    for photo in _photos(library, whole):
        looked += 1
        missing += photo.digest is not None and not library.thumbnails.has(photo.digest)
    sampled = _sampled(library, looked)
    if missing:
        return (
            False,
            f"{missing} of {looked} photos have no whole thumbnail{sampled}; --mend makes them, where the photo is there",
        )
    return True, f"every photo has its thumbnail{sampled}"


def vectors(library: Library, whole: bool) -> tuple[bool, str]:
    """A sample, decoded and embedded again, agrees with what is stored."""
    try:
        compared = list(embedded_again(library, whole))
    except (RegconvError, LibraryError) as error:
        return False, f"could not be compared: {error}"
    if not compared:
        return True, "no photo was there, unchanged, to be embedded again"
    worst, cosine = min(compared, key=lambda pair: pair[1])
    wrong = sum(one < SAME for _, one in compared)
    if wrong:
        return False, (
            f"{wrong} of {len(compared)} photos embedded again differ from their stored vectors (lowest cosine {cosine:.6f}, "
            f"{worst.path}); --mend gives up the vectors that were made with them"
        )
    return True, f"{len(compared)} photos embedded again agree with their stored vectors (lowest cosine {cosine:.6f})"


# samples


def _photos(library: Library, whole: bool) -> Iterator[StampRow]:
    """The present photos, all or about PHOTOS of them, streamed."""
    newest = library.catalog.newest_photo()
    if whole or newest <= PHOTOS:
        return library.catalog.stamps()
    return library.catalog.stamps(np.unique(np.random.default_rng().integers(1, newest + 1, PHOTOS)).tolist())


def _sampled(library: Library, looked: int) -> str:
    return SAMPLED if looked < library.catalog.counts(None)[PRESENT] else ""
