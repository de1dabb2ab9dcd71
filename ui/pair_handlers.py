"""What the Why tab's events do, as plain functions on plain values: a pair of pictures, a part of it, a cell of one of them.

A refusal that a person can do something about is part of the answer, in words, not an exception.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import numpy as np

from index.errors import LibraryError
from index.kept import Kept
from index.library import Library
from index.look import Example
from index.search import example_of_photo, find_similar
from index.why import Looked, PartWhy, explained, path_of, without_vector
from regconv.cell_geometry import CellGrid
from regconv.errors import RegconvError, UnreadableImage
from ui.handlers import Hit, refusal
from ui.maps import spoken_name
from ui.why_pictures import cell_edges, end_of_scale, part_name

NEIGHBOURS = 12
Picture = str | int  # a file that somebody gave the page, or a photo's id
Place = tuple[int, int, int]  # a cell: of the first picture (0) or the second (1), row, column


@dataclass(frozen=True)
class Score:
    """A part in words ("stage 2") with its cosine."""

    part: str
    is_whitened: bool
    words: str
    cosine: float


@dataclass(frozen=True)
class Pair:
    """Two pictures as they were seen: in a space, by the digests of their files, with the parts in which both have a vector."""

    pictures: tuple[Picture, Picture]
    space: str
    digests: tuple[str, str]
    scores: tuple[Score, ...]  # the last is the one that searches compare, where both have a vector in that


@dataclass(frozen=True)
class SideView:
    """One picture with the map over it. `cells` (rows, columns) and `constant` sum to what is explained.

    `rows` and `columns` are the edges of the cells on the picture, in its pixels, one more than there are cells.
    """

    name: str  # the file's, without folders
    photo_id: int | None
    picture: np.ndarray  # uint8 (h, w, 3), as the network got it
    cells: np.ndarray  # float64
    constant: float
    grid: CellGrid
    rows: list[float]
    columns: list[float]


@dataclass(frozen=True)
class CellView:
    """A cell of one of the pictures (`side` 0 or 1), what it adds, and the cells of the other that most of that is from."""

    side: int
    cell: tuple[int, int]  # row, column
    share: float
    constant: float  # of the share, what no cell of the other picture is the reason for
    best: list[tuple[tuple[int, int], float]]


@dataclass(frozen=True)
class PairView:
    """A part of two pictures. With `cell`, the other side's map is what each of its cells has in common with that one."""

    pair: Pair
    part: int  # which of the pair's scores
    cosine: float
    stored_cosine: float | None
    sides: tuple[SideView, SideView]
    limit: float  # the end of the scale of both maps
    average: float
    cell: CellView | None = None


@dataclass(frozen=True)
class PairResult:
    """What there is to show of two pictures; `problem` says why there is nothing, `notes` what to know of the files."""

    view: PairView | None = None
    notes: list[str] = field(default_factory=list)
    without_vector: list[str] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True)
class Query:
    """The picture that is asked about, as far as its file can be read, and the photos most like it."""

    name: str = ""
    photo_id: int | None = None
    picture: np.ndarray | None = None  # uint8 (h, w, 3), as the network got it
    hits: list[Hit] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)  # what it can be compared by, in words
    problem: str | None = None


def query_of(library: Library, kept: Kept, picture: Picture) -> Query:
    """A picture and its neighbours: of a photo from its stored vectors, also where its file is out of reach."""
    library = library.follow()
    photo_id = picture if isinstance(picture, int) else None
    try:
        path = path_of(library, picture)
    except LibraryError as error:
        return Query(problem=str(error))
    known = Query(os.path.basename(path), photo_id, parts=_part_words(library))
    try:
        looked = kept.look(library, path)
        known = replace(known, picture=looked.side.picture)
    except (LibraryError, RegconvError) as error:
        looked, known = None, replace(known, problem=_unreadable(library, picture, error))
    try:
        if photo_id is not None:
            example = example_of_photo(library, photo_id)
        elif looked is not None:
            vectors = {name: looked.vectors.vectors[name][0] for name in looked.vectors.names}
            example = Example(vectors, space=library.space.key)
        else:
            return known
        own = [] if example.content_id is None else [example.content_id]
        answer = find_similar(library, [example], k=NEIGHBOURS, without=own)
    except (LibraryError, RegconvError) as error:
        return replace(known, problem=known.problem or refusal(error))
    return replace(
        known, hits=[Hit(one.photo.id, os.path.basename(one.photo.path), one.score) for one in answer.neighbours]
    )


def pair_of(library: Library, kept: Kept, first: Picture, second: Picture) -> PairResult:
    """Two pictures, read anew, explained in the part that searches compare."""
    library = library.follow()
    looked: list[Looked] = []
    notes: list[str] = []
    for picture in (first, second):
        try:
            looked.append(kept.look(library, path_of(library, picture)))
        except (LibraryError, RegconvError) as error:
            return PairResult(problem=_unreadable(library, picture, error))
        notes += _changed(library, picture, looked[-1])
    both = (looked[0], looked[1])
    empty = without_vector(library, both)
    names = [name for name, _ in library.backbone.description.parts if name not in empty]
    if not names:
        return PairResult(notes=notes, problem=_like_nothing(both))
    parts = [part for name in names for part in explained(library, both, name).parts]
    scores = tuple(Score(part.name, part.is_searched, part_name(part), part.cosine) for part in parts)
    pair = Pair((first, second), library.space.key, (looked[0].digest, looked[1].digest), scores)
    view = _view(pair, len(parts) - 1, parts[-1], both)
    return PairResult(view, notes, [spoken_name(name) for name in empty])


