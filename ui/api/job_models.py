"""What the interface says of jobs, models, duplicates and the library's health, as types."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ui.api.models import Name, OfDisk, PhotoId


class JobStart(BaseModel):
    """What to index."""

    folders: list[str] = Field(
        min_length=1,
        max_length=100,
        description="Full paths on the server's computer",
        examples=[["/home/me/Pictures"]],
    )
    retry_failed: bool = Field(default=False, description="Try files again that could not be read")


class SkippedFolder(BaseModel):
    """A folder that a run left as it was."""

    folder: OfDisk = Field(description="Its name", examples=["Pictures"])
    reason: str = Field(description="Why", examples=["may not be read"])


class JobAnswer(BaseModel):
    """The newest index job. A running one goes on whoever asks."""

    running: bool = Field(description="Whether it is at work")
    state: str | None = Field(
        description="running, done, interrupted (paused or killed), cancelled, failed; null where there was none yet",
        examples=["done"],
    )
    headline: str = Field(description="The state in words", examples=["The last run is complete"])
    share: float | None = Field(description="Of the work, 0 to 1; null while nobody knows", examples=[0.5])
    facts: list[str] = Field(description="Numbers in words", examples=[["154 photos seen", "154 new"]])
    current: OfDisk | None = Field(description="Name of the file last dealt with", examples=["cat.jpg"])
    failed: int = Field(description="Files that this run could not read", examples=[0])
    can_resume: bool = Field(description="Whether it was paused or killed, and can be gone on with", examples=[False])
    skipped: list[SkippedFolder] = Field(description="Folders that were left as they were")
    problem: str | None = Field(description="Why it failed", examples=[None])


class Space(BaseModel):
    """A model that the library has vectors of."""

    model: str = Field(description="Its name", examples=["starter"])
    role: str = Field(description="active, previous, building or kept", examples=["active"])
    vectors: int = Field(description="Pictures that it has vectors of", examples=[154])
    lacking: int = Field(description="Pictures that it has none of", examples=[0])
    bytes: int = Field(description="Room on the disk", examples=[350000])


class FailedFile(BaseModel):
    """A file that could not be read."""

    name: Name
    reason: str = Field(description="Why", examples=["the file ends early"])


class ModelAnswer(BaseModel):
    """The library's models, and how far a change from one to another is."""

    model: str = Field(description="The model that answers", examples=["starter"])
    photos: int = Field(description="Photos in the library", examples=[154])
    spaces: list[Space] = Field(description="Every model with vectors")
    can_go_back: bool = Field(description="Whether the model before is still there")
    running: bool = Field(description="Whether a change is under way")
    building: str | None = Field(description="The model of the newest change", examples=[None])
    done: int = Field(description="Pictures dealt with in it", examples=[0])
    total: int | None = Field(description="Pictures to deal with in it", examples=[None])
    seconds_left: float | None = Field(description="About how long it still takes", examples=[None])
    failed: list[FailedFile] = Field(description="Files that it could not read")
    note: str | None = Field(description="Photos that the model lacks, and what to do", examples=[None])
    problem: str | None = Field(description="Why the newest change did not happen", examples=[None])


class HealthCheck(BaseModel):
    """One question to the library and its answer."""

    name: str = Field(description="What was looked at", examples=["shards"])
    ok: bool = Field(description="Whether it is well")
    detail: str = Field(description="In words", examples=["1 shard agrees with the catalogue"])


class PhotoCounts(BaseModel):
    """Photos by state; null where the catalogue is too damaged to count."""

    present: int | None = Field(description="There to be seen", examples=[154])
    unreadable: int | None = Field(description="Could not be read", examples=[0])
    gone: int | None = Field(description="No longer in their folder", examples=[0])


class DoctorAnswer(BaseModel):
    """Whether everything agrees."""

    ok: bool = Field(description="Whether all checks are well")
    photos: PhotoCounts = Field(description="Photos by state")
    embedded: int | None = Field(description="Photos with vectors", examples=[154])
    faiss: str = Field(description="What searches: cpu, or gpu and which", examples=["cpu"])
    checks: list[HealthCheck] = Field(description="Every check that was made")


class GroupPhoto(BaseModel):
    """A photo of a group."""

    photo_id: PhotoId
    name: Name
    relation: str = Field(description="What it is to the first photo of the group", examples=["the same bytes"])


class DuplicateGroup(BaseModel):
    """Photos that are one picture; the one to keep comes first."""

    kind: str = Field(description="same-bytes, same-pixels, edited or burst", examples=["same-bytes"])
    why: str = Field(description="Why they are a group", examples=["equal byte for byte"])
    photos: list[GroupPhoto] = Field(description="The one to keep first")


class DuplicatesAnswer(BaseModel):
    """A page of the groups that are left to decide about, and where the search is."""

    running: bool = Field(description="Whether a search is at work")
    phase: str = Field(description="What it does", examples=["comparing"])
    done: int = Field(description="Steps of the phase done", examples=[0])
    total: int | None = Field(description="Steps of the phase; null while nobody knows", examples=[None])
    groups: list[DuplicateGroup] = Field(description="This page; empty before a search was made")
    groups_total: int = Field(description="Groups left to decide about", examples=[14])
    problem: str | None = Field(description="Why the search ended without an answer", examples=[None])


class Decision(BaseModel):
    """A decision about photos of one group."""

    verdict: str = Field(description="keep-one, keep-both or not-duplicate", examples=["keep-both"])
    photo_ids: list[int] = Field(description="Two photos or more of one group", examples=[[7, 9]], max_length=1000)


class Undo(BaseModel):
    """Photos about which a decision is taken back."""

    photo_ids: list[int] = Field(description="Photos that a decision is about", examples=[[7, 9]], max_length=1000)


class Done(BaseModel):
    """The request was carried out."""

    done: bool = Field(default=True, description="Always true; a refusal is an error")
