"""Why two pictures are alike: for every part their cosine as a sum over the cells of either picture (docs/why.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from index.errors import LibraryError
from index.library import Library
from index.look import Sees
from index.whitening import Whitening
from regconv.backbone import Parts
from regconv.cell_geometry import CellGrid, cell_grids
from regconv.similarity_maps import PairMap, SimilarityMaps, Turn, pair_map, similarity_maps

BEST = 3  # cells that are listed by themselves

Picture = str | int  # a file, or the id of a photo of the library
Cell = tuple[int, int]  # row, column


@dataclass(frozen=True)
class CellMatches:
    """A cell of the first picture, what it adds to the cosine, and over the second picture where that comes from."""

    cell: Cell
    pairs: PairMap
    best: list[tuple[Cell, float]]  # cells of the second picture, and what the two add together, the most first


@dataclass(frozen=True)
class PartWhy:
    """One part's cosine, computed afresh as a search would, and its maps, which sum to it within 1e-5.

    stored_cosine is that of the library's stored vectors; None where it has not both contents. is_searched: of whitened
    vectors, as searches of this library compare the pooled part; stored_cosine is then the score that they show.
    """

    name: str
    is_searched: bool
    cosine: float
    stored_cosine: float | None
    maps: SimilarityMaps
    grid: CellGrid
    cells: list[CellMatches]


@dataclass(frozen=True)
class Side:
    """One of the two pictures: its file, the pixels as the network got them, uint8 (h, w, 3), its content in the library."""

    path: str
    picture: np.ndarray
    content_id: int | None


@dataclass(frozen=True)
class Why:
    """What two pictures have in common. `part` is the one that was asked for, `empty` names those without a vector."""

    part: str
    sides: tuple[Side, Side]
    parts: list[PartWhy]
    empty: list[str]

    @property
    def chosen(self) -> PartWhy:
        """The part that was asked for, as it is without whitening."""
        return next(part for part in self.parts if part.name == self.part)


@dataclass(frozen=True)
class Looked:
    """A picture with what the network makes of it: vectors, and a map (c, h, w) for every part. `digest`: of the file's bytes."""

    side: Side
    digest: str
    vectors: Parts
    maps: dict[str, np.ndarray]

    @property
    def nbytes(self) -> int:
        """The memory that the maps and the picture take; the pooled part's map is the last stage's."""
        return self.side.picture.nbytes + sum(maps.nbytes for name, maps in self.maps.items() if name != "pooled")


Pair = tuple[Looked, Looked]


@dataclass(frozen=True)
class _Asked:
    """A part to explain: where its cells lie, which one is looked into (None: those that add most), how it is whitened."""

    name: str
    grid: CellGrid
    cell: Cell | None
    whitening: Whitening | None = None

    def compared(self, vector: np.ndarray) -> np.ndarray:
        """A stored or fresh vector (d,) as it is compared."""
        return vector if self.whitening is None else self.whitening.of(vector[None])[0]


def why_alike(eyes: Sees, first: Picture, second: Picture, part: str | None = None, cell: Cell | None = None) -> Why:
    """Every part of two pictures, or `part` alone; `cell` of the first picture's map is then the one looked into.

    The files are read again. Without `cell` the cells that add most are looked into; with it but no `part`, the pooled part
    is the one meant. Raises UnreadableImage; LibraryError for an unknown photo, part or cell, and where a picture has a
    vector of zeros in the part that was asked for; CheckpointError where the network gives values that are not finite.
    """
    must_have_part(eyes, part)
    return explained(eyes, (looked_at(eyes, path_of(eyes, first)), looked_at(eyes, path_of(eyes, second))), part, cell)


def explained(eyes: Sees, looked: Pair, part: str | None = None, cell: Cell | None = None) -> Why:
    """`why_alike` of two pictures that were looked at with these eyes: no file is read, and the network does not run."""
    must_have_part(eyes, part)
    description = eyes.backbone.description
    names = [name for name, _ in description.parts]
    chosen = part or description.pooled
    empty = without_vector(eyes, looked)
    if chosen in empty:
        blank = next(one.side.path for one in looked if not one.vectors.norms[chosen][0])
        raise LibraryError(
            f"The network sees nothing at all in {os.path.basename(blank)}: its vector of {chosen} is zero, which is like "
            "nothing. Give a picture that is not all one colour, or another part."
        )
    grids = cell_grids(description.config)
    grids["pooled"] = grids[description.stages[-1].name]
    seen = [name for name in ([part] if part else names) if name not in empty]
    asked = [_Asked(name, grids[name], cell if name == chosen else None) for name in seen]
    if description.pooled in seen and (whitening := _whitening(eyes, looked)) is not None:
        asked += [replace(one, whitening=whitening) for one in asked if one.name == description.pooled]
    parts = [_part_why(eyes, one, looked) for one in asked]
    return Why(chosen, (looked[0].side, looked[1].side), parts, [] if part else empty)