def part_of(library: Library, kept: Kept, pair: Pair, part: int, cell: Place | None = None) -> PairResult:
    """A part of the pair that is shown, by its place among the scores; with `cell`, what that one matched in the other picture.

    The pictures are explained as they were seen: only where that is no longer kept are their files read again.
    """
    library = library.follow()
    if not 0 <= part < len(pair.scores) or (cell is not None and cell[0] not in (0, 1)):
        return PairResult(problem="There is no such part of this pair: choose one of the list.")
    if library.space.key != pair.space:
        return PairResult(problem="The library's model was changed since: choose the photo again.")
    looked: list[Looked] = []
    for picture, digest in zip(pair.pictures, pair.digests, strict=True):
        try:
            found = kept.find(pair.space, digest) or kept.look(library, path_of(library, picture))
        except (LibraryError, RegconvError) as error:
            return PairResult(problem=_unreadable(library, picture, error))
        if found.digest != digest:
            name = os.path.basename(found.side.path)
            return PairResult(problem=f"{name} was changed since it was shown here: choose the photo again.")
        looked.append(found)
    try:
        return PairResult(_explained(library, pair, part, (looked[0], looked[1]), cell))
    except LibraryError as error:  # no such cell
        return PairResult(problem=str(error))


def _explained(
    library: Library, pair: Pair, number: int, looked: tuple[Looked, Looked], place: Place | None
) -> PairView:
    score = pair.scores[number]

    def part_why(looked: tuple[Looked, Looked], cell: tuple[int, int] | None) -> PartWhy:
        parts = explained(library, looked, score.part, cell).parts
        return next(part for part in parts if part.is_searched == score.is_whitened)

    if place is None:
        return _view(pair, number, part_why(looked, None), looked)
    side, *cell = place
    # It is the first picture's cells that can be looked into: for the second's the two change places.
    part = part_why(looked if side == 0 else (looked[1], looked[0]), (cell[0], cell[1]))
    found = part.cells[0]
    chosen = CellView(side, found.cell, found.pairs.share, found.pairs.constant, found.best)
    maps = part.maps
    if side == 1:
        maps = replace(maps, first=maps.second, second=maps.first, constants=(maps.constants[1], maps.constants[0]))
    view = _view(pair, number, replace(part, maps=maps), looked)
    over = replace(view.sides[1 - side], cells=found.pairs.cells, constant=found.pairs.constant)
    sides = (view.sides[0], over) if side == 0 else (over, view.sides[1])
    limit, average = end_of_scale(over.cells), float(over.cells.mean())
    return replace(view, sides=sides, limit=limit, average=average, cell=chosen)


def _view(pair: Pair, number: int, part: PartWhy, looked: tuple[Looked, Looked]) -> PairView:
    maps = part.maps
    first, second = (
        _side(picture, one, cells, constant, part)
        for picture, one, cells, constant in zip(
            pair.pictures, looked, (maps.first, maps.second), maps.constants, strict=True
        )
    )
    limit, average = end_of_scale(maps.first, maps.second), float(np.append(maps.first, maps.second).mean())
    return PairView(pair, number, part.cosine, part.stored_cosine, (first, second), limit, average)


def _side(picture: Picture, looked: Looked, cells: np.ndarray, constant: float, part: PartWhy) -> SideView:
    seen, grid = looked.side.picture, part.grid
    rows, columns = (cell_edges(grid, side, count) for side, count in zip(seen.shape[:2], cells.shape, strict=True))
    photo_id = picture if isinstance(picture, int) else None
    return SideView(os.path.basename(looked.side.path), photo_id, seen, cells, constant, grid, rows, columns)


def _part_words(library: Library) -> list[str]:
    names = [spoken_name(name) for name in library.space.names]
    pooled = library.space.pooled
    searched = [] if library.indexes.whitening(pooled) is None else [f"{spoken_name(pooled)} as searched"]
    return [*names, *searched]


def _unreadable(library: Library, picture: Picture, error: Exception) -> str:
    """Why a file can't be shown, and what to do about a photo whose file is gone."""
    words = refusal(error)
    if not isinstance(error, UnreadableImage) or isinstance(picture, str) or os.path.exists(error.path):
        return words
    return f"{os.path.basename(error.path)} is not where it was when it was indexed: index its folder again in the Library tab."


def _changed(library: Library, picture: Picture, looked: Looked) -> list[str]:
    photo = library.catalog.photo(picture) if isinstance(picture, int) else None
    if photo is None or photo.digest == looked.digest:
        return []
    return [
        f"{os.path.basename(photo.path)} was changed after it was indexed: this is the file as it is now, the search knows "
        "the one before. Index its folder again in the Library tab."
    ]


def _like_nothing(looked: tuple[Looked, Looked]) -> str:
    blank = min(looked, key=lambda one: sum(norm[0] > 0 for norm in one.vectors.norms.values()))
    return (
        f"The network sees nothing at all in {os.path.basename(blank.side.path)}: its vectors are zero, which is like nothing. "
        "Choose a picture that is not all one colour."
    )
