"""What the user said of contents that look like each other. Said of contents, so it outlives moves, scans and models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, delete, insert, select

from storage.database import chunks, now, reading, writing
from storage.relations import forget_compared
from storage.tables import Decision, DecisionContent

KEEP_ONE, KEEP_BOTH, NOT_DUPLICATE = "keep-one", "keep-both", "not-duplicate"


class DecisionRecord(NamedTuple):
    """A decision; `copies` says how many photos of each content it was about."""

    id: int
    verdict: str
    decided_at: datetime  # UTC
    copies: dict[int, int]

    def covers(self, copies: Mapping[int, int]) -> bool:
        """Whether it is about all these photos, and maybe more."""
        return all(self.copies.get(content, 0) >= count for content, count in copies.items())


class Decisions:
    """What Catalog keeps of decisions."""

    engine: Engine

    def decide(self, verdict: str, copies: Mapping[int, int]) -> int:
        """Keep a decision about so many photos of each of these contents; its id, an earlier one's if that says the same."""
        for known in self.decisions():
            if (known.verdict, known.copies) == (verdict, dict(copies)):
                return known.id
        with writing(self.engine) as connection:
            key = connection.execute(insert(Decision).values(verdict=verdict, decided_at=now())).inserted_primary_key
            assert key is not None
            rows = [{"decision_id": key[0], "content_id": one, "copies": count} for one, count in copies.items()]
            connection.execute(insert(DecisionContent), rows)
            return int(key[0])

    def decisions(self) -> list[DecisionRecord]:
        """Every decision, oldest first."""
        found: dict[int, DecisionRecord] = {}
        columns = (
            Decision.id,
            Decision.verdict,
            Decision.decided_at,
            DecisionContent.content_id,
            DecisionContent.copies,
        )
        statement = select(*columns).join(DecisionContent).order_by(Decision.id, DecisionContent.content_id)
        with reading(self.engine) as connection:
            for decision_id, verdict, decided_at, content_id, copies in connection.execute(statement):
                known = found.setdefault(decision_id, DecisionRecord(decision_id, verdict, decided_at, {}))
                known.copies[content_id] = copies
        return list(found.values())

    def take_back(self, decision_ids: Collection[int]) -> None:
        """Forget these decisions; what was said to be no duplicates is compared again."""
        again: set[int] = set()
        with writing(self.engine) as connection:
            for some in chunks(decision_ids):
                told_apart = select(DecisionContent.content_id).join(Decision)
                told_apart = told_apart.where(Decision.id.in_(some), Decision.verdict == NOT_DUPLICATE)
                again.update(connection.execute(told_apart).scalars())
                connection.execute(delete(DecisionContent).where(DecisionContent.decision_id.in_(some)))
                connection.execute(delete(Decision).where(Decision.id.in_(some)))
            forget_compared(connection, again)
