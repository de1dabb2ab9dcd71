"""The pictures of `why`, looked at pixel by pixel: what adds is warm, what takes away is cold, nothing else is coloured."""

from __future__ import annotations

import numpy as np
import pytest

from index.why import CellMatches, PartWhy, Side, Why
from regconv.cell_geometry import CellGrid
from regconv.similarity_maps import PairMap, SimilarityMaps
from ui.why_pictures import cell_picture, part_picture

SIDE, CELLS, ZOOM = 110, 4, 4  # pixels of the prepared picture, cells, and pixels of a panel for each of its pixels
LEFT, TOP = 16, 40  # of the first panel
PANEL = SIDE * ZOOM


def why_of(first: np.ndarray, second: np.ndarray, grid: CellGrid, name: str = "first.jpg") -> tuple[Why, PartWhy]:
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    maps = SimilarityMaps(0.5, first, second, (0.1, 0.2))
    pairs = PairMap(0.4, second, 0.05)
    part = PartWhy("stage2", False, 0.5, 0.4999, maps, grid, [CellMatches((1, 2), pairs, [])])
    return Why("stage2", (Side(f"/a/{name}", grey, None), Side("/a/b.jpg", grey, None)), [part], []), part


def panels(sheet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = slice(TOP, TOP + PANEL)
    return sheet[rows, LEFT : LEFT + PANEL].astype(int), sheet[rows, 2 * LEFT + PANEL :][:, :PANEL].astype(int)


def warmth(panel: np.ndarray) -> np.ndarray:
    return panel[:, :, 0] - panel[:, :, 2]


def test_colours_say_the_sign_and_one_scale_holds_for_both() -> None:
    first, second = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    first[0, 1], first[2, 3], second[3, 0] = 0.2, -0.1, 0.1
    left, right = (warmth(panel) for panel in panels(part_picture(*why_of(first, second, CellGrid(13.0, 28)))))
    size = 28 * ZOOM
    assert left[size // 2, size * 3 // 2] == left.max() > 150
    assert left[size * 5 // 2, size * 7 // 2 - 8] == left.min() < -50
    strong, half = left.max(), right[-20, 20]
    assert half == right.max()
    assert half == pytest.approx(strong / 2, abs=3)
    assert (left != 0).sum() == pytest.approx(2 * size**2, rel=0.1)
    assert (right == 0).sum() == pytest.approx(PANEL**2 - size**2, rel=0.1)


def test_cells_are_blocks_around_their_centres() -> None:
    first = np.zeros((CELLS, CELLS))
    first[1, 1] = 1.0
    for grid, begin in ((CellGrid(13.5, 28), 28), (CellGrid(0.0, 28), 14.5)):
        left, _ = panels(part_picture(*why_of(first, first, grid)))
        rows, columns = np.nonzero(warmth(left))
        assert (rows.min(), rows.max() + 1) == (columns.min(), columns.max() + 1) == (begin * ZOOM, (begin + 28) * ZOOM)
        assert len(rows) == (28 * ZOOM) ** 2  # filled, with hard edges
        assert len(np.unique(left[rows, columns], axis=0)) == 1


def test_a_chosen_cell_is_framed_and_its_pairs_lie_over_the_other_picture() -> None:
    second = np.zeros((CELLS, CELLS))
    second[0, 0] = 0.3
    why, part = why_of(np.ones((CELLS, CELLS)), second, CellGrid(13.5, 28))
    left, right = (warmth(panel) for panel in panels(cell_picture(why, part, part.cells[0])))
    rows, columns = np.nonzero(left)
    assert (rows.min(), rows.max() + 1) == (28 * ZOOM, 56 * ZOOM)
    assert (columns.min(), columns.max() + 1) == (56 * ZOOM, 84 * ZOOM)
    assert left[42 * ZOOM, 70 * ZOOM] == 0
    assert right[5, 5] == right.max() > 150


def test_maps_of_zeros_and_of_one_cell_and_long_odd_names_can_be_drawn() -> None:
    name = "n\u00e4me \udcff of a file " + "x" * 200 + ".jpg"
    for shape in ((1, 1), (CELLS, 1), (SIDE, SIDE)):
        why, part = why_of(np.zeros(shape), np.zeros(shape), CellGrid(0.0, 1), name)
        assert (warmth(panels(part_picture(why, part))[0]) == 0).all()


def test_a_large_picture_is_not_enlarged() -> None:
    why, part = why_of(np.ones((CELLS, CELLS)), np.ones((CELLS, CELLS)), CellGrid(0.0, 200))
    large = Side("/a/large.jpg", np.zeros((700, 700, 3), np.uint8), None)
    assert part_picture(Why("stage2", (large, large), why.parts, []), part).shape[1] == 2 * 700 + 3 * LEFT
