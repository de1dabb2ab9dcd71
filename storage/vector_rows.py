"""The catalogue's verbs about vectors: where they lie, and which saved indexes hold them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from sqlalchemy import Engine, delete, func, insert, or_, select

from storage import jobs, queries, storing
from storage.database import chunks, now, reading, writing
from storage.records import GenerationRecord, ShardUse
from storage.shards import ShardFile
from storage.tables import PRESENT, Content, Generation, Photo, Shard, Vector


class VectorRows:
    """What Catalog says of shards, vectors and saved indexes."""

    engine: Engine

    def shards(self, space_id: int) -> dict[int, ShardFile]:
        """The space's shards by id, oldest first."""
        with reading(self.engine) as connection:
            return {row[0]: ShardFile(*row[1:]) for row in connection.execute(queries.shards_of(space_id))}

    def shard_uses(self, space_id: int) -> list[ShardUse]:
        """The space's shards, oldest first, with what is still in use of each."""
        with reading(self.engine) as connection:
            counted = connection.execute(queries.rows_in_use(space_id))
            live = {row[0]: row[1] for row in counted}
            rows = connection.execute(queries.shards_of(space_id).add_columns(Shard.provenance))
            return [ShardUse(row[0], ShardFile(*row[1:5]), row[5], live.get(row[0], 0)) for row in rows]

    def replace_shards(
        self, space_id: int, old: Sequence[ShardUse], new: ShardFile | None, contents: np.ndarray, job_id: int | None
    ) -> None:
        """One transaction: row i of the new shard becomes the vector of contents[i], and the old shards are forgotten.

        The new file must be on the disk already; None where the old ones hold no vector that is in use. Raises LeaseLost,
        and CatalogError where `contents` are not exactly those that the old shards hold.
        """
        with writing(self.engine) as connection:
            jobs.must_hold(connection, job_id)
            storing.replace_shards(connection, space_id, old, new, contents.tolist())

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
            for chunk in chunks(contents):
                statement = queries.vector_places(space_id).where(Vector.content_id.in_(chunk))
                found.update((row[2], (row[0], row[1])) for row in connection.execute(statement))
        return found

    def vector_count(self, space_id: int, up_to: int) -> int:
        """How many vectors the space has in its shards up to one."""
        count = select(func.count()).select_from(Vector).where(Vector.space_id == space_id, Vector.shard_id <= up_to)
        with reading(self.engine) as connection:
            return connection.execute(count).scalar_one()

    def first_contents(self, space_id: int, limit: int) -> np.ndarray:
        """Up to `limit` contents, int64, of present photos with a vector in the space: those whose digest comes first.

        By digest, which is as good as drawn at random, and is the same draw after a photo more or less.
        """
        has_vector = select(Vector.row).where(Vector.content_id == Content.id, Vector.space_id == space_id).exists()
        # As an expression the state has no index, which would list all photos for each content.
        has_photo = select(Photo.id).where(Photo.content_id == Content.id, Photo.state + "" == PRESENT).exists()
        statement = select(Content.id).where(has_vector, has_photo).order_by(Content.digest).limit(limit)
        with reading(self.engine) as connection:
            return np.fromiter(connection.execute(statement).scalars(), np.int64)

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
        with writing(self.engine) as connection:
            connection.execute(delete(Generation).where(*older))
            connection.execute(insert(Generation).values(space_id=space_id, created_at=now(), **values))

    def digests(self, contents: Collection[int]) -> dict[int, str]:
        """The digest of each of these contents."""
        found: dict[int, str] = {}
        with reading(self.engine) as connection:
            for chunk in chunks(contents):
                rows = connection.execute(select(Content.id, Content.digest).where(Content.id.in_(chunk)))
                found.update((row[0], row[1]) for row in rows)
        return found

    def contents_with(self, digests: Collection[str]) -> dict[str, int]:
        """The content id of each of these digests that the catalogue has."""
        with reading(self.engine) as connection:
            return storing.content_ids(connection, digests)

    def generation_files(self) -> set[str]:
        """The files of all saved indexes of all spaces."""
        with reading(self.engine) as connection:
            return set(connection.execute(select(Generation.file)).scalars())

    def drop_generations(self, space_id: int) -> None:
        """Forget the saved indexes of a space: they are built again when they are next asked for."""
        with writing(self.engine) as connection:
            connection.execute(delete(Generation).where(Generation.space_id == space_id))

    def drop_shard(self, shard_id: int) -> int:
        """Forget a shard that is lost, and how many vectors went with it: the next index run makes them again."""
        with writing(self.engine) as connection:
            lost = connection.execute(delete(Vector).where(Vector.shard_id == shard_id)).rowcount
            connection.execute(delete(Shard).where(Shard.id == shard_id))
            return lost

    def drop_vectors(self, contents: Collection[int], space_id: int) -> None:
        """Forget where the vectors of these contents lie: the next index run makes them again."""
        with writing(self.engine) as connection:
            for chunk in chunks(contents):
                connection.execute(delete(Vector).where(Vector.content_id.in_(chunk), Vector.space_id == space_id))

    def drop_lost_vectors(self, space_id: int) -> int:
        """Forget the vectors whose shard or content the catalogue no longer has, and how many they were."""
        lost = or_(Vector.shard_id.not_in(select(Shard.id)), Vector.content_id.not_in(select(Content.id)))
        with writing(self.engine) as connection:
            return connection.execute(delete(Vector).where(Vector.space_id == space_id, lost)).rowcount
