"""The whole catalogue, read piece by piece: for those who look at everything and hold little of it at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, Select, func, or_, select
from sqlalchemy.orm import aliased

from storage.database import chunks, reading
from storage.shards import ShardFile
from storage.tables import (
    GONE,
    PRESENT,
    UNREADABLE,
    Base,
    Content,
    Decision,
    DecisionContent,
    Fingerprint,
    Label,
    Mark,
    Photo,
    Relation,
    Shard,
    Space,
    Vector,
)

STREAMED = 5000  # rows in memory at a time


class StampRow(NamedTuple):
    """A present photo as a scan saw it."""

    id: int
    path: str
    size: int  # bytes
    mtime_ns: int
    content_id: int | None
    digest: str | None


class ContentRow(NamedTuple):
    """A content and what was learnt from its bytes."""

    id: int
    digest: str
    size: int
    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None


class Totals(NamedTuple):
    """How much there is, and the longest texts in characters (paths in bytes): what a file format wants to know first."""

    contents: int
    unreadable: int
    path: int
    camera: int
    format: int
    word: int


class Listing:
    """One state of the catalogue, however long the reading takes. Contents come by id; the rest by first and last id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def totals(self) -> Totals:
        """How much there is to read."""
        asked: list[Select] = [
            select(func.count(Content.id)),
            select(func.count(Photo.id)).where(Photo.state == UNREADABLE),
            select(func.max(func.length(Photo.path))),
            select(func.max(func.length(Content.camera))),
            select(func.max(func.length(Content.format))),
            select(func.max(func.length(Mark.word))),
        ]
        return Totals(*(self._connection.execute(statement).scalar() or 0 for statement in asked))

    def contents(self, after: int, limit: int) -> list[ContentRow]:
        """Up to `limit` contents with ids above `after`."""
        columns = (getattr(Content, name) for name in ContentRow._fields)
        statement = select(*columns).where(Content.id > after).order_by(Content.id).limit(limit)
        return [ContentRow(*row) for row in self._connection.execute(statement)]

    def photos(self, first: int, last: int) -> Sequence[tuple[int, str, str]]:
        """(content id, path, state) of every photo of these contents."""
        statement = select(Photo.content_id, Photo.path, Photo.state).where(Photo.content_id.between(first, last))
        return self._rows(statement.order_by(Photo.content_id, Photo.path))

    def labels(self, first: int, last: int, space_id: int) -> Sequence[tuple[int, int, float]]:
        """(content id, label index, probability), the most likely first."""
        statement = select(Label.content_id, Label.label_index, Label.score)
        statement = statement.where(Label.content_id.between(first, last), Label.space_id == space_id)
        return self._rows(statement.order_by(Label.content_id, Label.rank))

    def words(self, first: int, last: int) -> Sequence[tuple[int, str]]:
        """(content id, word that the user gave it)."""
        statement = select(Mark.content_id, Mark.word).where(Mark.content_id.between(first, last))
        return self._rows(statement.order_by(Mark.content_id, Mark.word))

    def with_vector(self, first: int, last: int, space_id: int) -> set[int]:
        """Those of these contents that have a vector in the space."""
        statement = select(Vector.content_id).where(Vector.content_id.between(first, last), Vector.space_id == space_id)
        return set(self._connection.execute(statement).scalars())

    def _rows(self, statement: Select) -> list[tuple]:
        return [tuple(row) for row in self._connection.execute(statement)]


