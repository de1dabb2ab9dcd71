"""The plain values that go into the catalogue and come out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.shards import ShardFile

MOST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What a folder says of a file: if size and mtime are as before, its bytes are taken to be."""

    path: str
    size: int  # bytes
    mtime_ns: int

    def __post_init__(self) -> None:
        # A file may say that it is of the year 2400; the catalogue counts in 64 bits, which end in 2262.
        object.__setattr__(self, "mtime_ns", max(-MOST_NS, min(self.mtime_ns, MOST_NS)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the catalogue knows of a file that a scan met."""

    stamp: FileStamp
    photo_id: int | None
    digest: str | None  # of its content, while it is present
    unchanged: bool  # present, same stamp, and embedded in the space asked about
    failed: str | None  # the reason, where a file with this very stamp could not be read before


@dataclass(frozen=True)
class ContentFacts:
    """What was learnt from a file's bytes by decoding them."""

    digest: str  # BLAKE2b-256, hex
    size: int  # bytes
    width: int  # pixels, upright
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    labels: Sequence[tuple[int, float]] = ()  # (label index, probability), the most likely first


@dataclass
class Batch:
    """What one transaction stores. Row i of the shard belongs to contents[i]."""

    contents: list[ContentFacts] = field(default_factory=list)
    shard: ShardFile | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    photos: list[tuple[FileStamp, str]] = field(default_factory=list)  # (file, digest of its content)
    failures: list[tuple[FileStamp, str]] = field(default_factory=list)  # (file, reason)


@dataclass(frozen=True)
class PhotoRecord:
    """A photo with what is known of its content."""

    id: int
    path: str
    state: str
    content_id: int | None = None
    digest: str | None = None
    width: int | None = None
    height: int | None = None
    taken_at: datetime | None = None
    camera: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Filter:
    """Which photos may be found. Every condition given must hold."""

    folder: str | None = None  # an absolute path; everything below it
    after: datetime | None = None  # from this moment on
    before: datetime | None = None  # up to, not including
    camera: str | None = None  # part of the camera's name, any case

    def __bool__(self) -> bool:
        return any(value is not None for value in (self.folder, self.after, self.before, self.camera))


@dataclass(frozen=True)
class ProbeRecord:
    """What a space learnt from the marks (index/probe.py)."""

    words: list[str]
    weights: bytes
    calibration: dict[str, Any]


@dataclass(frozen=True)
class JobRecord:
    """A run: its state, what it has done so far, and its report once it has ended.

    States: running, done, failed, interrupted (what it had begun can be gone on with), cancelled (it is not to be).
    """

    id: int
    kind: str
    state: str
    folders: list[str]
    started_at: datetime
    finished_at: datetime | None
    progress: dict[str, Any]
    report: dict[str, Any] | None
    stop_asked: bool
    cancel_asked: bool = False


@dataclass(frozen=True)
class ShardUse:
    """A shard, what made its vectors, and how many of its rows a content still points to."""

    id: int
    file: ShardFile
    provenance: dict[str, Any]
    live: int


@dataclass(frozen=True)
class GenerationRecord:
    """A saved FAISS file and what it holds."""

    id: int
    part: str
    file: str
    bytes: int
    checksum: str
    count: int
    last_shard: int
