"""Partial whitening: what it does to vectors, what it leaves alone, and that it finds more of a kind."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from index.evaluate import retrieval
from index.whitening import ENOUGH, LEAST, Whitening, _by_columns, enough, fit


def _kinds(seed: int = 0, each: int = 20, kinds: int = 12, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of so many kinds: much in common, strong variation that says nothing, weak one that tells the kind."""
    random = np.random.default_rng(seed)
    names = np.repeat(np.arange(kinds), each)
    common, lighting = random.normal(size=(2, width))
    centres = random.normal(size=(kinds, width)) * 0.25
    strength = random.normal(size=(len(names), 1))
    rows = 2 * common + strength * lighting + centres[names] + 0.15 * random.normal(size=(len(names), width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), names


def test_more_of_a_kind_are_found() -> None:
    vectors, names = _kinds()
    whitening = fit(vectors)
    assert whitening is not None
    plain, _ = retrieval(vectors, names, vectors, names, itself=True)
    turned = whitening.of(vectors)
    ours, _ = retrieval(turned, names, turned, names, itself=True)
    assert ours.mean() > plain.mean() + 0.1


def test_variances_lie_half_way_to_equal() -> None:
    """Of a component with variance v, v / sqrt(v + mean) is left: computed by hand for two components."""
    random = np.random.default_rng(1)
    small = random.normal(size=(4000, 2)) * [0.2, 0.02]
    vectors = np.concatenate([small, np.full((4000, 1), 1.0)], axis=1)
    whitening = fit(vectors.astype(np.float32))
    assert whitening is not None
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    before = np.sort(np.linalg.eigvalsh(np.cov(units.T)))[::-1]
    turned = (units - whitening.mean) @ whitening.turn
    np.testing.assert_allclose(
        turned.var(axis=0, ddof=1), before / np.sqrt(before + before.mean()), rtol=1e-3, atol=1e-7
    )


def test_unit_length_whatever_the_length_before_and_zeros_stay() -> None:
    vectors, _ = _kinds()
    whitening = fit(np.concatenate([vectors, np.zeros((5, 48), np.float32)]))
    assert whitening is not None
    assert whitening.count == len(vectors) + 5, "zeros tell nothing, and are of the library all the same"
    turned = whitening.of(np.concatenate([vectors[:3], 7 * vectors[:3], np.zeros((1, 48))]))
    assert turned.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), [1] * 6 + [0], atol=1e-6)
    np.testing.assert_allclose(turned[:3], turned[3:6], atol=1e-6)


def test_many_vectors_are_not_copied_whole() -> None:
    """An index learns from 131,072 vectors of 512 numbers at a million photos, 268 MB: three of them would not be bounded."""
    random = np.random.default_rng(0)
    vectors = np.repeat(random.normal(size=(20_000, 48)).astype(np.float32), 3, axis=0)
    whitening = fit(vectors[:LEAST], dims=8)
    assert whitening is not None
    tracemalloc.start()
    try:
        whitening.of(vectors)
        fit(vectors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * vectors.nbytes


def test_what_is_saved_comes_back_to_the_last_bit() -> None:
    whitening = fit(_kinds()[0], dims=16)
    assert whitening is not None
    assert whitening.dims == 16
    again = Whitening.from_json(json.loads(json.dumps(whitening.as_json())))
    assert np.array_equal(again.mean, whitening.mean)
    assert np.array_equal(again.turn, whitening.turn)
    assert again.count == whitening.count


def test_too_few_or_all_alike_have_none() -> None:
    vectors, _ = _kinds()
    assert fit(vectors[: LEAST - 1]) is None
    assert fit(np.repeat(vectors[:1], 100, axis=0)) is None
    assert fit(np.zeros((100, 8), np.float32)) is None
    few = fit(vectors[:LEAST])
    assert few is not None
    assert few.dims == min(LEAST - 1, vectors.shape[1])


@pytest.mark.parametrize(
    ("fitted", "now", "outgrown"),
    [
        (200, 350, False),
        (200, 400, True),
        (200, 100, True),
        (200, 120, False),
        (150, 40, False),
        (ENOUGH, 10**6, False),
    ],
)
def test_fits_anew_at_half_and_at_twice_as_many(fitted: int, now: int, outgrown: bool) -> None:
    assert Whitening(np.zeros(1), np.zeros((1, 1)), fitted).is_outgrown(now) is outgrown


def test_fewer_vectors_than_numbers_give_the_same_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(150, 300)) @ np.random.default_rng(1).normal(size=(300, 300))
    by_rows = fit(vectors, dims=20, count=777)
    monkeypatch.setattr("index.whitening._by_rows", _by_columns)
    by_columns = fit(vectors, dims=20)
    assert by_rows is not None
    assert by_columns is not None
    assert (by_rows.count, by_columns.count) == (777, 150)
    assert by_rows.mean == pytest.approx(by_columns.mean, abs=1e-6)
    one, other = by_rows.of(vectors), by_columns.of(vectors)
    assert one @ one.T == pytest.approx(other @ other.T, abs=1e-4)  # each axis may point either way


def test_wide_vectors_are_fitted_on_fewer() -> None:
    assert (enough(512), enough(128), enough(3712), enough(11110)) == (20_000, 20_000, 2758, 1000)
