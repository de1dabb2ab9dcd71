"""Statements of the catalogue: functions that return a select, an update or an upsert, and run nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    func,
    not_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, aliased

from storage.errors import CatalogError
from storage.records import Filter
from storage.tables import GONE, PRESENT, Content, Photo, Shard, Vector


def upsert(dialect: Dialect, table: type[DeclarativeBase], key: Sequence[str], change: Sequence[str] = ()) -> Insert:
    """An insert that changes `change` where the key exists, or leaves the row as it is if `change` is empty."""
    makers: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    if dialect.name not in makers:
        raise CatalogError(f"The catalogue can't live on {dialect.name}. Use SQLite or PostgreSQL.")
    statement = makers[dialect.name](table)
    if not change:
        return statement.on_conflict_do_nothing(index_elements=key)
    return statement.on_conflict_do_update(index_elements=key, set_={name: statement.excluded[name] for name in change})


def below(folder: str, photo: Any = Photo) -> ColumnElement[bool]:
    """The condition that a photo lies anywhere below a folder: one range of the path's index."""
    first = os.fsencode(folder).rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
    last = first[:-1] + bytes([first[-1] + 1])
    return and_(photo.path >= first, photo.path < last)


def photos_at(paths: Collection[str], space_id: int) -> Select:
    """(path, id, size, mtime_ns, state, reason, digest, content id of its vector in the space or None) of these paths."""
    embedded = and_(Vector.content_id == Photo.content_id, Vector.space_id == space_id)
    columns = (
        Photo.path,
        Photo.id,
        Photo.size,
        Photo.mtime_ns,
        Photo.state,
        Photo.reason,
        Content.digest,
        Vector.content_id,
    )
    statement = select(*columns).outerjoin(Content, Content.id == Photo.content_id).outerjoin(Vector, embedded)
    return statement.where(Photo.path.in_(paths))


def embedded_of_sizes(sizes: Collection[int], space_id: int) -> Select:
    """(size, digest) of contents of these byte sizes that have a vector in the space."""
    return select(Content.size, Content.digest).join(Vector).where(Content.size.in_(sizes), Vector.space_id == space_id)


def embedded_of_digests(digests: Collection[str], space_id: int) -> Select:
    """Digests, of those given, whose contents have a vector in the space."""
    return select(Content.digest).join(Vector).where(Content.digest.in_(digests), Vector.space_id == space_id)


def not_gone(folder: str, newest: int) -> Select:
    """The ids of the photos below a folder, up to the id `newest`, that are not marked gone."""
    return select(Photo.id).where(below(folder), Photo.state != GONE, Photo.id <= newest)


def paths_of(photo_ids: Collection[int]) -> Select:
    """(id, path) of these photos."""
    return select(Photo.id, Photo.path).where(Photo.id.in_(photo_ids))


def moved_away(folder: str) -> Update:
    """An update of the photos below a folder whose content has a present photo elsewhere."""
    other = aliased(Photo)
    elsewhere = select(other.id).where(other.content_id == Photo.content_id, other.state + "" == PRESENT)
    elsewhere = elsewhere.where(not_(below(folder, other)))
    return update(Photo).where(below(folder), Photo.state != GONE, elsewhere.exists())


def photos() -> Select:
    """The columns of a PhotoRecord, in its order."""
    return select(
        Photo.id,
        Photo.path,
        Photo.state,
        Photo.content_id,
        Content.digest,
        Content.width,
        Content.height,
        Content.taken_at,
        Content.camera,
        Photo.reason,
    ).outerjoin(Content, Content.id == Photo.content_id)


def present_photos(where: Filter) -> Select:
    """The photos that a search may show: present, and within the filter."""
    # Nearly all photos are present, which SQLite does not know: on the bare column it would walk that index, a million
    # rows of it, rather than look the few contents or the folder up. As an expression it has no index.
    statement = photos().where(Photo.state + "" == PRESENT)
    if where.folder is not None:
        statement = statement.where(below(where.folder))
    if where.after is not None:
        statement = statement.where(Content.taken_at >= where.after)
    if where.before is not None:
        statement = statement.where(Content.taken_at < where.before)
    if where.camera is not None:
        statement = statement.where(func.lower(Content.camera).contains(where.camera.lower(), autoescape=True))
    return statement


@cache
def present_unfiltered(space_id: int) -> Select:
    """`present_among` without a filter, which most searches ask: making the statement takes as long as asking it."""
    return present_among(Filter(), space_id)


def present_among(where: Filter, space_id: int) -> Select:
    """The same of a few contents, the parameter `contents`, that have a vector in the space; by path."""
    statement = present_photos(where)
    statement = statement.join(Vector, and_(Vector.content_id == Photo.content_id, Vector.space_id == space_id))
    return statement.where(Photo.content_id.in_(bindparam("contents", expanding=True))).order_by(Photo.path)


def vector_places(space_id: int) -> Select:
    """(shard id, row, content id) of the space's vectors, shard by shard, row by row."""
    places = select(Vector.shard_id, Vector.row, Vector.content_id).where(Vector.space_id == space_id)
    return places.order_by(Vector.shard_id, Vector.row)


def shards_of(space_id: int) -> Select:
    """The space's shards, oldest first."""
    return (
        select(Shard.id, Shard.file, Shard.rows, Shard.bytes, Shard.checksum)
        .where(Shard.space_id == space_id)
        .order_by(Shard.id)
    )


def rows_in_use(space_id: int) -> Select:
    """(shard id, vectors in it) of the space's shards that hold any."""
    # Asked by shard, this is read from the index over (shard, row) alone: a million rows in a moment.
    shards = select(Shard.id).where(Shard.space_id == space_id)
    return select(Vector.shard_id, func.count()).where(Vector.shard_id.in_(shards)).group_by(Vector.shard_id)
