"""The tail of a distribution: right where the answer is known, and its two directions agree."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from index.tail import fit_tail


@pytest.mark.parametrize(("kind", "shape"), [("uniform", -1.0), ("exponential", 0.0), ("power", 0.25)])
def test_the_shape_of_known_tails(kind: str, shape: float) -> None:
    uniform = np.random.default_rng(3).random(400_000)
    drawn = {"uniform": uniform, "exponential": -np.log(uniform), "power": uniform**-0.25}[kind]
    assert fit_tail(drawn).shape == pytest.approx(shape, abs=0.2)


def test_chances_of_an_exponential_distribution() -> None:
    """Its tail is exp(-s): known far beyond the draws."""
    tail = fit_tail(np.random.default_rng(0).exponential(size=100_000))
    for score, factor in ((0.5, 1.02), (2.0, 1.05), (5.0, 1.2), (9.0, 1.5), (12.0, 2.5)):
        assert 1 / factor < tail.beyond(score) / np.exp(-score) < factor


def test_both_directions_agree_and_more_alike_is_never_likelier() -> None:
    tail = fit_tail(np.random.default_rng(1).normal(size=20_000))
    for chance in (0.9, 0.5, 0.1, 0.011, 0.009, 1e-3, 1e-5):
        assert tail.beyond(tail.score_at(chance)) == pytest.approx(chance, rel=1e-6)
    chances = [tail.beyond(score) for score in np.linspace(-10, 20, 301)]
    assert chances[0] == 1
    assert all(later <= earlier for earlier, later in pairwise(chances))


def test_a_bounded_tail_ends() -> None:
    tail = fit_tail(np.random.default_rng(2).random(50_000))
    assert tail.beyond(1.5) == 0
    assert tail.beyond(0.5) == pytest.approx(0.5, rel=0.02)


def test_scores_that_are_all_alike() -> None:
    tail = fit_tail(np.full(500, 0.25, np.float32))
    assert tail.beyond(0.25) > 0
    assert tail.beyond(0.5) == 0
    assert tail.beyond(0.0) == 1
