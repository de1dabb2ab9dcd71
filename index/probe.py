"""A linear probe on stored vectors: which of the taught words is it, how sure is that, or is it none of them?

Weighted ridge regression of the words on standardised vectors. Other pictures of the library take part with a target of
zero for every word and, together, the weight of all marked ones: they show what the words are not. (Some of them may
show a word that nobody has marked; then "none of these" is said somewhat too often, see bench/teach.py for how often.)

Leave-one-out answers have a closed form (the hat matrix), so everything that must be chosen is chosen on pictures that the
answer did not see: the parts, the strength of L2, a temperature for the softmax over the words, and a logistic curve
between the best scores of marked and of other pictures, which is the chance that it is one of the words at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STRENGTHS = 10.0 ** np.arange(-2, 2.1, 0.5)  # of L2, as multiples of the mean eigenvalue
TEMPERATURES = 10.0 ** np.arange(-2.5, 1.01, 0.05)
ENOUGH_HELD_OUT = 8  # pictures; with fewer the defaults below are better than what they could tell
DEFAULT_STRENGTH = 1.0
DEFAULT_TEMPERATURE = 0.05
STRANGE_LET_IN = 0.25  # of other pictures, by default: where nothing marked can be held out


@dataclass(frozen=True)
class Probe:
    """What was learnt: weights float32 (width + 1, words), the last row the offset, and how scores become chances."""

    words: tuple[str, ...]
    weights: np.ndarray
    calibration: Mapping[str, Any]

    @property
    def parts(self) -> tuple[str, ...]:
        """The stored parts that it looks at, in order."""
        return tuple(self.calibration["parts"])

    def chances(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Chances, float64 (n, words + 1) with sums of 1, of vectors[part] (n, d); the last is "none of these"."""
        return _chances(_joined(vectors, self.parts) @ self.weights[:-1] + self.weights[-1], self.calibration)


def fit(
    words: Sequence[str],
    vectors: Mapping[str, np.ndarray],
    targets: np.ndarray,
    others: Mapping[str, np.ndarray],
    choices: Sequence[tuple[str, ...]],
) -> Probe:
    """The probe of the choice of parts that answers best on held-out pictures.

    vectors[part] is (n, d); targets (n, words) is above zero where a picture has a word; others[part] (m, d) are not marked.
    """
    shares = targets / targets.sum(axis=1, keepdims=True)
    fits = [_Ridge(_joined(vectors, parts), shares, _joined(others, parts)) for parts in choices]
    best = min(range(len(fits)), key=lambda place: fits[place].error)
    chosen = fits[best]
    calibration = _calibrated(chosen) | {"parts": list(choices[best]), "strength": float(chosen.strength)}
    return Probe(tuple(words), chosen.weights(), calibration)


class _Ridge:
    """Weighted ridge regression with its held-out answers; the strength is the one with the least held-out error.

    Rows are the n marked pictures, then the m others.
    """

    def __init__(self, marked: np.ndarray, shares: np.ndarray, others: np.ndarray) -> None:
        n, m = len(marked), len(others)
        self.shares = np.concatenate([shares, np.zeros((m, shares.shape[1]))])
        self.group = np.concatenate([shares.argmax(axis=1), np.full(m, -1)])
        counts = np.bincount(self.group[:n], minlength=shares.shape[1])
        self.known = np.flatnonzero(counts[self.group[:n]] > 1)  # whoever is alone of its word can't be held out
        self.others = np.arange(n, n + m)
        weight = np.concatenate([np.ones(n), np.full(m, n / max(m, 1))])
        self.root, self.weight = np.sqrt(weight)[:, None], weight / weight.sum()
        vectors = np.concatenate([marked, others]).astype(np.float64)
        self.mean = self.weight @ vectors
        spread = np.sqrt(self.weight @ (vectors - self.mean) ** 2)
        self.scale = spread + 0.01 * spread.mean() + 1e-9  # a channel that hardly ever answers must not be blown up
        self.left, values, self.right = np.linalg.svd(
            self.root * (vectors - self.mean) / self.scale, full_matrices=False
        )
        self.values = values**2
        self.offset = self.weight @ self.shares
        self.projected = self.left.T @ (self.root * (self.shares - self.offset))
        errors = [self._error(strength) for strength in STRENGTHS] if len(self.known) >= ENOUGH_HELD_OUT else []
        self.strength = STRENGTHS[int(np.argmin(errors))] if errors else DEFAULT_STRENGTH
        self.error = min(errors, default=0.0)

    def weights(self) -> np.ndarray:
        """float32 (width + 1, words), for vectors as they are stored."""
        shrunk = np.sqrt(self.values) / (self.values + self._penalty(self.strength))
        matrix = (self.right.T @ (shrunk[:, None] * self.projected)) / self.scale[:, None]
        return np.vstack([matrix, self.offset - self.mean @ matrix]).astype(np.float32)

    def held_out(self, strength: float | None = None) -> np.ndarray:
        """Scores (n + m, words) of every picture from all others."""
        shrink = self._shrink(self.strength if strength is None else strength)
        leverage = (self.left**2) @ shrink + self.weight
        return self.shares - self._residuals(shrink) / np.maximum(1 - leverage, 1e-9)[:, None] / self.root

    def words_left_out(self) -> np.ndarray:
        """Scores (n, words) of every marked picture without any of its word; -inf for the word itself."""
        shrink = self._shrink(self.strength)
        residuals = self._residuals(shrink)
        scores = np.empty((int((self.group >= 0).sum()), self.shares.shape[1]))
        for word in np.unique(self.group[self.group >= 0]):
            inside = np.flatnonzero(self.group == word)
            rows, root = self.left[inside], np.sqrt(self.weight[inside])
            gap = (1 + 1e-9) * np.eye(len(inside)) - (rows * shrink) @ rows.T - np.outer(root, root)
            scores[inside] = self.shares[inside] - np.linalg.solve(gap, residuals[inside]) / self.root[inside]
            scores[inside, word] = -np.inf
        return scores

    def _error(self, strength: float) -> float:
        """Mean square error of the held-out answers, marked and other pictures with the same weight."""
        squares = ((self.held_out(strength) - self.shares) ** 2).mean(axis=1)
        return float(squares[self.known].mean() + (squares[self.others].mean() if len(self.others) else 0))

    def _residuals(self, shrink: np.ndarray) -> np.ndarray:
        """(n + m, words), times the root of each row's weight."""
        return self.root * (self.shares - self.offset) - (self.left * shrink) @ self.projected

    def _shrink(self, strength: float) -> np.ndarray:
        return self.values / (self.values + self._penalty(strength))

    def _penalty(self, strength: float) -> float:
        return strength * float(self.values.mean()) + 1e-12


