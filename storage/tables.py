"""The catalogue's tables (design.md section 4).

content   one row for each distinct sequence of bytes: what was learnt from them belongs here
photo     one row for each path ever seen: a photo points to its content
space     one row for each way of making vectors (weights + preprocessing + decoding)
shard     one row for each immutable file of vectors      vector   (content, space) -> (shard, row)
label     the model's top labels of a content             generation   saved FAISS files, a cache
mark      a word that the user gave a content             probe        what a space learnt from the marks
decision  what the user said of contents that look like   fingerprint  what duplicates are found by: derived from thumbnails
          each other, decision_content each of them             relation     what of that was found out, pair by pair
job       runs with their lease, progress and report      setting      what the library was told once
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PRESENT, UNREADABLE, GONE = "present", "unreadable", "gone"

# SQLite gives an automatic row id only to a column typed exactly INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


class FilePath(TypeDecorator[str]):
    """A path as the bytes that the file system knows: text columns refuse names that are not UTF-8.

    Bytes also compare in the same order everywhere, so that a folder is one range of the index.
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | bytes | None, dialect: Dialect) -> bytes | None:
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else os.fsdecode(value)


class Words(TypeDecorator[str]):
    """Text that came from a file or a decoder: what no database takes as text is written as an escape.

    One file's lone surrogate or zero byte must not fail the transaction of four thousand others.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012  (SQLAlchemy's own protocol)


class Setting(Base):
    __tablename__ = "setting"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Content(Base):
    __tablename__ = "content"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)  # BLAKE2b-256 of the file's bytes, hex
    size: Mapped[int] = mapped_column(BigInteger, index=True)  # bytes
    width: Mapped[int] = mapped_column(Integer)  # pixels, upright
    height: Mapped[int] = mapped_column(Integer)
    format: Mapped[str] = mapped_column(String(16))
    taken_at: Mapped[datetime | None] = mapped_column(index=True)  # EXIF, the camera's own clock, no zone
    camera: Mapped[str | None] = mapped_column(Words, index=True)


class Photo(Base):
    __tablename__ = "photo"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    path: Mapped[str] = mapped_column(FilePath, unique=True)
    content_id: Mapped[int | None] = mapped_column(ForeignKey("content.id"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), index=True)  # PRESENT, UNREADABLE or GONE
    reason: Mapped[str | None] = mapped_column(Words)  # why it is unreadable


class Space(Base):
    __tablename__ = "space"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    model: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]]  # parts with their widths, preprocessing, labels: enough to search without the model
    created_at: Mapped[datetime]


class Shard(Base):
    __tablename__ = "shard"
    # "Every shard up to this one" must keep its meaning after the newest was given up: no id is given out twice.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  (SQLAlchemy's own protocol)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("space.id"), index=True)
    file: Mapped[str] = mapped_column(String(128), unique=True)  # below the library's shards/
    rows: Mapped[int] = mapped_column(Integer)
    bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str] = mapped_column(String(64))
    provenance: Mapped[dict[str, Any]]  # engine, precision, versions
    created_at: Mapped[datetime]


class Vector(Base):
    __tablename__ = "vector"
    __table_args__ = (UniqueConstraint("shard_id", "row"),)
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("space.id"), primary_key=True)
    shard_id: Mapped[int] = mapped_column(ForeignKey("shard.id"))
    row: Mapped[int] = mapped_column(Integer)


class Label(Base):
    __tablename__ = "label"
    __table_args__ = (Index("ix_label_space_index", "space_id", "label_index"),)
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("space.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(Integer, primary_key=True)  # 0 is the most likely
    label_index: Mapped[int] = mapped_column(Integer)
    score: Mapped[float]  # softmax probability


class Mark(Base):
    __tablename__ = "mark"
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True)
    word: Mapped[str] = mapped_column(Words, primary_key=True, index=True)


class Probe(Base):
    __tablename__ = "probe"
    space_id: Mapped[int] = mapped_column(ForeignKey("space.id"), primary_key=True)
    words: Mapped[list[str]]
    weights: Mapped[bytes] = mapped_column(LargeBinary)  # float32 little-endian, (width + 1, words) row by row
    calibration: Mapped[dict[str, Any]]  # parts, temperature, what was held out: see index/probe.py
    created_at: Mapped[datetime]


class Decision(Base):
    __tablename__ = "decision"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    verdict: Mapped[str] = mapped_column(String(16))  # storage/decisions.py
    decided_at: Mapped[datetime]


class DecisionContent(Base):
    __tablename__ = "decision_content"
    decision_id: Mapped[int] = mapped_column(ForeignKey("decision.id"), primary_key=True)
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True, index=True)
    copies: Mapped[int] = mapped_column(Integer)  # photos of this content that were decided about


class Fingerprint(Base):
    __tablename__ = "fingerprint"
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)  # index/fingerprint.py: another one is computed anew
    hash: Mapped[bytes] = mapped_column(LargeBinary)  # 64 bits, little-endian
    contrast: Mapped[float]
    sharpness: Mapped[float]
    colour: Mapped[float]
    detail_px: Mapped[int | None] = mapped_column(
        Integer
    )  # long side that the original's detail would need, once asked
    compared: Mapped[bool]  # by its hash with what was there
    compared_in: Mapped[int | None] = mapped_column(ForeignKey("space.id"))  # by its vectors of this space


class Relation(Base):
    __tablename__ = "relation"
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True)
    other_id: Mapped[int] = mapped_column(ForeignKey("content.id"), primary_key=True, index=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # index/duplicate_relation.py
    words: Mapped[str] = mapped_column(Text)
    first_share: Mapped[float]
    second_share: Mapped[float]
    in_place: Mapped[bool]
    turned: Mapped[bool]


class Generation(Base):
    __tablename__ = "generation"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("space.id"), index=True)
    part: Mapped[str] = mapped_column(String(32))
    file: Mapped[str] = mapped_column(String(128), unique=True)  # below the library's cache/
    bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(Integer)
    last_shard: Mapped[int] = mapped_column(Id)  # every shard up to this one is inside
    created_at: Mapped[datetime]


class Job(Base):
    __tablename__ = "job"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(12), index=True)  # running, done, failed, interrupted
    folders: Mapped[list[str]]
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    process_started: Mapped[float]  # seconds (jobs._started): with pid, names one process for good
    lease_until: Mapped[float]  # seconds since the epoch
    stop_asked: Mapped[bool]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any] | None]
