"""Catalog: what exists. The only place that opens a database session; its verbs are the domain's."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import URL, Connection, Row, delete, func, insert, select, update

from storage import jobs, marks, queries
from storage.database import open_engine, reading, writing
from storage.errors import CatalogError
from storage.records import Batch, FileStamp, Filter, GenerationRecord, JobRecord, PhotoRecord, ProbeRecord, Seen
from storage.shards import ShardFile
from storage.tables import GONE, PRESENT, UNREADABLE, Content, Generation, Label, Photo, Setting, Shard, Space, Vector

T = TypeVar("T")
CHUNK = 500  # values in one IN (...): far below every database's limit


class Catalog:
    """The catalogue of one library, at an SQLAlchemy URL. Safe to use from several threads and processes."""

    def __init__(self, url: str | URL) -> None:
        self.engine = open_engine(url)
        self._ended: dict[int, tuple[str, dict[str, Any] | None]] = {}  # jobs whose end is not written yet

    def close(self) -> None:
        """Give the database's connections back."""
        self.engine.dispose()

    # settings and spaces

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
            row = {"key": key, "model": model, "facts": dict(facts), "created_at": _now()}
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
            for chunk in _chunks([stamp.path for stamp in stamps]):
                known.update((row[0], row) for row in connection.execute(queries.photos_at(chunk, space_id)))
        return [_seen(stamp, known.get(stamp.path)) for stamp in stamps]

    def embedded_digests(self, sizes: Collection[int], space_id: int) -> dict[int, frozenset[str]]:
        """For each byte size, the digests of embedded contents of that size: what a file of it may be a copy of."""
        found: dict[int, set[str]] = {}
        with reading(self.engine) as connection:
            for chunk in _chunks(sizes):
                for size, digest in connection.execute(queries.embedded_of_sizes(chunk, space_id)):
                    found.setdefault(size, set()).add(digest)
        return {size: frozenset(digests) for size, digests in found.items()}

    def embedded(self, digests: Collection[str], space_id: int) -> set[str]:
        """Those of the digests whose contents have a vector in the space."""
        with reading(self.engine) as connection:
            rows = (connection.execute(queries.embedded_of_digests(chunk, space_id)) for chunk in _chunks(digests))
            return {row[0] for row in itertools.chain.from_iterable(rows)}

    # what a job writes

    def store(self, batch: Batch, space_id: int) -> None:
        """One transaction: the shard's row, its contents with vectors and labels, the photos, the failures.

        The shard's file must be on the disk already.
        """
        with self._writing() as connection:
            if batch.shard is not None:
                self._store_contents(connection, batch, batch.shard, space_id)
            ids = _content_ids(connection, {digest for _, digest in batch.photos})
            rows = [_photo(stamp, PRESENT, ids[digest], None) for stamp, digest in batch.photos]
            rows += [_photo(stamp, UNREADABLE, None, reason) for stamp, reason in batch.failures]
            self._write_photos(connection, rows)

    def mark_gone(self, folders: Iterable[str], spared: Collection[str], seen: Container[int], newest: int) -> int:
        """How many photos below the folders are now gone: those up to the id `newest` that were not seen.

        What lies below a spared folder (one that could not be listed) stays as it was.
        """
        kept = tuple(os.path.join(folder, "") for folder in spared)
        missing = []
        with reading(self.engine) as connection:
            for folder in folders:
                rows = connection.execution_options(yield_per=1000).execute(queries.not_gone(folder, newest))
                missing += [row.id for row in rows if row.id not in seen and not row.path.startswith(kept)]
        with self._writing() as connection:
            for chunk in _chunks(missing):
                connection.execute(update(Photo).where(Photo.id.in_(chunk)).values(state=GONE))
        return len(missing)

    def newest_photo(self) -> int:
        """The largest photo id given so far."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.max(Photo.id))).scalar() or 0

    # what a search and a page ask

    def photos(self, contents: Collection[int], where: Filter, space_id: int) -> dict[int, list[PhotoRecord]]:
        """The present photos of these contents that the filter lets through, by content id."""
        found: dict[int, list[PhotoRecord]] = {}
        with reading(self.engine) as connection:
            for chunk in _chunks(contents):
                statement = (
                    queries.present_photos(where, space_id).where(Photo.content_id.in_(chunk)).order_by(Photo.path)
                )
                for row in connection.execute(statement):
                    record = PhotoRecord(*row)
                    assert record.content_id is not None
                    found.setdefault(record.content_id, []).append(record)
        return found

    def matching(self, where: Filter, space_id: int) -> np.ndarray:
        """The content ids, int64 (n,) ascending, of present photos within the filter."""
        statement = queries.present_photos(where, space_id).with_only_columns(Photo.content_id).distinct()
        with reading(self.engine) as connection:
            return np.unique(np.array(connection.execute(statement).scalars().all(), dtype=np.int64))

    def photo(self, photo_id: int) -> PhotoRecord | None:
        """One photo, in whatever state."""
        with reading(self.engine) as connection:
            row = connection.execute(queries.photos().where(Photo.id == photo_id)).first()
            return None if row is None else PhotoRecord(*row)

    def photos_in(self, state: str, limit: int, after: int = 0) -> list[PhotoRecord]:
        """Up to `limit` photos of a state, by id, from the id `after` on (not including it)."""
        statement = queries.photos().where(Photo.state == state, Photo.id > after).order_by(Photo.id).limit(limit)
        with reading(self.engine) as connection:
            return [PhotoRecord(*row) for row in connection.execute(statement)]

    def labels(self, content_id: int, space_id: int) -> list[tuple[int, float]]:
        """(label index, probability), the most likely first."""
        statement = select(Label.label_index, Label.score).where(
            Label.content_id == content_id, Label.space_id == space_id
        )
        with reading(self.engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(statement.order_by(Label.rank))]

    def counts(self, space_id: int | None) -> dict[str, int]:
        """Photos by state, and how many present photos have a vector in the space."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(Photo.state, func.count()).group_by(Photo.state))
            by_state = {PRESENT: 0, UNREADABLE: 0, GONE: 0} | {row[0]: row[1] for row in rows}
            embedded = select(func.count()).select_from(Photo).join(Vector, Vector.content_id == Photo.content_id)
            embedded = embedded.where(Photo.state == PRESENT, Vector.space_id == space_id)
            return by_state | {"embedded": connection.execute(embedded).scalar_one()}

    # vectors and their index

    def shards(self, space_id: int) -> dict[int, ShardFile]:
        """The space's shards by id, oldest first."""
        with reading(self.engine) as connection:
            return {row[0]: ShardFile(*row[1:]) for row in connection.execute(queries.shards_of(space_id))}

    def shard_files(self) -> set[str]:
        """The files of all shards of all spaces."""
        with reading(self.engine) as connection:
            return set(connection.execute(select(Shard.file)).scalars())

    def vector_places(self, space_id: int, after: int, up_to: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """For each shard after one, up to another: (shard id, rows int64 (n,), content ids int64 (n,))."""
        statement = queries.vector_places(space_id).where(Vector.shard_id > after, Vector.shard_id <= up_to)
        with reading(self.engine) as connection:
            rows = connection.execution_options(yield_per=5000).execute(statement)
            for shard_id, group in itertools.groupby(rows, key=lambda row: row[0]):
                places = np.array([(row[1], row[2]) for row in group], dtype=np.int64)
                yield shard_id, places[:, 0], places[:, 1]

    def places_of(self, contents: Collection[int], space_id: int) -> dict[int, tuple[int, int]]:
        """(shard id, row) of each of these contents that has a vector in the space."""
        found: dict[int, tuple[int, int]] = {}
        with reading(self.engine) as connection:
            for chunk in _chunks(contents):
                statement = queries.vector_places(space_id).where(Vector.content_id.in_(chunk))
                found.update((row[2], (row[0], row[1])) for row in connection.execute(statement))
        return found

    def vector_count(self, space_id: int, up_to: int) -> int:
        """How many vectors the space has in its shards up to one."""
        count = select(func.count()).select_from(Vector).where(Vector.space_id == space_id, Vector.shard_id <= up_to)
        with reading(self.engine) as connection:
            return connection.execute(count).scalar_one()

    def newest_shard(self, space_id: int) -> int:
        """The id of the space's newest shard, 0 where there is none."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.max(Shard.id)).where(Shard.space_id == space_id)).scalar() or 0

    def generation(self, space_id: int, part: str) -> GenerationRecord | None:
        """The newest saved index of a part."""
        columns = [getattr(Generation, name) for name in GenerationRecord.__dataclass_fields__]
        statement = select(*columns).where(Generation.space_id == space_id, Generation.part == part)
        with reading(self.engine) as connection:
            row = connection.execute(statement.order_by(Generation.id.desc()).limit(1)).first()
            return None if row is None else GenerationRecord(*row)

    def add_generation(self, space_id: int, record: GenerationRecord) -> None:
        """Make a saved index the newest, and only one, of its part."""
        values = {name: getattr(record, name) for name in ("part", "file", "bytes", "checksum", "count", "last_shard")}
        older = (Generation.space_id == space_id, Generation.part == record.part)
        with self._writing() as connection:
            connection.execute(delete(Generation).where(*older))
            connection.execute(insert(Generation).values(space_id=space_id, created_at=_now(), **values))

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

    def digests(self, contents: Collection[int]) -> dict[int, str]:
        """The digest of each of these contents."""
        found: dict[int, str] = {}
        with reading(self.engine) as connection:
            for chunk in _chunks(contents):
                rows = connection.execute(select(Content.id, Content.digest).where(Content.id.in_(chunk)))
                found.update((row[0], row[1]) for row in rows)
        return found

    def generation_files(self) -> set[str]:
        """The files of all saved indexes of all spaces."""
        with reading(self.engine) as connection:
            return set(connection.execute(select(Generation.file)).scalars())

    def drop_generations(self, space_id: int) -> None:
        """Forget the saved indexes of a space: they are built again when they are next asked for."""
        with self._writing() as connection:
            connection.execute(delete(Generation).where(Generation.space_id == space_id))

    def drop_shard(self, shard_id: int) -> int:
        """Forget a shard that is lost, and how many vectors went with it: the next index run makes them again."""
        with self._writing() as connection:
            lost = connection.execute(delete(Vector).where(Vector.shard_id == shard_id)).rowcount
            connection.execute(delete(Shard).where(Shard.id == shard_id))
            return lost

    def drop_vectors(self, contents: Collection[int], space_id: int) -> None:
        """Forget where the vectors of these contents lie: the next index run makes them again."""
        with self._writing() as connection:
            for chunk in _chunks(contents):
                connection.execute(delete(Vector).where(Vector.content_id.in_(chunk), Vector.space_id == space_id))

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
            marks.save_probe(connection, space_id, record, _now())

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

    def ask_to_stop(self, job_id: int) -> None:
        """The job ends at its next beat, keeping what it has done."""
        with self._writing() as connection:
            jobs.ask_to_stop(connection, job_id)

    def latest_job(self, kind: str) -> JobRecord | None:
        """The newest job of a kind, whoever runs or ran it."""
        with reading(self.engine) as connection:
            return jobs.latest(connection, kind)

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

    def _store_contents(self, connection: Connection, batch: Batch, shard: ShardFile, space_id: int) -> None:
        dialect = self.engine.dialect
        values = {"space_id": space_id, "provenance": batch.provenance, "created_at": _now()}
        key = connection.execute(insert(Shard).values(**values, **vars(shard))).inserted_primary_key
        assert key is not None
        names = ("digest", "size", "width", "height", "format", "taken_at", "camera")
        rows = [{name: getattr(content, name) for name in names} for content in batch.contents]
        connection.execute(queries.upsert(dialect, Content, ["digest"]), rows)
        ids = _content_ids(connection, {content.digest for content in batch.contents})
        vectors = [
            {"content_id": ids[content.digest], "space_id": space_id, "shard_id": key[0], "row": row}
            for row, content in enumerate(batch.contents)
        ]
        connection.execute(queries.upsert(dialect, Vector, ["content_id", "space_id"]), vectors)
        labels = [
            {
                "content_id": ids[content.digest],
                "space_id": space_id,
                "rank": rank,
                "label_index": index,
                "score": score,
            }
            for content in batch.contents
            for rank, (index, score) in enumerate(content.labels)
        ]
        if labels:
            connection.execute(queries.upsert(dialect, Label, ["content_id", "space_id", "rank"]), labels)

    def _write_photos(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        if rows:
            change = ["content_id", "size", "mtime_ns", "state", "reason"]
            connection.execute(queries.upsert(self.engine.dialect, Photo, ["path"], change), rows)


def _seen(stamp: FileStamp, row: Row | None) -> Seen:
    if row is None:
        return Seen(stamp, None, None, unchanged=False, failed=None)
    _, photo_id, size, mtime_ns, state, reason, digest, embedded = row
    same = (size, mtime_ns) == (stamp.size, stamp.mtime_ns)
    unchanged = same and state == PRESENT and embedded is not None
    failed = reason if same and state == UNREADABLE else None
    return Seen(stamp, photo_id, digest if state == PRESENT else None, unchanged, failed)


def _photo(stamp: FileStamp, state: str, content_id: int | None, reason: str | None) -> dict[str, Any]:
    return {
        "path": stamp.path,
        "content_id": content_id,
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "state": state,
        "reason": reason,
    }


def _content_ids(connection: Connection, digests: Collection[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in _chunks(digests):
        rows = connection.execute(select(Content.digest, Content.id).where(Content.digest.in_(chunk)))
        found.update((row[0], row[1]) for row in rows)
    return found


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
