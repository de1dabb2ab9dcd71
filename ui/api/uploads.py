"""Uploads become files of a private folder for as long as a request takes; a client's file name is never used as a path."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import UploadFile

from index.library import Library
from regconv.image_formats import HEAD_BYTES, looks_like_image
from ui.api.route import Refused, without_folders
from ui.handlers import machine

NAME_LENGTH = 120


@dataclass(frozen=True)
class Upload:
    """A file that a client gave: where it lies now, and what the client calls it."""

    path: str
    name: str


@contextmanager
def uploaded(*lists: Sequence[UploadFile]) -> Iterator[list[list[Upload]]]:
    """The files, lists as they were given; deleted at the end. Raises Refused where one is empty or no picture."""
    with tempfile.TemporaryDirectory(prefix="regconv-upload-") as folder:
        kept: list[list[Upload]] = []
        for files in lists:
            kept.append([_kept(file, Path(folder, f"upload-{len(kept)}-{place}")) for place, file in enumerate(files)])
        yield kept


def in_words(problem: str, uploads: Sequence[Upload] = ()) -> str:
    """A handler's refusal, in which an upload has its client's name and nothing has a path."""
    for upload in uploads:
        problem = problem.replace(upload.path, upload.name).replace(Path(upload.path).name, upload.name)
    return without_folders(problem)


def must_do(problem: str | None, uploads: Sequence[Upload] = ()) -> None:
    """Raises Refused with a handler's words, where it has some."""
    if problem is not None:
        raise Refused(422, in_words(problem, uploads))


def must_know(library: Library, photo_ids: Sequence[int]) -> None:
    """Raises Refused where one of these is no photo of the library."""
    for photo_id in photo_ids:
        if not 0 < photo_id < 2**63 or library.catalog.photo(photo_id) is None:
            raise Refused(404, f"There is no photo with the number {photo_id} in this library.")


def must_see(library: Library) -> None:
    """Raises Refused where the network can't be had, without which nothing that is not stored can be looked at."""
    problem = machine(library).problem
    if problem is not None:
        raise Refused(503, without_folders(problem))


def _kept(file: UploadFile, path: Path) -> Upload:
    name = re.split(r"[/\\]", file.filename or "")[-1][:NAME_LENGTH] or "the upload"
    with path.open("wb") as out:
        shutil.copyfileobj(file.file, out)
    if not path.stat().st_size:
        raise Refused(415, f"{name} is empty: give a picture file.")
    with path.open("rb") as written:
        head = written.read(HEAD_BYTES)
    if not looks_like_image("", head):
        raise Refused(415, f"{name} is no picture that can be read: give a JPEG, PNG, WebP, HEIC, TIFF or the like.")
    return Upload(str(path), name)
