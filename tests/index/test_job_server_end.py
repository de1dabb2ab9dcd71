"""A job whose library is closed under it, as a server does that ends."""

from __future__ import annotations

from pathlib import Path

from index.job import index_folder
from index.library import Library
from index.runner import Runner


def test_a_job_ends_with_its_library_as_one_that_was_stopped(library: Library, photos: Path) -> None:
    steps = index_folder(library, [str(photos)])
    next(steps)
    library.decoder.close()
    left = list(steps)
    assert all(step.report is None for step in left)
    job = Runner(library).job()
    assert job is not None
    assert (job.state, job.report["embedded"] if job.report else None) == ("interrupted", 0)
