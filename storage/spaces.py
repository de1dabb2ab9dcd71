"""The catalogue's verbs about spaces: which one answers, what each holds and lacks, the switch, and giving one up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Select, delete, func, literal_column, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from storage import jobs, queries
from storage.database import chunks, reading, writing
from storage.errors import CatalogError
from storage.records import FileStamp
from storage.tables import PRESENT, Base, Content, Generation, Label, Photo, Setting, Shard, Space, Vector

ACTIVE, MODEL, PREVIOUS, SHADOW = "space", "model", "previous_space", "shadow_space"  # settings
LABELS_AT_ONCE = 20_000  # contents whose labels go in one transaction: nobody else waits long to write


class SpaceRow(NamedTuple):
    """A space and what it takes."""

    id: int
    key: str
    model: str
    vectors: int
    bytes: int  # of its shards and saved indexes


class MissingContent(NamedTuple):
    """A content of present photos that has no vector in a space."""

    id: int
    digest: str
    photos: list[FileStamp]  # at least one; by path


class Spaces:
    """What Catalog says of spaces."""

    engine: Engine

    def active(self) -> tuple[int, str] | None:
        """(space id, model) that answer now, as one transaction left them; None in a catalogue of no library yet."""
        with reading(self.engine) as connection:
            found = _settings(connection, (ACTIVE, MODEL))
        return (int(found[ACTIVE]), found[MODEL]) if len(found) == 2 else None

    def spaces(self) -> list[SpaceRow]:
        """Every space, oldest first."""
        with reading(self.engine) as connection:
            vectors = _by_space(connection, select(Vector.space_id, func.count()).group_by(Vector.space_id))
            total = func.coalesce(func.sum(Shard.bytes), 0)
            shards = _by_space(connection, select(Shard.space_id, total).group_by(Shard.space_id))
            total = func.coalesce(func.sum(Generation.bytes), 0)
            saved = _by_space(connection, select(Generation.space_id, total).group_by(Generation.space_id))
            rows = connection.execute(select(Space.id, Space.key, Space.model).order_by(Space.id))
            return [SpaceRow(*row, vectors[row[0]], shards[row[0]] + saved[row[0]]) for row in rows]

    def lacking(self, space_id: int) -> int:
        """How many contents of present photos have no vector in the space."""
        # Counted from the photos, ten times as fast as from the contents.
        count = select(func.count(Photo.content_id.distinct())).where(Photo.state + "" == PRESENT)
        with reading(self.engine) as connection:
            return connection.execute(count.where(~_vector(space_id, Photo.content_id).exists())).scalar_one()

    def missing(self, space_id: int, after: int, limit: int) -> list[MissingContent]:
        """Up to `limit` of those contents with ids above `after`, by id, with the present photos of each."""
        statement = _missing(space_id).where(Content.id > after).order_by(Content.id).limit(limit)
        with reading(self.engine) as connection:
            contents = connection.execute(statement).all()
            photos: dict[int, list[FileStamp]] = defaultdict(list)
            for chunk in chunks(row[0] for row in contents):
                columns = select(Photo.content_id, Photo.path, Photo.size, Photo.mtime_ns)
                asked = columns.where(Photo.content_id.in_(chunk), Photo.state + "" == PRESENT).order_by(Photo.path)
                for content, path, size, mtime_ns in connection.execute(asked):
                    photos[content or 0].append(FileStamp(path, size, mtime_ns))
        return [MissingContent(content, digest, photos[content]) for content, digest in contents]

    def activate(self, space_id: int, model: str, job_id: int) -> None:
        """One transaction: this space answers from now on, under this model's name; the one before is the previous one.

        Raises LeaseLost.
        """
        with writing(self.engine) as connection:
            jobs.must_hold(connection, job_id)
            before = int(_settings(connection, (ACTIVE,))[ACTIVE])
            new = {ACTIVE: str(space_id), MODEL: model}
            if before != space_id:
                new[PREVIOUS] = str(before)
            _remember(connection, new)
            connection.execute(delete(Setting).where(Setting.key == SHADOW, Setting.value == str(space_id)))
            connection.execute(update(Space).where(Space.id == space_id).values(model=model))

    def drop_spaces(self, dropped: Collection[int], job_id: int) -> set[str]:
        """Forget all that belongs to these spaces, none of which may be active; the shards' files that are now nobody's.

        What a search could meet goes in one transaction, the labels after it, piece by piece. The spaces' own rows stay: the
        first one says when the library was made. Raises LeaseLost, CatalogError.
        """
        ids = sorted(dropped)
        if not ids:
            return set()
        with writing(self.engine) as connection:
            jobs.must_hold(connection, job_id)
            if int(_settings(connection, (ACTIVE,))[ACTIVE]) in dropped:
                raise CatalogError("The space that answers can't be given up. Switch to another model first.")
            files = set(connection.execute(select(Shard.file).where(Shard.space_id.in_(ids))).scalars())
            texts = [str(space) for space in ids]
            connection.execute(delete(Setting).where(Setting.key.in_((PREVIOUS, SHADOW)), Setting.value.in_(texts)))
            learnt = or_(*(Setting.key.endswith(f"/{space}") for space in ids))  # such as whitening/3
            connection.execute(delete(Setting).where(learnt))
            for table in reversed(Base.metadata.sorted_tables):
                if "space_id" in table.columns and table is not Label.__table__:
                    connection.execute(delete(table).where(table.columns["space_id"].in_(ids)))
        self._drop_labels(ids, job_id)
        return files

    def _drop_labels(self, spaces: Collection[int], job_id: int) -> None:
        with reading(self.engine) as connection:
            newest = connection.execute(select(func.max(Content.id))).scalar() or 0
        for first in range(0, newest + 1, LABELS_AT_ONCE):
            among = Label.content_id.between(first, first + LABELS_AT_ONCE - 1)
            with writing(self.engine) as connection:
                jobs.must_hold(connection, job_id)
                connection.execute(delete(Label).where(among, Label.space_id.in_(spaces)))


def _missing(space_id: int) -> Select:
    """(id, digest) of contents with a present photo and no vector in the space."""
    there: Select = select(literal_column("1")).where(Photo.content_id == Content.id, Photo.state + "" == PRESENT)
    return select(Content.id, Content.digest).where(~_vector(space_id, Content.id).exists(), there.exists())


def _vector(space_id: int, content: InstrumentedAttribute) -> Select:
    return select(literal_column("1")).where(Vector.content_id == content, Vector.space_id == space_id)


def _settings(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    rows = connection.execute(select(Setting.key, Setting.value).where(Setting.key.in_(keys)))
    return {row[0]: row[1] for row in rows}


def _remember(connection: Connection, values: dict[str, str]) -> None:
    rows = [{"key": key, "value": value} for key, value in values.items()]
    connection.execute(queries.upsert(connection.dialect, Setting, ["key"], ["value"]), rows)


def _by_space(connection: Connection, statement: Select) -> defaultdict[int, int]:
    found: defaultdict[int, int] = defaultdict(int)
    found.update((row[0], int(row[1])) for row in connection.execute(statement))
    return found