def _calibrated(ridge: _Ridge) -> dict[str, Any]:
    """Temperature and the curve of "none of these", from held-out pictures where there are enough."""
    answers = ridge.held_out()
    enough_others = len(ridge.others) >= ENOUGH_HELD_OUT
    strange = (answers[ridge.others] if enough_others else ridge.words_left_out()).max(axis=1)
    counts = {"held_out": len(ridge.known), "others": len(ridge.others)}
    if len(ridge.known) < ENOUGH_HELD_OUT:
        middle = float(np.quantile(strange, 1 - STRANGE_LET_IN))
        slope = 1 / max(float(strange.std()), 1e-3)
        return counts | {"temperature": DEFAULT_TEMPERATURE, "slope": slope, "middle": middle}
    scores, group = answers[ridge.known], ridge.group[ridge.known]
    likely = [_log_likelihood(scores / temperature, group) for temperature in TEMPERATURES]
    slope, middle = _curve(scores.max(axis=1), strange)
    told = ridge.shares[ridge.known, scores.argmax(axis=1)] > 0
    temperature = float(TEMPERATURES[int(np.argmax(likely))])
    return counts | {"accuracy": float(told.mean()), "temperature": temperature, "slope": slope, "middle": middle}


def _joined(vectors: Mapping[str, np.ndarray], parts: Sequence[str]) -> np.ndarray:
    return np.concatenate([vectors[part] for part in parts], axis=1)


def _log_likelihood(logits: np.ndarray, group: np.ndarray) -> float:
    return float(np.log(np.maximum(_softmax(logits)[np.arange(len(group)), group], 1e-12)).mean())


def _curve(known: np.ndarray, strange: np.ndarray) -> tuple[float, float]:
    """(slope, middle) of the logistic curve between two sets of scores that weigh the same, by Newton's method."""
    values = np.concatenate([known, strange])
    centre, spread = float(values.mean()), max(float(values.std()), 1e-6)
    rows = np.stack([(values - centre) / spread, np.ones_like(values)], axis=1)
    truth = np.concatenate([np.ones(len(known)), np.zeros(len(strange))])
    weight = np.concatenate([np.full(len(known), 0.5 / len(known)), np.full(len(strange), 0.5 / len(strange))])
    answer = np.array([1.0, 0.0])
    ridge = 1e-3 * np.eye(2)  # sets that don't overlap would make an endless slope
    for _ in range(50):
        chance = 1 / (1 + np.exp(-rows @ answer))
        gradient = rows.T @ (weight * (chance - truth)) + ridge @ answer
        bend = (rows * (weight * chance * (1 - chance))[:, None]).T @ rows + ridge
        step = np.linalg.solve(bend, gradient)
        answer = answer - step
        if np.abs(step).max() < 1e-9:
            break
    slope = float(answer[0])
    if slope <= 1e-3:  # the others score as high: nothing can be said, and 0.5 never claims "none of these"
        return 0.0, 0.0
    return slope / spread, centre - float(answer[1]) / slope * spread


def _chances(scores: np.ndarray, calibration: Mapping[str, Any]) -> np.ndarray:
    best = scores.max(axis=1, keepdims=True)
    known = 1 / (1 + np.exp(np.clip(-calibration["slope"] * (best - calibration["middle"]), -50, 50)))
    return np.concatenate([known * _softmax(scores / calibration["temperature"]), 1 - known], axis=1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
