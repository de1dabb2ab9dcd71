"""The interface's routes about the library: photos' facts, words, channels, jobs, models, health, duplicates."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from index.doctor import CHECKS, examine
from index.library import Library
from index.runner import INTERRUPTED, RUNNING, Runner
from ui.api.job_models import (
    DoctorAnswer,
    FailedFile,
    HealthCheck,
    JobAnswer,
    JobStart,
    ModelAnswer,
    PhotoCounts,
    SkippedFolder,
    Space,
)
from ui.api.models import (
    ChannelAnswer,
    ChannelPhoto,
    Label,
    PhotoFacts,
    StrongChannel,
    StrongestAnswer,
    Word,
    WordsAnswer,
)
from ui.api.pictures import MOST_SHOWN, PhotoNumber
from ui.api.route import PlainRoute, Refused, WorkRoute, refusals, without_folders
from ui.api.uploads import in_words, must_do, must_know
from ui.job_handlers import cancel_job, is_busy, pause_job, resume_job, start_job
from ui.job_words import job_view
from ui.search_handlers import words
from ui.seeing_handlers import channel_photos, picture_channels
from ui.switch_handlers import switch_view

Count = Annotated[int, Query(description="How many to show", ge=1, le=MOST_SHOWN)]
Stage = Annotated[str | None, Query(description="The stage, the last by default", examples=["stage2"])]


def photo_routes(library: Library) -> APIRouter:
    """Photos' facts."""
    router = APIRouter(prefix="/api", route_class=PlainRoute, tags=["photos"])

    @router.get("/photos/{photo_id}", summary="What is known of a photo", responses=refusals(404))
    def facts(photo_id: PhotoNumber) -> PhotoFacts:
        """Its name, size, date, camera and labels. /photos/{photo_id} is the picture itself."""
        must_know(library, [photo_id])
        return _facts(library.follow(), photo_id)

    return router


def overview_routes(library: Library) -> APIRouter:
    """What goes over all stored labels or vectors: words, and channels of the network with the photos that excite them."""
    router = APIRouter(prefix="/api", route_class=WorkRoute, tags=["channels"])

    @router.get("/words", summary="What photos are called", tags=["photos"], responses=refusals(429))
    def known_words(
        start: Annotated[str, Query(description="What the words begin with", max_length=100)] = "", count: Count = 50
    ) -> WordsAnswer:
        """Labels of the network and taught words by which photos can be asked for."""
        found = words(library, start, count)
        return WordsAnswer(words=[Word(word=word, photos=photos, source=source) for word, photos, source in found])

    @router.get("/channels/{channel}", summary="The photos in which a channel is highest", responses=refusals(429))
    def photos_of_channel(
        channel: Annotated[int, Path(description="The channel, 0 first", ge=0, lt=2**31)],
        stage: Stage = None,
        count: Count = 12,
    ) -> ChannelAnswer:
        """From the stored vectors: no photo is read."""
        found = channel_photos(library, channel, stage, count)
        must_do(found.problem)
        photos = [ChannelPhoto(photo_id=hit.photo_id, name=hit.name, value=hit.value) for hit in found.hits]
        return ChannelAnswer(stage=found.stage, channel=found.channel, photos=photos, hint=found.hint)

    @router.get(
        "/photos/{photo_id}/channels", summary="The channels that a photo excites", responses=refusals(404, 429)
    )
    def channels_of_photo(
        photo_id: PhotoNumber,
        stage: Stage = None,
        count: Count = 12,
        by: Annotated[Literal["value", "unusual"], Query(description="Highest first, or most unusual first")] = "value",
    ) -> StrongestAnswer:
        """From the stored vectors: the photo is not read."""
        must_know(library, [photo_id])
        found = picture_channels(library, photo_id, stage, count, by)
        must_do(found.problem)
        channels = [
            StrongChannel(channel=channel, value=value, higher_than=share) for channel, value, share in found.channels
        ]
        return StrongestAnswer(stage=found.stage, channels=channels)

    return router


