"""How a job's batch is written: functions on an open write transaction, which Catalog calls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from storage import queries
from storage.database import chunks, now
from storage.errors import CatalogError
from storage.records import Batch, FileStamp, ShardUse
from storage.shards import ShardFile
from storage.tables import PRESENT, UNREADABLE, Content, Label, Photo, Shard, Vector


def store(connection: Connection, batch: Batch, space_id: int) -> None:
    """The shard's row, its contents with vectors and labels, the photos, the failures."""
    if batch.shard is not None:
        store_contents(connection, batch, batch.shard, space_id)
    ids = content_ids(connection, {digest for _, digest in batch.photos})
    rows = [_photo(stamp, PRESENT, ids[digest], None) for stamp, digest in batch.photos]
    rows += [_photo(stamp, UNREADABLE, None, reason) for stamp, reason in batch.failures]
    write_photos(connection, rows)


def store_contents(connection: Connection, batch: Batch, shard: ShardFile, space_id: int) -> None:
    """A shard's row and what belongs to its rows. A content that has a vector already keeps that one."""
    values = {"space_id": space_id, "provenance": batch.provenance, "created_at": now()}
    key = connection.execute(insert(Shard).values(**values, **vars(shard))).inserted_primary_key
    assert key is not None
    names = ("digest", "size", "width", "height", "format", "taken_at", "camera")
    rows = [{name: getattr(content, name) for name in names} for content in batch.contents]
    connection.execute(queries.upsert(connection.dialect, Content, ["digest"]), rows)
    ids = content_ids(connection, {content.digest for content in batch.contents})
    vectors = [
        {"content_id": ids[content.digest], "space_id": space_id, "shard_id": key[0], "row": row}
        for row, content in enumerate(batch.contents)
    ]
    connection.execute(queries.upsert(connection.dialect, Vector, ["content_id", "space_id"]), vectors)
    labels = [
        {"content_id": ids[content.digest], "space_id": space_id, "rank": rank, "label_index": index, "score": score}
        for content in batch.contents
        for rank, (index, score) in enumerate(content.labels)
    ]
    if labels:
        connection.execute(queries.upsert(connection.dialect, Label, ["content_id", "space_id", "rank"]), labels)


def replace_shards(
    connection: Connection, space_id: int, old: Sequence[ShardUse], new: ShardFile | None, contents: list[int]
) -> None:
    """Vectors move from the old shards to their rows of the new one, which takes the old ones' provenance."""
    ids = [use.id for use in old]
    count = select(func.count()).where(Vector.shard_id.in_(ids))
    held = connection.execute(count).scalar_one()
    if new is not None:
        values = {"space_id": space_id, "provenance": old[0].provenance, "created_at": now()}
        key = connection.execute(insert(Shard).values(**values, **vars(new))).inserted_primary_key
        assert key is not None
        mine = update(Vector).where(Vector.content_id == bindparam("content"), Vector.space_id == space_id)
        rows = [{"content": content, "place": row} for row, content in enumerate(contents)]
        connection.execute(mine.values(shard_id=key[0], row=bindparam("place")), rows)
    left = connection.execute(count).scalar_one()
    if (held, left) != (len(contents), 0):
        raise CatalogError(
            f"Shards were to be merged, but their vectors changed meanwhile: expected {len(contents)}, found {held}, of which "
            f"{left} others. Nothing was changed; the next index run tries again."
        )
    connection.execute(delete(Shard).where(Shard.id.in_(ids)))


def write_photos(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """New photos, and new facts of known ones."""
    if rows:
        change = ["content_id", "size", "mtime_ns", "state", "reason"]
        connection.execute(queries.upsert(connection.dialect, Photo, ["path"], change), rows)


def _photo(stamp: FileStamp, state: str, content_id: int | None, reason: str | None) -> dict[str, Any]:
    values = {
        "content_id": content_id,
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "state": state,
        "reason": reason,
    }
    return {"path": stamp.path} | values


def content_ids(connection: Connection, digests: Collection[str]) -> dict[str, int]:
    """The content id of each of these digests that the catalogue has."""
    found: dict[str, int] = {}
    for chunk in chunks(digests):
        rows = connection.execute(select(Content.digest, Content.id).where(Content.digest.in_(chunk)))
        found.update((row[0], row[1]) for row in rows)
    return found
