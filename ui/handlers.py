"""What the page's events do, as plain functions on plain values: no Gradio here, and no HTML.

A refusal that a person can do something about is part of the answer, in words, not an exception.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from index.errors import LibraryError
from index.gpu import faiss_device
from index.library import Library
from index.look import Example, look_at
from index.search import EVERYTHING, Answer, Neighbour, example_of_photo, find_similar
from index.teach import own_labels, taught, teach
from regconv.errors import RegconvError, UnreadableImage
from ui.maps import Sheet, stage_sheets

log = logging.getLogger(__name__)

NEIGHBOURS = 12
EMPTY_LIBRARY = (
    "No photos yet. Open the Library tab, name a folder with pictures and press Start: its photos show up here."
)
NOT_ASKED = Answer([], exact=True)
READ_ONLY = "This library can only be looked at and searched: its folder can't be written to."


@dataclass(frozen=True)
class Hit:
    """A neighbour as the page shows it."""

    photo_id: int
    name: str  # the file's, without folders
    score: float


@dataclass(frozen=True)
class LookResult:
    """What the page shows of one query picture. `problem` says what could not be done, and then the rest may be empty."""

    title: str
    labels: list[tuple[str, float]] = field(default_factory=list)  # (words, probability)
    sheets: list[Sheet] = field(default_factory=list)
    saw: np.ndarray | None = None  # uint8 (h, w, 3): the picture as the network got it
    hits: list[Hit] = field(default_factory=list)
    exact: bool = True
    problem: str | None = None
    hint: str | None = None  # why there are no hits, and what to do
    own: list[tuple[str | None, float]] = field(default_factory=list)  # taught words, None for "none of these"
    example: Example | None = None  # the picture as a part of a query


@dataclass(frozen=True)
class Lesson:
    """What came of teaching a photo a word; `problem` says why nothing did."""

    words: str = ""
    own: list[tuple[str | None, float]] = field(default_factory=list)  # what the taught words now say of it
    problem: str | None = None


@dataclass(frozen=True)
class Machine:
    """What works here: shown on every page, so that nobody has to guess."""

    model: str
    engine: str
    device: str
    faiss: str
    problem: str | None = None  # why the network can't be loaded


def machine(library: Library) -> Machine:
    """Model, engine, device and FAISS; loads the network if nobody has yet."""
    library = library.follow()
    try:
        backbone = library.backbone
    except (LibraryError, RegconvError) as error:
        return Machine(model_name(library), "", "", faiss_device(), str(error))
    return Machine(model_name(library), backbone.engine, backbone.device, faiss_device())


def model_name(library: Library) -> str:
    """The model's hub name, or the last part of its folder: pages show no paths of the computer."""
    return os.path.basename(library.model) if os.path.isabs(library.model) else library.model


def is_text(name: str) -> bool:
    """Whether a page can be sent this name: one of a file or folder that is not UTF-8 carries surrogates."""
    return name.encode("utf-8", "replace").decode() == name


def refusal(error: Exception) -> str:
    """Why something could not be done, in words: pages show no paths of the computer."""
    if isinstance(error, UnreadableImage):
        return f"{os.path.basename(error.path)} could not be read as a picture: {error.reason}."
    return str(error)


def look_at_upload(library: Library, path: str, name: str | None = None, k: int = NEIGHBOURS) -> LookResult:
    """Labels, maps and k neighbours of a picture file that somebody gave the page."""
    library = library.follow()
    title = name or os.path.basename(path)
    try:
        look = look_at(library, path)
        answer = find_similar(library, [look.example], k=k) if k else NOT_ASKED
        own = _own_words(library, look.example)
    except UnreadableImage as error:
        return LookResult(title, problem=f"{title} could not be read as a picture: {error.reason}.")
    except (LibraryError, RegconvError) as error:
        return LookResult(title, problem=str(error))
    sheets = stage_sheets(look.features.stem, look.features.stages, library.description.stages)
    hint = None if answer.neighbours else EMPTY_LIBRARY
    example = look.example
    return LookResult(
        title, _labels(look.labels), sheets, look.picture, *_hits(answer), hint=hint, own=own, example=example
    )