def job_routes(library: Library, runner: Runner) -> APIRouter:
    """The index job, and how a change of model is going."""
    router = APIRouter(prefix="/api", route_class=PlainRoute, tags=["jobs"])

    def must_be_idle() -> None:
        if is_busy(runner):
            raise Refused(409, "A job is at work in this library already. Wait for its end, or stop it.")

    def must_run() -> None:
        job = runner.job()
        if job is None or job.state != RUNNING:
            raise Refused(409, "No index job is at work.")

    @router.get("/index", summary="Where the index job is", responses=refusals())
    def state() -> JobAnswer:
        """Whoever started it, in whichever process."""
        return _job(runner)

    @router.post("/index", status_code=202, summary="Index folders", responses=refusals(400, 409, 413))
    def start(asked: JobStart) -> JobAnswer:
        """Begins, and answers at once; GET /api/index says how it goes."""
        must_be_idle()
        must_do(start_job(runner, "\n".join(asked.folders), asked.retry_failed))
        return _job(runner)

    @router.post("/index/pause", status_code=202, summary="Pause the index job", responses=refusals(409))
    @router.post("/index/stop", status_code=202, summary="Stop the index job", responses=refusals(409))
    def pause() -> JobAnswer:
        """It ends after its current step; what it has done is kept, and POST /api/index/resume goes on from there."""
        must_run()
        must_do(pause_job(runner))
        return _job(runner)

    @router.post("/index/resume", status_code=202, summary="Resume the index job", responses=refusals(409))
    def resume() -> JobAnswer:
        """Goes on with the job that was paused or killed, with its folders; what is known already costs nothing."""
        must_be_idle()
        job = runner.job()
        if job is None or job.state != INTERRUPTED:
            raise Refused(409, "There is no paused job to go on with.")
        must_do(resume_job(runner))
        return _job(runner)

    @router.post("/index/cancel", status_code=202, summary="Cancel the index job", responses=refusals(409))
    def cancel() -> JobAnswer:
        """Running or paused: it ends for good, and what it has done is kept."""
        job = runner.job()
        if job is None or job.state not in (RUNNING, INTERRUPTED):
            raise Refused(409, "No index job is at work or paused.")
        must_do(cancel_job(runner))
        return _job(runner)

    @router.get("/model", summary="The library's models", responses=refusals())
    def model() -> ModelAnswer:
        """Which one answers, and how far a change to another is."""
        return _model(library)

    return router


def doctor_routes(library: Library) -> APIRouter:
    """The library's health."""
    router = APIRouter(prefix="/api", route_class=WorkRoute, tags=["jobs"])

    @router.get("/doctor", summary="Whether everything agrees", responses=refusals(429))
    def doctor() -> DoctorAnswer:
        """The checks of `doctor` that need no network; nothing is changed. Large libraries are sampled."""
        report = examine(library.follow(), only=CHECKS.keys() - {"vectors"})
        checks = [
            HealthCheck(name=one["name"], ok=one["ok"], detail=without_folders(one["detail"]))
            for one in report["checks"]
        ]
        return DoctorAnswer(
            ok=report["ok"], photos=PhotoCounts(**report["photos"]), embedded=report["embedded"],
            faiss=report["faiss"], checks=checks,
        )  # fmt: skip

    return router


def _facts(library: Library, photo_id: int) -> PhotoFacts:
    photo = library.catalog.photo(photo_id)
    assert photo is not None  # just asked for
    known = [] if photo.content_id is None else library.catalog.labels(photo.content_id, library.space_id)
    return PhotoFacts(
        photo_id=photo.id,
        name=os.path.basename(photo.path),
        state=photo.state,
        width=photo.width,
        height=photo.height,
        taken_at=None if photo.taken_at is None else photo.taken_at.isoformat(),
        camera=photo.camera,
        labels=[Label(label=library.label(index), score=score) for index, score in known],
        reason=None if photo.reason is None else in_words(photo.reason),
    )


def _job(runner: Runner) -> JobAnswer:
    job = runner.job()
    view = job_view(job)
    if job is None or view is None:
        return JobAnswer(
            running=False, state=None, headline="Nothing was indexed yet.", share=None, facts=[], current=None,
            failed=0, skipped=[], problem=None, can_resume=False,
        )  # fmt: skip
    return JobAnswer(
        running=view.running, state=job.state, headline=view.headline, share=view.share, facts=view.facts,
        current=view.current, failed=view.failed, can_resume=view.can_resume,
        skipped=[SkippedFolder(folder=os.path.basename(folder), reason=reason) for folder, reason in view.skipped],
        problem=None if view.problem is None else without_folders(view.problem),
    )  # fmt: skip


def _model(library: Library) -> ModelAnswer:
    view = switch_view(library)
    facts = {name: value for name, value in vars(view).items() if name in ModelAnswer.model_fields}
    return ModelAnswer(**facts | {
        "spaces": [Space(**vars(space)) for space in view.spaces],
        "failed": [FailedFile(name=os.path.basename(path), reason=reason) for path, reason in view.failed],
        "problem": None if view.problem is None else without_folders(view.problem),
    })  # fmt: skip
