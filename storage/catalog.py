"""Catalog: what exists. The only place that opens a database session; its verbs are the domain's."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import URL, Row, func, select, update
from sqlalchemy.engine import make_url

from storage import jobs, marks, queries, read_only, storing
from storage.database import chunks, now, open_engine, reading, writing
from storage.decisions import Decisions
from storage.errors import CatalogError
from storage.facets import Facets
from storage.fingerprints import Fingerprints
from storage.job_rows import JobRows
from storage.listings import Listings
from storage.named import NamedRows
from storage.records import Batch, FileStamp, Filter, PhotoRecord, ProbeRecord, Seen
from storage.relations import Relations
from storage.spaces import Spaces
from storage.tables import GONE, PRESENT, UNREADABLE, Photo, Setting, Space, Vector
from storage.vector_rows import VectorRows

# By catalogue, the jobs of this process whose end is not written yet: (state, report) by id.
_ENDED: dict[tuple, dict[int, tuple[str, dict[str, Any] | None]]] = {}


class Catalog(VectorRows, NamedRows, Facets, Listings, Spaces, Decisions, Fingerprints, Relations, JobRows):
    """The catalogue of one library, at an SQLAlchemy URL. Safe to use from several threads and processes."""

    def __init__(self, url: str | URL) -> None:
        self.engine = open_engine(url)
        # The process lives on, so whoever opens this catalogue anew in it would take such a job for a running one.
        place = make_url(url)  # whose text and hash need a path in UTF-8
        self._ended = _ENDED.setdefault((place.drivername, place.host, place.port, place.database), {})

    def close(self) -> None:
        """Give the database's connections back."""
        self.engine.dispose()

    # the database, settings and spaces

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be changed, since the folder can't be written to."""
        return read_only.OPTION in self.engine.get_execution_options()

    def damage(self) -> str | None:
        """What the database finds wrong with its own file, None if nothing. Servers look after their own."""
        if self.engine.dialect.name != "sqlite":
            return None
        try:
            with reading(self.engine) as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        except CatalogError as error:
            return str(error)
        return None if found == ["ok"] else "; ".join(found)

    def setting(self, key: str) -> str | None:
        """A value that the library was told once."""
        with reading(self.engine) as connection:
            return connection.execute(select(Setting.value).where(Setting.key == key)).scalar()

    def remember(self, key: str, value: str) -> None:
        """Remember a value."""
        with self._writing() as connection:
            statement = queries.upsert(self.engine.dialect, Setting, ["key"], ["value"])
            connection.execute(statement, {"key": key, "value": value})

    def space_id(self, key: str, model: str, facts: Mapping[str, Any]) -> int:
        """The id of the space with this key, new or known."""
        with self._writing() as connection:
            row = {"key": key, "model": model, "facts": dict(facts), "created_at": now()}
            connection.execute(queries.upsert(self.engine.dialect, Space, ["key"]), row)
            return connection.execute(select(Space.id).where(Space.key == key)).scalar_one()

    def space(self, space_id: int) -> tuple[str, str, dict[str, Any]]:
        """(key, model, facts) of a space."""
        with reading(self.engine) as connection:
            row = connection.execute(select(Space.key, Space.model, Space.facts).where(Space.id == space_id)).one()
            return row[0], row[1], row[2]

    # what a scan asks

    def changed(self, stamps: Sequence[FileStamp], space_id: int) -> list[Seen]:
        """What is known of each of these files, in their order."""
        known: dict[str, Row] = {}
        with reading(self.engine) as connection:
            for chunk in chunks([stamp.path for stamp in stamps]):
                known.update((row[0], row) for row in connection.execute(queries.photos_at(chunk, space_id)))
        return [_seen(stamp, known.get(stamp.path)) for stamp in stamps]

    def embedded_digests(self, sizes: Collection[int], space_id: int) -> dict[int, frozenset[str]]:
        """For each byte size, the digests of embedded contents of that size: what a file of it may be a copy of."""
        found: dict[int, set[str]] = {}
        with reading(self.engine) as connection:
            for chunk in chunks(sizes):
                for size, digest in connection.execute(queries.embedded_of_sizes(chunk, space_id)):
                    found.setdefault(size, set()).add(digest)
        return {size: frozenset(digests) for size, digests in found.items()}

    def embedded(self, digests: Collection[str], space_id: int) -> set[str]:
        """Those of the digests whose contents have a vector in the space."""
        with reading(self.engine) as connection:
            rows = (connection.execute(queries.embedded_of_digests(chunk, space_id)) for chunk in chunks(digests))
            return {row[0] for row in itertools.chain.from_iterable(rows)}

    # what a job writes

    def store(self, batch: Batch, space_id: int, job_id: int | None = None) -> None:
        """One transaction: the shard's row, its contents with vectors and labels, the photos, the failures.

        The shard's file must be on the disk already. Raises LeaseLost where the job no longer holds the lease.
        """
        with self._writing() as connection:
            jobs.must_hold(connection, job_id)
            storing.store(connection, batch, space_id)

    def mark_gone(
        self,
        folders: Iterable[str],
        spared: Collection[str],
        seen: Container[int],
        newest: int,
        job_id: int | None = None,
    ) -> int:
        """How many photos below the folders are now gone: those up to the id `newest` that were not seen.

        What lies below a spared folder (one that could not be listed) stays as it was. Raises LeaseLost as `store`.
        """
        kept = tuple(os.path.join(folder, "") for folder in spared)
        with reading(self.engine) as connection:
            # Nearly all were seen: their paths are not asked for.
            known = (connection.execute(queries.not_gone(folder, newest)).scalars().all() for folder in folders)
            missing = [photo_id for photo_id in itertools.chain.from_iterable(known) if photo_id not in seen]
            if kept:
                rows = (connection.execute(queries.paths_of(chunk)) for chunk in chunks(missing))
                missing = [row.id for row in itertools.chain.from_iterable(rows) if not row.path.startswith(kept)]
        with self._writing() as connection:
            jobs.must_hold(connection, job_id)
            for chunk in chunks(missing):
                connection.execute(update(Photo).where(Photo.id.in_(chunk)).values(state=GONE))
        return len(missing)

    def mark_moved(self, folder: str, job_id: int | None = None) -> int:
        """How many photos below a folder that is not there are now gone: those whose content is present elsewhere."""
        with self._writing() as connection:
            jobs.must_hold(connection, job_id)
            return connection.execute(queries.moved_away(folder).values(state=GONE)).rowcount

    def newest_photo(self) -> int:
        """The largest photo id given so far."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.max(Photo.id))).scalar() or 0

    # what a search and a page ask

    def photos(self, contents: Collection[int], where: Filter, space_id: int) -> dict[int, list[PhotoRecord]]:
        """The present photos of these contents that the filter lets through and that have a vector, by content id."""
        found: dict[int, list[PhotoRecord]] = {}
        statement = queries.present_among(where, space_id) if where else queries.present_unfiltered(space_id)
        with reading(self.engine) as connection:
            for chunk in chunks(contents):
                for row in connection.execute(statement, {"contents": chunk}):
                    record = PhotoRecord(*row)
                    assert record.content_id is not None
                    found.setdefault(record.content_id, []).append(record)
        return found

    def matching(self, where: Filter) -> np.ndarray:
        """The content ids, int64 (n,) ascending, of present photos within the filter."""
        statement = queries.present_photos(where).with_only_columns(Photo.content_id).distinct()
        statement = statement.where(Photo.content_id.is_not(None))  # of a damaged catalogue
        with reading(self.engine) as connection:
            return np.unique(np.array(connection.execute(statement).scalars().all(), dtype=np.int64))

    def contents_of(self, photo_ids: Collection[int]) -> np.ndarray:
        """The content ids, int64 (n,) ascending, of these photos."""
        found: list[int | None] = []
        with reading(self.engine) as connection:
            for chunk in chunks(photo_ids):
                statement = select(Photo.content_id).where(Photo.id.in_(chunk), Photo.content_id.is_not(None))
                found += connection.execute(statement).scalars()
        return np.unique(np.array(found, np.int64))

    def photo(self, photo_id: int) -> PhotoRecord | None:
        """One photo, in whatever state."""
        if not 0 < photo_id < 2**63:  # no database holds more
            return None
        with reading(self.engine) as connection:
            row = connection.execute(queries.photos().where(Photo.id == photo_id)).first()
            return None if row is None else PhotoRecord(*row)

    def photos_in(self, state: str, limit: int, after: int = 0) -> list[PhotoRecord]:
        """Up to `limit` photos of a state, by id, from the id `after` on (not including it)."""
        statement = queries.photos().where(Photo.state == state, Photo.id > after).order_by(Photo.id).limit(limit)
        with reading(self.engine) as connection:
            return [PhotoRecord(*row) for row in connection.execute(statement)]

    def counts(self, space_id: int | None) -> dict[str, int]:
        """Photos by state, and how many present photos have a vector in the space."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(Photo.state, func.count()).group_by(Photo.state))
            by_state = {PRESENT: 0, UNREADABLE: 0, GONE: 0} | {row[0]: row[1] for row in rows}
            embedded = select(func.count()).select_from(Photo).join(Vector, Vector.content_id == Photo.content_id)
            embedded = embedded.where(Photo.state == PRESENT, Vector.space_id == space_id)
            return by_state | {"embedded": connection.execute(embedded).scalar_one()}

    # what the user taught

    def mark(self, contents: Mapping[str, Collection[int]]) -> None:
        """Give contents these words. A content among them loses those of these words that it is not given here."""
        with self._writing() as connection:
            marks.replace(connection, self.engine.dialect, contents)

    def unmark(self, words: Collection[str] | None = None) -> None:
        """Take words back from all contents, or every word; what was learnt from them goes in the same transaction."""
        with self._writing() as connection:
            marks.remove(connection, words)

    def words(self) -> dict[str, int]:
        """The words given, in order, with how many contents have each."""
        with reading(self.engine) as connection:
            return marks.counted(connection)

    def marked(self, space_id: int) -> dict[str, list[int]]:
        """The contents, ascending, that have a word and a vector in the space, by word."""
        with reading(self.engine) as connection:
            return marks.with_vectors(connection, space_id)

    def save_probe(self, space_id: int, record: ProbeRecord) -> None:
        """Make this what the space learnt, in place of what it had."""
        with self._writing() as connection:
            marks.save_probe(connection, space_id, record, now())

    def drop_probe(self, space_id: int) -> None:
        """Forget what the space learnt."""
        with self._writing() as connection:
            marks.drop_probe(connection, space_id)

    def probe(self, space_id: int) -> ProbeRecord | None:
        """What the space learnt, None where nothing is."""
        with reading(self.engine) as connection:
            return marks.probe(connection, space_id)

    # jobs

    def start_job(self, kind: str, folders: Sequence[str]) -> int:
        """Take the library's lease. Raises JobRunning where another live job holds it."""
        if self._ended:
            self._write_ends()
        with self._writing() as connection:
            return jobs.claim(connection, kind, folders)

    def beat(self, job_id: int, progress: dict[str, Any]) -> bool:
        """Renew the lease and show the progress; whether the job has been asked to stop."""
        with self._writing() as connection:
            return jobs.beat(connection, job_id, progress)

    def finish_job(self, job_id: int, state: str, report: dict[str, Any] | None = None) -> None:
        """Give the lease back. If the disk is too full to say so, the next start_job here does."""
        self._ended[job_id] = (state, report)
        self._write_ends()

    # inside

    def _writing(self) -> Any:
        return writing(self.engine)

    def _write_ends(self) -> None:
        ended = dict(self._ended)
        with self._writing() as connection:
            for job_id, (state, report) in ended.items():
                jobs.finish(connection, job_id, state, report)
        for job_id in ended:
            self._ended.pop(job_id, None)


def _seen(stamp: FileStamp, row: Row | None) -> Seen:
    if row is None:
        return Seen(stamp, None, None, unchanged=False, failed=None)
    _, photo_id, size, mtime_ns, state, reason, digest, embedded = row
    same = (size, mtime_ns) == (stamp.size, stamp.mtime_ns)
    unchanged = same and state == PRESENT and embedded is not None
    failed = reason if same and state == UNREADABLE else None
    return Seen(stamp, photo_id, digest if state == PRESENT else None, unchanged, failed)
