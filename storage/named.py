"""The catalogue's verbs about what contents are called: the model's labels, and the words that a user gave."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from sqlalchemy import Engine, Row, Select, func, literal_column, select

from storage.database import chunks, reading
from storage.tables import PRESENT, Label, Mark, Photo


class NamedRows:
    """What Catalog says of labels and words."""

    engine: Engine

    def labels(self, content_id: int, space_id: int) -> list[tuple[int, float]]:
        """(label index, probability), the most likely first."""
        statement = select(Label.label_index, Label.score).where(
            Label.content_id == content_id, Label.space_id == space_id
        )
        with reading(self.engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(statement.order_by(Label.rank))]

    def strongest_labels(self, contents: Collection[int], space_id: int) -> dict[int, int]:
        """The index of the most likely label of each of these contents that has one."""
        statement = select(Label.content_id, Label.label_index).where(Label.space_id == space_id, Label.rank == 0)
        rows = self._of(statement, Label.content_id, np.array(sorted(contents), np.int64))
        return {row[0]: row[1] for row in rows}

    def labelled(
        self, labels: Collection[int], space_id: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(content ids int64 (n,) ascending, float64 (n,)): who has some of these labels, and their probabilities' sum.

        Of all contents, or of those in `among`.
        """
        # As an expression the label has no index, which would list all that have it for each content that is asked about.
        index = Label.label_index if among is None else Label.label_index + 0
        statement = select(Label.content_id, func.sum(Label.score)).where(Label.space_id == space_id)
        statement = statement.where(index.in_(labels)).group_by(Label.content_id)
        rows = self._of(statement, Label.content_id, among)
        found = np.array([(row[0], row[1]) for row in rows], np.float64).reshape(-1, 2)
        ids = found[:, 0].astype(np.int64)
        order = np.argsort(ids)
        return ids[order], found[order, 1]

    def marked_with(self, words: Collection[str], among: np.ndarray | None = None) -> np.ndarray:
        """The content ids, int64 ascending, that the user gave one of these words; of all, or of those in `among`."""
        word = Mark.word if among is None else Mark.word + ""
        rows = self._of(select(Mark.content_id).where(word.in_(words)), Mark.content_id, among)
        return np.unique(np.fromiter((row[0] for row in rows), np.int64))

    def label_counts(self, space_id: int, least: float) -> dict[int, int]:
        """How many contents of present photos have a label with at least this probability, by its number."""
        # As an expression the space has no index: to read all labels in their order is six times as fast as by number.
        statement = select(Label.label_index, func.count()).where(Label.space_id + 0 == space_id, Label.score >= least)
        is_there: Select = select(literal_column("1")).where(
            Photo.content_id == Label.content_id, Photo.state + "" == PRESENT
        )
        statement = statement.where(is_there.exists())
        with reading(self.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(statement.group_by(Label.label_index))}

    def _of(self, statement: Select, content: object, among: np.ndarray | None) -> Sequence[Row]:
        with reading(self.engine) as connection:
            if among is None:
                return connection.execute(statement).all()
            asked: Iterable[list[int]] = chunks(among.tolist())
            rows = (connection.execute(statement.where(content.in_(chunk))) for chunk in asked)  # type: ignore[attr-defined]
            return list(itertools.chain.from_iterable(rows))
