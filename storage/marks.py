"""The words that a user gave contents, and what each space learnt from them.

Functions on an open transaction; Catalog calls them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, Dialect, delete, func, insert, select

from storage import queries
from storage.records import ProbeRecord
from storage.tables import Mark, Probe, Vector

CHUNK = 500


def replace(connection: Connection, dialect: Dialect, contents: Mapping[str, Collection[int]]) -> None:
    """Give contents words; of the words named here, a content keeps only those that it is given here."""
    words = list(contents)
    touched = sorted({content for given in contents.values() for content in given})
    for start in range(0, len(touched), CHUNK):
        some = touched[start : start + CHUNK]
        connection.execute(delete(Mark).where(Mark.content_id.in_(some), Mark.word.in_(words)))
    rows = [{"content_id": content, "word": word} for word, given in contents.items() for content in set(given)]
    if rows:
        connection.execute(queries.upsert(dialect, Mark, ["content_id", "word"]), rows)


def remove(connection: Connection, words: Collection[str] | None) -> None:
    """Take words, or all of them, back; no space keeps what it learnt from them."""
    connection.execute(delete(Mark) if words is None else delete(Mark).where(Mark.word.in_(words)))
    connection.execute(delete(Probe))


def counted(connection: Connection) -> dict[str, int]:
    """The words in order, with how many contents have each."""
    rows = connection.execute(select(Mark.word, func.count()).group_by(Mark.word))
    return dict(sorted((row[0], row[1]) for row in rows))


def with_vectors(connection: Connection, space_id: int) -> dict[str, list[int]]:
    """The marked contents, ascending, that have a vector in the space, by word in order."""
    found: dict[str, list[int]] = {}
    statement = select(Mark.word, Mark.content_id).join(Vector, Vector.content_id == Mark.content_id)
    for word, content in connection.execute(statement.where(Vector.space_id == space_id)):
        found.setdefault(word, []).append(content)
    return {word: sorted(found[word]) for word in sorted(found)}


def save_probe(connection: Connection, space_id: int, record: ProbeRecord, now: datetime) -> None:
    """One probe a space: the newest."""
    connection.execute(delete(Probe).where(Probe.space_id == space_id))
    connection.execute(insert(Probe).values(space_id=space_id, created_at=now, **vars(record)))


def drop_probe(connection: Connection, space_id: int) -> None:
    """The space has learnt nothing."""
    connection.execute(delete(Probe).where(Probe.space_id == space_id))


def probe(connection: Connection, space_id: int) -> ProbeRecord | None:
    """What the space learnt."""
    statement = select(Probe.words, Probe.weights, Probe.calibration).where(Probe.space_id == space_id)
    row = connection.execute(statement).first()
    return None if row is None else ProbeRecord(*row)
