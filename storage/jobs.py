"""The lease that lets one job at a time change a library, and what others may see of it.

Functions on an open write transaction; Catalog calls them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, insert, select, update

from storage import queries
from storage.database import now
from storage.errors import JobRunning, LeaseLost
from storage.records import JobRecord
from storage.tables import Job, Setting

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
CANCELLED = "cancelled"  # shown for an interrupted job that is not to be gone on with
CANCELLED_JOB = "cancelled_job/{kind}"  # setting: the id of the last one that somebody cancelled
LEASE_S = 120  # only asked about for jobs of other machines: of its own a machine knows which processes live
SAME_START_S = 0.02  # the system counts in hundredths


def claim(connection: Connection, kind: str, folders: Sequence[str]) -> int:
    """The id of a new running job. Raises JobRunning where a live one holds the lease."""
    for row in connection.execute(select(Job).where(Job.state == RUNNING)).mappings():
        if _is_alive(row["host"], row["pid"], row["process_started"], row["lease_until"]):
            raise JobRunning(
                f"Another job ({row['kind']}) has been running on this library since {row['started_at']:%Y-%m-%d %H:%M:%S} UTC, "
                f"process {row['pid']} on {row['host']}. Wait for it or stop it, then start again."
            )
        connection.execute(update(Job).where(Job.id == row["id"]).values(state=INTERRUPTED, finished_at=now()))
    statement = insert(Job).values(
        kind=kind,
        state=RUNNING,
        folders=list(folders),
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=_started(psutil.Process()),
        lease_until=time.time() + LEASE_S,
        stop_asked=False,
        started_at=now(),
        progress={},
    )
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])


def beat(connection: Connection, job_id: int, progress: dict[str, Any]) -> bool:
    """Renew the lease and show the progress; whether the job has to stop: asked to, or the lease went to another."""
    values = {"progress": progress, "lease_until": time.time() + LEASE_S}
    held = Job.id == job_id, Job.state == RUNNING  # a machine that slept through its lease may have lost it
    connection.execute(update(Job).where(*held).values(**values))
    asked = connection.execute(select(Job.stop_asked).where(*held)).scalar()
    return asked is None or bool(asked)


def must_hold(connection: Connection, job_id: int | None) -> None:
    """Raises LeaseLost where the job (None: nobody's) is no longer the one that may write.

    Asked within the transaction that writes: a machine that slept through its lease must not store what the next job sweeps.
    """
    if job_id is None:
        return
    # Where there are row locks, nobody may take the lease between this question and the commit.
    state = connection.execute(select(Job.state).where(Job.id == job_id).with_for_update()).scalar()
    if state != RUNNING:
        raise LeaseLost(
            "This job was taken for dead and another may have begun since. Nothing of this step was written; "
            "what was done before is kept. Run it again."
        )


def finish(connection: Connection, job_id: int, state: str, report: dict[str, Any] | None) -> None:
    """Give the lease back."""
    connection.execute(
        update(Job).where(Job.id == job_id).values(state=state, report=report, finished_at=now(), lease_until=0.0)
    )


def ask_to_stop(connection: Connection, job_id: int) -> None:
    """The job will see it at its next beat."""
    connection.execute(update(Job).where(Job.id == job_id).values(stop_asked=True))


def cancel(connection: Connection, job_id: int) -> None:
    """The same, and nobody is offered to go on with it."""
    ask_to_stop(connection, job_id)
    kind = connection.execute(select(Job.kind).where(Job.id == job_id)).scalar_one()
    row = {"key": CANCELLED_JOB.format(kind=kind), "value": str(job_id)}
    connection.execute(queries.upsert(connection.dialect, Setting, ["key"], ["value"]), row)


def latest(connection: Connection, kind: str) -> JobRecord | None:
    """The newest job of a kind. One whose process has died is shown as interrupted or cancelled, which it is."""
    row = connection.execute(select(Job).where(Job.kind == kind).order_by(Job.id.desc()).limit(1)).mappings().first()
    if row is None:
        return None
    alive = row["state"] != RUNNING or _is_alive(row["host"], row["pid"], row["process_started"], row["lease_until"])
    state = row["state"] if alive else INTERRUPTED
    cancelled = select(Setting.value).where(Setting.key == CANCELLED_JOB.format(kind=kind))
    is_cancelled = connection.execute(cancelled).scalar() == str(row["id"])
    if is_cancelled and state == INTERRUPTED:
        state = CANCELLED
    names = ("id", "kind", "folders", "started_at", "finished_at", "progress", "report", "stop_asked")
    return JobRecord(state=state, cancel_asked=is_cancelled, **{name: row[name] for name in names})


def _is_alive(host: str, pid: int, process_started: float, lease_until: float) -> bool:
    if host != socket.gethostname():
        return time.time() < lease_until
    try:
        process = psutil.Process(pid)
        # The number of a dead process is given out again: only with its start does it name one. One that was killed and
        # that its parent has not asked after yet (a zombie) works no more.
        return abs(_started(process) - process_started) < SAME_START_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # somebody else's
        return time.time() < lease_until


def _started(process: psutil.Process) -> float:
    """When a process started, in seconds: since the boot where the system counts so, else since the epoch.

    psutil adds the boot time, which moves when the clock is set: a live job would then pass for a dead one.
    """
    try:
        after_name = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return process.create_time()