class Listings:
    """What Catalog lists whole."""

    engine: Engine

    @contextmanager
    def listing(self) -> Iterator[Listing]:
        """A Listing. A job may write meanwhile; it is not seen."""
        with reading(self.engine) as connection:
            if self.engine.dialect.name != "sqlite":  # which reads one state in any transaction
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield Listing(connection)

    def born(self) -> str:
        """When the library was made, as ISO has it: its first space's time, which goes with it wherever it is copied."""
        with reading(self.engine) as connection:
            return connection.execute(select(Space.created_at).order_by(Space.id).limit(1)).scalar_one().isoformat()

    def all_shards(self) -> list[ShardFile]:
        """The shards of all spaces, oldest first."""
        columns = (getattr(Shard, name) for name in ShardFile.__dataclass_fields__)
        with reading(self.engine) as connection:
            return [ShardFile(*row) for row in connection.execute(select(*columns).order_by(Shard.id))]

    def stamps(self, photos: Collection[int] | None = None) -> Iterator[StampRow]:
        """Every present photo, or those of these ids that are present, streamed."""
        columns = (Photo.id, Photo.path, Photo.size, Photo.mtime_ns, Photo.content_id, Content.digest)
        statement = select(*columns).outerjoin(Content, Content.id == Photo.content_id)
        statement = statement.where(Photo.state + "" == PRESENT)  # no walk along the states' index: see queries.py
        with reading(self.engine) as connection:
            streamed = connection.execution_options(yield_per=STREAMED)
            if photos is None:
                yield from (StampRow(*row) for row in streamed.execute(statement))
                return
            for chunk in chunks(photos):
                yield from (StampRow(*row) for row in connection.execute(statement.where(Photo.id.in_(chunk))))

    def contradictions(self, whole: bool) -> dict[str, int]:
        """What the catalogue says that can't be, in words, and how many rows say so. Labels, of which there are most: `whole`."""
        no_content = Content.id.is_(None)
        first = aliased(Content)
        questions = {
            "photos of no known state": _count(Photo).where(Photo.state.not_in((PRESENT, UNREADABLE, GONE))),
            "present photos without content": _count(Photo).where(Photo.state == PRESENT, Photo.content_id.is_(None)),
            "photos of a content that is not there": _count(Photo)
            .outerjoin(Content, Content.id == Photo.content_id)
            .where(Photo.content_id.is_not(None), no_content),
            "vectors of a content that is not there": _count(Vector).outerjoin(Content).where(no_content),
            "vectors in a shard that is not known": _count(Vector).outerjoin(Shard).where(Shard.id.is_(None)),
            "vectors beyond the end of their shard": _count(Vector)
            .join(Shard)
            .where(or_(Vector.row < 0, Vector.row >= Shard.rows)),
            "words of a content that is not there": _count(Mark).outerjoin(Content).where(no_content),
            "fingerprints of a content that is not there": _count(Fingerprint).outerjoin(Content).where(no_content),
            "relations of a content that is not there": _count(Relation)
            .outerjoin(first, first.id == Relation.content_id)
            .outerjoin(Content, Content.id == Relation.other_id)
            .where(or_(no_content, first.id.is_(None))),
            "decisions about a content that is not there": _count(DecisionContent).outerjoin(Content).where(no_content),
            "decisions about nothing": _count(Decision)
            .outerjoin(DecisionContent)
            .where(DecisionContent.content_id.is_(None)),
        }
        if whole:
            questions["labels of a content that is not there"] = _count(Label).outerjoin(Content).where(no_content)
        with reading(self.engine) as connection:
            counted = {words: connection.execute(asked).scalar_one() for words, asked in questions.items()}
        return {words: count for words, count in counted.items() if count}

    def vector_digests(self, shard_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows int64 (n,), content ids int64 (n,), the contents' digests uint8 (n, 32)) of a shard's vectors."""
        statement = select(Vector.row, Vector.content_id, Content.digest).join(Content)
        with reading(self.engine) as connection:
            found = connection.execute(statement.where(Vector.shard_id == shard_id).order_by(Vector.row)).all()
        digests = np.frombuffer(bytes.fromhex("".join(row[2] for row in found)), np.uint8).reshape(-1, 32)
        return _column(found, 0), _column(found, 1), digests


def _count(table: type[Base]) -> Select:
    return select(func.count()).select_from(table)


def _column(rows: Sequence[Sequence], number: int) -> np.ndarray:
    return np.fromiter((row[number] for row in rows), np.int64, len(rows))
