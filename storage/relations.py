"""What a search for duplicates found out: relations between two contents, and which contents have been compared.

A content that is new is compared with what is there; when that is done, it is marked, in the transaction that keeps what was
found. A mark by vectors belongs to a space. Marks and relations are derived, and belong to one version of the fingerprints.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, not_, or_, select, update

from storage import queries
from storage.database import chunks, reading, writing
from storage.fingerprints import STREAMED, has_present_photo, touches
from storage.tables import Fingerprint, Relation


class RelationRow(NamedTuple):
    """What the second content is to the first: see index/duplicate_relation.py."""

    content_id: int
    other_id: int
    kind: str
    words: str
    first_share: float
    second_share: float
    in_place: bool
    turned: bool


class Relations:
    """What Catalog keeps of comparisons."""

    engine: Engine

    def relations(self) -> Iterator[RelationRow]:
        """Every relation that was found, streamed."""
        columns = [getattr(Relation, name) for name in RelationRow._fields]
        statement = select(*columns).order_by(Relation.content_id, Relation.other_id)
        with reading(self.engine) as connection:
            for row in connection.execution_options(yield_per=STREAMED).execute(statement):
                yield RelationRow._make(row)

    def store_compared(
        self,
        found: Sequence[RelationRow],
        by_hash: Collection[int] = (),
        by_vectors: Collection[int] = (),
        space: int = 0,
    ) -> None:
        """One transaction: these relations, and the marks of contents that were compared by hash, or by vectors of a space."""
        with writing(self.engine) as connection:
            if found:
                change = list(RelationRow._fields[3:])
                statement = queries.upsert(connection.dialect, Relation, ["content_id", "other_id", "kind"], change)
                connection.execute(statement, [row._asdict() for row in found])
            for some in chunks(by_hash):
                marked = update(Fingerprint).where(Fingerprint.content_id.in_(some))
                connection.execute(marked.values(compared=True))
            for some in chunks(by_vectors):
                marked = update(Fingerprint).where(Fingerprint.content_id.in_(some))
                connection.execute(marked.values(compared_in=space))

    def compared_and_gone(self, version: int) -> list[int]:
        """Contents that are marked but have no present photo, or only a fingerprint of another version."""
        marked = or_(Fingerprint.compared, Fingerprint.compared_in.is_not(None))
        statement = select(Fingerprint.content_id)
        gone = or_(Fingerprint.version != version, not_(has_present_photo(Fingerprint.content_id)))
        with reading(self.engine) as connection:
            return list(connection.execute(statement.where(marked, gone)).scalars())

    def forget_compared(self, contents: Collection[int]) -> None:
        """One transaction: what was found out about these contents is forgotten, they are to be compared again."""
        with writing(self.engine) as connection:
            forget_compared(connection, contents)


def forget_compared(connection: Connection, contents: Collection[int]) -> None:
    """The same, in a transaction of the caller's."""
    for some in chunks(contents):
        connection.execute(delete(Relation).where(touches(some)))
        marked = update(Fingerprint).where(Fingerprint.content_id.in_(some))
        connection.execute(marked.values(compared=False, compared_in=None))
