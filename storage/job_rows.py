"""The catalogue's verbs about what its jobs did: the newest of a kind, ending it, and which folders were ever indexed."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from storage import jobs, queries
from storage.database import reading, writing
from storage.records import JobRecord
from storage.tables import Job, Photo


class JobRows:
    """What Catalog says of jobs that others see."""

    engine: Engine

    def latest_job(self, kind: str) -> JobRecord | None:
        """The newest job of a kind, whoever runs or ran it."""
        with reading(self.engine) as connection:
            return jobs.latest(connection, kind)

    def ask_to_stop(self, job_id: int) -> None:
        """The job ends at its next beat, keeping what it has done."""
        with writing(self.engine) as connection:
            jobs.ask_to_stop(connection, job_id)

    def cancel_job(self, job_id: int) -> None:
        """The same, for good: it is not to be gone on with. One that has ended half way no longer is, either."""
        with writing(self.engine) as connection:
            jobs.cancel(connection, job_id)

    def job_folders(self, kind: str) -> set[str]:
        """The folders that jobs of a kind were ever given."""
        with reading(self.engine) as connection:
            given = connection.execute(select(Job.folders).where(Job.kind == kind)).scalars()
            return {folder for folders in given for folder in folders}

    def counts_below(self, folder: str) -> dict[str, int]:
        """Photos below a folder, by state."""
        state = Photo.state + ""  # no walk along the states' index: see queries.py
        statement = select(state, func.count()).where(queries.below(folder)).group_by(state)
        with reading(self.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}