def must_have_part(eyes: Sees, part: str | None) -> None:
    """Raises LibraryError where the network has no such part; None is any."""
    names = [name for name, _ in eyes.backbone.description.parts]
    if part is not None and part not in names:
        raise LibraryError(f"There is no part {part!r} in this network. It has {', '.join(names)}.")


def without_vector(eyes: Sees, looked: Pair) -> list[str]:
    """The parts in which one of the two has a vector of zeros."""
    names = [name for name, _ in eyes.backbone.description.parts]
    return [name for name in names if not all(one.vectors.norms[name][0] for one in looked)]


def path_of(eyes: Sees, picture: Picture) -> str:
    """A picture's file. Raises LibraryError for an unknown photo."""
    if isinstance(picture, str):
        return picture
    if not isinstance(eyes, Library):
        raise LibraryError(f"The photo {picture} is asked for by its id, but there is no library. Give its file.")
    photo = eyes.catalog.photo(picture)
    if photo is None:
        raise LibraryError(f"There is no photo with the id {picture} in this library.")
    return photo.path


def looked_at(eyes: Sees, path: str, known: Callable[[str], Looked | None] = lambda digest: None) -> Looked:
    """A file, read now, with what the network makes of it, which `known` may have by the digest of the file's bytes.

    Raises UnreadableImage; CheckpointError where the network gives values that are not finite.
    """
    decoded = eyes.decoder.picture(path)
    content_id = None
    if isinstance(eyes, Library):
        # By the bytes that were just read: the photo may have changed since it was indexed.
        content_id = eyes.catalog.contents_with([decoded.digest]).get(decoded.digest)
    side = Side(path, decoded.picture, content_id)
    if (seen := known(decoded.digest)) is not None:
        return replace(seen, side=side)
    backbone = eyes.backbone
    vectors = backbone.embed(decoded.picture[None])
    features = backbone.features(decoded.picture[None])
    maps = {info.name: stage[0] for info, stage in zip(backbone.description.stages[1:], features.stages, strict=True)}
    maps["pooled"] = features.stages[-1][0]
    return Looked(side, decoded.digest, vectors, maps)


def _whitening(eyes: Sees, pictures: Pair) -> Whitening | None:
    """How the library's searches whiten the pooled part; None where they don't, or nothing is left of a picture."""
    if not isinstance(eyes, Library):
        return None
    pooled = eyes.space.pooled
    whitening = eyes.indexes.whitening(pooled)
    if whitening is None or not all(whitening.of(one.vectors.vectors[pooled]).any() for one in pictures):
        return None
    return whitening


def _part_why(eyes: Sees, asked: _Asked, pictures: Pair) -> PartWhy:
    name, whitening = asked.name, asked.whitening
    pooling = eyes.backbone.pooling if name == "pooled" else None
    turn = None if whitening is None else Turn(whitening.mean, whitening.turn)
    x, y = (one.maps[name] for one in pictures)
    maps = similarity_maps(x, y, pooling, turn)
    _must_have(asked, maps.first.shape)
    cells = [place for place, _ in _most(maps.first)] if asked.cell is None else [asked.cell]
    pairs = [pair_map(x, y, cell, pooling, turn) for cell in cells]
    return PartWhy(
        name,
        whitening is not None,
        _cosine(*(asked.compared(one.vectors.vectors[name][0]) for one in pictures)),
        _stored_cosine(eyes, asked, [one.side.content_id for one in pictures]),
        maps,
        asked.grid,
        [CellMatches(cell, one, _most(one.cells)) for cell, one in zip(cells, pairs, strict=True)],
    )


def _must_have(asked: _Asked, shape: tuple[int, ...]) -> None:
    rows, columns = shape
    if asked.cell is not None and not (0 <= asked.cell[0] < rows and 0 <= asked.cell[1] < columns):
        raise LibraryError(
            f"There is no cell {asked.cell[0]},{asked.cell[1]} in {asked.name} of this picture. It has rows 0 to {rows - 1} "
            f"and columns 0 to {columns - 1}."
        )


def _most(cells: np.ndarray) -> list[tuple[Cell, float]]:
    """The cells of the largest values, the largest first, of even ones the first."""
    order = np.argsort(-cells, axis=None, kind="stable")[:BEST]
    rows, columns = np.unravel_index(order, cells.shape)
    return [((int(row), int(column)), float(cells[row, column])) for row, column in zip(rows, columns, strict=True)]


def _stored_cosine(eyes: Sees, asked: _Asked, contents: list[int | None]) -> float | None:
    if not isinstance(eyes, Library):
        return None
    stored = eyes.stored({content for content in contents if content is not None}, asked.name)
    found = [asked.compared(stored[content]) for content in contents if content in stored]
    return _cosine(*found) if len(found) == 2 and all(one.any() for one in found) else None


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
