"""The Why tab's HTML: hostile names stay words, sums and cells are told as they are, edges lie where the map is painted."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from regconv.cell_geometry import CellGrid
from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui.handlers import Hit
from ui.pair_handlers import CellView, Pair, PairResult, PairView, Query, Score, SideView
from ui.tabs import why_markup
from ui.why_pictures import cell_edges, overlay

GRIDS = [(0.0, 32, 144, 5), (15.5, 32, 224, 7), (1.5, 4, 100, 25), (0.0, 2, 7, 4), (3.5, 8, 30, 3)]


def side_of(cells: list[list[float]], constant: float = 0.0, name: str = HOSTILE) -> SideView:
    values, grid = np.array(cells), CellGrid(1.5, 4)
    height, width = (4 * count for count in values.shape)
    picture = np.full((height, width, 3), 90, np.uint8)
    edges = (cell_edges(grid, side, count) for side, count in zip((height, width), values.shape, strict=True))
    return SideView(name, 7, picture, values, constant, grid, *edges)


def view_of(constant: float = 0.0) -> PairView:
    scores = (Score("stage1", False, HOSTILE, 0.9), Score("stage4", False, "stage 4", 0.5))
    sides = (side_of([[0.3, 0.1 - constant], [0.2, -0.1]], constant), side_of([[0.5 - constant], [0.0]], constant))
    return PairView(Pair((7, 8), "space", ("a", "b"), scores), 1, 0.5, 0.5001, sides, 0.5, 0.1)


def cell_of(share: float = 0.3, best: tuple[float, ...] = (0.2,)) -> CellView:
    return CellView(0, (1, 0), share, 0.0, [((row, 0), value) for row, value in enumerate(best)])


QUERY = Query(HOSTILE, None, np.zeros((8, 8, 3), np.uint8), [Hit(7, HOSTILE, 0.98765)], [HOSTILE], HOSTILE)
PIECES = {
    "scores": lambda: why_markup.scores(view_of(), [HOSTILE]),
    "no scores": lambda: why_markup.scores(None, parts=[HOSTILE]),
    "pair": lambda: why_markup.pair(QUERY, PairResult(view_of(), [HOSTILE]), 0.5),
    "cell": lambda: why_markup.pair(None, PairResult(replace(view_of(), cell=cell_of()))),
    "refused": lambda: why_markup.pair(QUERY, PairResult(None, [HOSTILE], problem=HOSTILE)),
    "query": lambda: why_markup.pair(QUERY),
    "unreadable query": lambda: why_markup.pair(replace(QUERY, picture=None)),
    "neighbours": lambda: why_markup.neighbours(QUERY, 7),
    "no neighbours": lambda: why_markup.neighbours(replace(QUERY, hits=[])),
}


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str) -> None:
    must_be_words_only(PIECES[piece]())


def test_what_the_cells_sum_to_is_said_beside_the_score() -> None:
    plain = view_of()
    same = "The cells of either picture sum to 0.5000 = the score of a search with the picture (0.5000)."
    assert why_markup.sum_words(plain, 0.49999) == same
    assert why_markup.sum_words(plain, 0.4998).endswith("is 0.4998, as stored vectors are rounded to half precision.")
    other = replace(plain, part=0, stored_cosine=0.50001)
    assert why_markup.sum_words(other, 0.4).endswith("= the cosine of the stored vectors (0.5000).")
    alone = replace(plain, stored_cosine=None)
    assert why_markup.sum_words(alone, None).endswith("= their cosine, computed afresh (0.5000).")
    assert why_markup.sum_words(view_of(0.1), 0.5).startswith(
        "The cells and the constant of either picture sum to 0.5000 ="
    )
    assert "cells +0.4000, constant +0.1000" in why_markup.pair(None, PairResult(view_of(0.1)))


def test_a_cells_share_is_told_with_where_it_comes_from() -> None:
    view = view_of()
    assert why_markup.cell_words(view, cell_of(0.3, (0.1, 0.06))) == (
        "This cell adds +0.30 of 0.5000; most of it from these two cells."
    )
    assert "these three cells of the other picture matched it best" in why_markup.cell_words(
        view, cell_of(0.3, (0.05, 0.05, 0.04))
    )
    assert why_markup.cell_words(view, cell_of(-0.1)).startswith("This cell takes 0.10 away, leaving 0.5000;")
    source = why_markup.pair(None, PairResult(replace(view, cell=cell_of(0.3, (0.2, 6.1e-7)))))
    assert "<li>row 1, column 1: +0.20 (67% of it)</li>" in source
    assert "<li>row 2, column 1: +6.1 × 10⁻⁷ (0% of it)</li>" in source
    assert 'data-key="Escape"' in source


@pytest.mark.parametrize(("first", "stride", "side", "count"), GRIDS)
def test_the_edges_of_the_cells_lie_where_they_are_painted(first: float, stride: int, side: int, count: int) -> None:
    grid = CellGrid(first, stride)
    edges = cell_edges(grid, side, count)
    assert (len(edges), edges[0], edges[-1]) == (count + 1, 0, side)
    for cell in range(count):
        only = np.zeros((count, 1))
        only[cell] = 0.5
        painted = np.flatnonzero(overlay(only, grid, (side, 3), 0.5)[:, 0, 3]) / 2
        assert (painted[0], painted[-1] + 0.5) == (edges[cell], edges[cell + 1])
    centres = first + stride * np.arange(count)
    inner = (
        centres[:-1] + centres[1:]
    ) / 2 + 0.5  # between two centres; a pixel's centre lies half a pixel from its edge
    assert edges[1:-1] == inner.tolist()


def test_colours_say_the_sign_and_the_amount() -> None:
    painted = overlay(np.array([[0.2, -0.1, 0.0]]), CellGrid(0.5, 2), (2, 6), 0.2)
    assert painted.shape == (4, 12, 4)
    adds, takes, nothing = painted[0, 0], painted[0, 6], painted[0, -1]
    assert adds[0] > adds[2]
    assert takes[2] > takes[0]
    assert (int(adds[3]), int(takes[3]), int(nothing[3])) == (217, 108, 0)


def test_every_part_is_a_switch_and_the_shown_one_is_pressed() -> None:
    source = why_markup.scores(view_of())
    assert re.findall(r'data-part="(\d)" aria-pressed="(\w+)"', source) == [("0", "false"), ("1", "true")]
    assert re.findall(r"width:([\d.]+)%", source) == ["90.0", "50.0"]
    assert 'aria-pressed="true"' in why_markup.neighbours(QUERY, 7)
    assert 'aria-pressed="true"' not in why_markup.neighbours(QUERY, 8)
