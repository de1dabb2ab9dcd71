"""What duplicates are found by: a fingerprint for each content, and the facts of its photos that are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Engine, and_, delete, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from storage import queries
from storage.database import chunks, reading, writing
from storage.tables import PRESENT, Content, Fingerprint, Photo, Relation

STREAMED = 5000  # rows in memory at a time
ROW = np.dtype(
    [
        ("content", "<i8"),
        ("hash", "<u8"),
        ("contrast", "<f4"),
        ("sharpness", "<f4"),
        ("colour", "<f4"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("compared", "?"),
        ("compared_in", "<i8"),  # 0 in none
    ]
)


class FingerprintRow(NamedTuple):
    """What index/fingerprint.py made of a content's thumbnail."""

    content_id: int
    hash: bytes  # 8 bytes
    contrast: float
    sharpness: float
    colour: float


class Copy(NamedTuple):
    """A present photo with what is known of its content."""

    photo_id: int
    path: str
    mtime_ns: int
    content_id: int
    digest: str
    bytes: int
    width: int  # pixels, upright
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    sharpness: float | None
    colour: float | None
    detail_px: int | None


class Fingerprints:
    """What Catalog keeps for the search for duplicates."""

    engine: Engine

    def fingerprint_count(self, version: int) -> tuple[int, int]:
        """(contents that have a present photo, those of them that have a fingerprint of this version)."""
        whole = select(func.count(Content.id), func.count(Fingerprint.content_id)).outerjoin(Fingerprint, _is(version))
        with reading(self.engine) as connection:
            row = connection.execute(whole.where(has_present_photo(Content.id))).one()
            return row[0], row[1]

    def without_fingerprint(self, version: int, after: int, limit: int) -> list[tuple[int, str]]:
        """Up to `limit` (id, digest) of contents above the id `after`: with a present photo, without such a fingerprint."""
        statement = select(Content.id, Content.digest).outerjoin(Fingerprint, _is(version))
        statement = statement.where(Content.id > after, Fingerprint.content_id.is_(None), has_present_photo(Content.id))
        with reading(self.engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(statement.order_by(Content.id).limit(limit))]

    def store_fingerprints(self, rows: Iterable[FingerprintRow], version: int) -> None:
        """Keep fingerprints, in one transaction, in place of those of another version and of what was found by them."""
        new = {"version": version, "detail_px": None, "compared": False, "compared_in": None}
        values = [row._asdict() | new for row in rows]
        change = ["hash", "contrast", "sharpness", "colour", *new]
        if values:
            with writing(self.engine) as connection:
                connection.execute(queries.upsert(connection.dialect, Fingerprint, ["content_id"], change), values)
                for some in chunks(row["content_id"] for row in values):
                    connection.execute(delete(Relation).where(touches(some)))

    def fingerprints(self, version: int) -> np.ndarray:
        """The fingerprints of this version whose contents have a present photo: ROW (n,), by content id."""
        columns: tuple[InstrumentedAttribute, ...] = (Fingerprint.content_id, Fingerprint.hash, Fingerprint.contrast)
        columns += (Fingerprint.sharpness,)
        columns += (Fingerprint.colour, Content.width, Content.height, Fingerprint.compared)
        space = func.coalesce(Fingerprint.compared_in, 0)
        statement = select(*columns, space).join(Content, Content.id == Fingerprint.content_id)
        statement = statement.where(Fingerprint.version == version, has_present_photo(Content.id)).order_by(
            Fingerprint.content_id
        )
        pieces = [np.empty(0, ROW)]
        with reading(self.engine) as connection:
            rows = connection.execution_options(yield_per=STREAMED).execute(statement)
            for some in rows.partitions():
                pieces.append(
                    np.array([(row[0], int.from_bytes(row[1], "little"), *row[2:]) for row in some], dtype=ROW)
                )
        return np.concatenate(pieces)

    def note_detail(self, content_id: int, detail_px: int) -> None:
        """Keep how many pixels along the long side the original's detail would need."""
        with writing(self.engine) as connection:
            connection.execute(
                update(Fingerprint).where(Fingerprint.content_id == content_id).values(detail_px=detail_px)
            )

    def copies(self, contents: Collection[int]) -> dict[int, list[Copy]]:
        """The present photos of these contents by content id: the older first, then the shorter path."""
        found: dict[int, list[Copy]] = {}
        statement = select(
            Photo.id,
            Photo.path,
            Photo.mtime_ns,
            Content.id,
            Content.digest,
            Content.size,
            Content.width,
            Content.height,
            Content.format,
            Content.taken_at,
            Content.camera,
            Fingerprint.sharpness,
            Fingerprint.colour,
            Fingerprint.detail_px,
        ).join(Content, Content.id == Photo.content_id)
        statement = statement.outerjoin(Fingerprint, Fingerprint.content_id == Content.id)
        with reading(self.engine) as connection:
            for some in chunks(contents):
                # On the bare column SQLite would walk the index of states: see queries.py.
                asked = statement.where(Photo.content_id.in_(some), Photo.state + "" == PRESENT)
                for row in connection.execute(asked):
                    copy = Copy._make(row)
                    found.setdefault(copy.content_id, []).append(copy)
        for copies in found.values():
            copies.sort(key=lambda copy: (copy.mtime_ns, len(copy.path), copy.path))
        return found

    def copied_contents(self) -> list[int]:
        """The contents that have more than one present photo, ascending."""
        statement = select(Photo.content_id).where(Photo.state + "" == PRESENT, Photo.content_id.is_not(None))
        statement = statement.group_by(Photo.content_id).having(func.count() > 1).order_by(Photo.content_id)
        with reading(self.engine) as connection:
            return [content for content in connection.execute(statement).scalars() if content is not None]

    def by_time(self) -> Iterator[tuple[int, str, datetime]]:
        """(content id, camera, when it was taken) of contents with a present photo, camera by camera in time, streamed."""
        statement = select(Content.id, Content.camera, Content.taken_at)
        statement = statement.where(
            Content.camera.is_not(None), Content.taken_at.is_not(None), has_present_photo(Content.id)
        )
        statement = statement.order_by(Content.camera, Content.taken_at, Content.id)
        with reading(self.engine) as connection:
            for row in connection.execution_options(yield_per=STREAMED).execute(statement):
                content, camera, taken_at = row
                assert camera is not None
                assert taken_at is not None
                yield content, camera, taken_at


def _is(version: int) -> ColumnElement[bool]:
    return and_(Fingerprint.content_id == Content.id, Fingerprint.version == version)


def touches(contents: Collection[int]) -> ColumnElement[bool]:
    """The condition that a relation is one of these contents."""
    return or_(Relation.content_id.in_(contents), Relation.other_id.in_(contents))


def has_present_photo(content: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """The condition that a content has a present photo."""
    return select(Photo.id).where(Photo.content_id == content, Photo.state + "" == PRESENT).exists()
