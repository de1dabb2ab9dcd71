"""Photos that are in the library more than once: found from hashes, vectors and dates, and checked on their thumbnails.

Four kinds, a level each: photos of the same bytes; contents of the same pixels; edits; bursts. Each level looks at the photos
that the one below would keep, so that nobody is asked about a photo twice. Nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress

from index.duplicate_compare import thumbnail
from index.duplicate_search import Search
from index.fingerprint import VERSION, fingerprint
from index.library import Library
from index.progress import DONE, Progress, step
from storage.errors import ReadOnly
from storage.fingerprints import FingerprintRow

BATCH = 256  # fingerprints a transaction
READING, COMPARING = "reading thumbnails", "comparing"


def find_duplicates(library: Library) -> Generator[Progress, None, None]:
    """Look for duplicates; the last Progress has {"groups": list[Group], "contents", "compared", "without_thumbnail"}.

    It can be closed at any time: what was found out is kept, and the next search compares only what is new since. Decisions
    that contents are no duplicates of each other are respected; groups that were decided to be kept are found too
    (duplicate_groups.undecided leaves them out). Where nothing can be kept, all is done anew and held in memory.
    """
    made = yield from fingerprints(library)
    with closing(Search(library, made)) as search:
        for done, total in search.links():
            yield step(COMPARING, done, total)
        groups = search.groups()
        whole = library.catalog.fingerprint_count(VERSION)[0]
        report = {"groups": groups, "contents": whole, "compared": search.compared}
    yield step(DONE, 1, 1, report=report | {"without_thumbnail": whole - len(search.rows)})


def fingerprints(library: Library) -> Generator[Progress, None, list[FingerprintRow]]:
    """Make the fingerprints that are missing, from the thumbnails; those that could not be kept.

    A content without a whole thumbnail is left out.
    """
    catalog = library.catalog
    total, done = catalog.fingerprint_count(VERSION)
    after = 0
    unkept: list[FingerprintRow] = []
    while missing := catalog.without_fingerprint(VERSION, after, BATCH):
        yield step(READING, done, total)
        rows = []
        for content, digest in missing:
            if (picture := thumbnail(library.thumbnails, digest)) is not None:
                found = fingerprint(picture)
                code = found.hash.to_bytes(8, "little")
                rows.append(FingerprintRow(content, code, found.contrast, found.sharpness, found.colour))
        unkept += rows
        with suppress(ReadOnly):
            catalog.store_fingerprints(rows, VERSION)
            unkept.clear()
        after = missing[-1][0]
        done += len(missing)
    return unkept