def look_at_photo(library: Library, photo_id: int, k: int = NEIGHBOURS) -> LookResult:
    """The same of a photo of the library. Its neighbours come from its stored vectors, even where the file is out of reach."""
    library = library.follow()
    photo = library.catalog.photo(photo_id)
    if photo is None:
        return LookResult("", problem=f"There is no photo with the number {photo_id} in this library any more.")
    title = os.path.basename(photo.path)
    try:
        example = example_of_photo(library, photo_id)
        without = [] if example.content_id is None else [example.content_id]
        answer = find_similar(library, [example], k=k, without=without) if k else NOT_ASKED
        own = _own_words(library, example)
    except UnreadableImage as error:
        return LookResult(title, problem=f"{title} could not be read: {error.reason}.")
    except (LibraryError, RegconvError) as error:
        return LookResult(title, problem=str(error))
    hits, exact = _hits(answer)
    hint = None if hits else "This is the only photo in the library. Index more folders in the Library tab."
    try:
        look = look_at(library, photo.path)
    except (LibraryError, RegconvError) as error:
        reason = f"{error.reason}." if isinstance(error, UnreadableImage) else str(error)
        known = _stored_labels(library, photo.content_id)
        trouble = f"The file can't be read now: {reason}"
        return LookResult(title, known, [], None, hits, exact, trouble, hint, own, example)
    sheets = stage_sheets(look.features.stem, look.features.stages, library.description.stages)
    labels = _labels(look.labels)
    return LookResult(title, labels, sheets, look.picture, hits, exact, hint=hint, own=own, example=example)


def photos_to_try(library: Library, count: int) -> list[Hit]:
    """Photos from all over the library, each time the same."""
    library = library.follow()
    library.vectors.refresh()
    sample = library.vectors.sample(4 * count).tolist()  # some may be gone
    found = library.catalog.photos(sample, EVERYTHING, library.space_id)
    hits = [Hit(photos[0].id, os.path.basename(photos[0].path), 1.0) for photos in found.values()]
    return hits[:: max(1, len(hits) // count)][:count]


def word_to_try(library: Library, photos: Sequence[Hit]) -> tuple[str, Hit] | None:
    """The name that the network is surest of among these photos, and the photo."""
    library = library.follow()
    named: list[tuple[float, str, Hit]] = []
    for hit in photos:
        photo = library.catalog.photo(hit.photo_id)
        labels = [] if photo is None else _stored_labels(library, photo.content_id)
        named += [(score, words.partition(",")[0], hit) for words, score in labels[:1]]
    return max(named, key=lambda one: one[0])[1:] if named else None


def teach_word(library: Library, photo_id: int, word: str) -> Lesson:
    """Mark a photo of the library with a word and learn from that."""
    library = library.follow()
    if library.catalog.is_read_only:
        return Lesson(problem=READ_ONLY)
    word = word.strip()
    try:
        example = example_of_photo(library, photo_id)
        assert example.content_id is not None  # a photo with vectors has a content
        is_fitted = teach(library, {word: [example.content_id]}) is not None
    except (LibraryError, RegconvError) as error:
        return Lesson(problem=str(error))
    count = library.catalog.words()[word]
    more = (
        "More photos make it surer." if is_fitted else "Teach another photo a second word: it takes two to tell apart."
    )
    return Lesson(
        f"{photo_name(library, photo_id)} marked. {word}: {count} photo{'s' * (count != 1)}. {more}",
        _own_words(library, example),
    )


def photo_name(library: Library, photo_id: int) -> str:
    """A photo's file name, without folders."""
    photo = library.follow().catalog.photo(photo_id)
    return f"photo {photo_id}" if photo is None else os.path.basename(photo.path)


def view_of_photo(library: Library, photo_id: int, max_side: int = 1024) -> bytes | None:
    """A photo of the library as JPEG bytes, upright and without metadata, or None where it can't be shown."""
    library = library.follow()
    photo = library.catalog.photo(photo_id)
    if photo is None:
        return None
    try:
        return library.decoder.view(photo.path, max_side=max_side)
    except UnreadableImage:
        return library.thumbnails.read(photo.digest) if photo.digest else None


def _hits(answer: Answer) -> tuple[list[Hit], bool]:
    return [_hit(neighbour) for neighbour in answer.neighbours], answer.exact


def _hit(neighbour: Neighbour) -> Hit:
    return Hit(neighbour.photo.id, os.path.basename(neighbour.photo.path), neighbour.score)


def _own_words(library: Library, example: Example) -> list[tuple[str | None, float]]:
    return own_labels(taught(library), example.vectors, k=3)


def _labels(labels: Sequence[tuple[int, str, float]]) -> list[tuple[str, float]]:
    return [(words, probability) for _, words, probability in labels]


def _stored_labels(library: Library, content_id: int | None) -> list[tuple[str, float]]:
    if content_id is None:
        return []
    return [(library.label(index), score) for index, score in library.catalog.labels(content_id, library.space_id)]
