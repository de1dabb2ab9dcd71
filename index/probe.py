"""A linear probe on stored vectors: which of the taught words is it, how sure is that, or is it none of them?

Ridge regression of the words on standardised vectors. Its leave-one-out answers have a closed form (the hat matrix), so
everything that must be chosen is chosen on pictures that the answer did not see: the parts, the strength of L2, and a
temperature for the softmax over the words. Leaving out a whole word at once, just as closed, shows how pictures of things
that were never taught score; a logistic curve between those and the known ones is the chance of "none of these".
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
STRANGE_LET_IN = 0.25  # of the untaught, by default: where nothing known can be held out


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
        joined = np.concatenate([vectors[part] for part in self.parts], axis=1)
        return _chances(joined @ self.weights[:-1] + self.weights[-1], self.calibration)


def fit(
    words: Sequence[str], vectors: Mapping[str, np.ndarray], targets: np.ndarray, choices: Sequence[tuple[str, ...]]
) -> Probe:
    """The probe of the choice of parts that answers best on held-out pictures.

    vectors[part] is (n, d); targets (n, words) is above zero where a picture has a word.
    """
    shares = targets / targets.sum(axis=1, keepdims=True)
    fits = [_Ridge(np.concatenate([vectors[part] for part in parts], axis=1), shares) for parts in choices]
    best = min(range(len(fits)), key=lambda place: fits[place].error)
    chosen = fits[best]
    calibration = _calibrated(chosen) | {"parts": list(choices[best]), "strength": float(chosen.strength)}
    return Probe(tuple(words), chosen.weights(), calibration)


class _Ridge:
    """Ridge regression with its held-out answers; the strength is the one with the least held-out error."""

    def __init__(self, vectors: np.ndarray, shares: np.ndarray) -> None:
        self.shares = shares
        self.group = shares.argmax(axis=1)
        counts = np.bincount(self.group, minlength=shares.shape[1])
        self.known = counts[self.group] > 1  # whoever is alone of its word can't be held out
        vectors = vectors.astype(np.float64)
        self.mean = vectors.mean(axis=0)
        spread = vectors.std(axis=0)
        self.scale = spread + 0.01 * spread.mean() + 1e-9  # a channel that hardly ever answers must not be blown up
        rows = (vectors - self.mean) / self.scale
        self.left, values, self.right = np.linalg.svd(rows, full_matrices=False)
        self.values = values**2
        self.offset = shares.mean(axis=0)
        self.projected = self.left.T @ (shares - self.offset)
        usable = self.known.sum() >= ENOUGH_HELD_OUT
        errors = [self._error(strength) for strength in STRENGTHS] if usable else []
        self.strength = STRENGTHS[int(np.argmin(errors))] if usable else DEFAULT_STRENGTH
        self.error = min(errors, default=0.0)

    def weights(self) -> np.ndarray:
        """float32 (width + 1, words), for vectors as they are stored."""
        shrunk = np.sqrt(self.values) / (self.values + self._penalty(self.strength))
        matrix = (self.right.T @ (shrunk[:, None] * self.projected)) / self.scale[:, None]
        return np.vstack([matrix, self.offset - self.mean @ matrix]).astype(np.float32)

    def held_out(self) -> np.ndarray:
        """Scores (known, words) of the pictures that can be held out, each from all others."""
        return self._left_one_out(self.strength)[self.known]

    def untaught(self) -> np.ndarray:
        """Scores (n, words) of every picture from those of the other words alone."""
        shrink = self._shrink(self.strength)
        scores = np.empty_like(self.shares)
        residuals = self.shares - self._answers(shrink)
        for word in np.unique(self.group):
            inside = self.group == word
            rows = self.left[inside]
            hat = (rows * shrink) @ rows.T + 1 / len(self.left)
            gap = np.eye(len(rows)) - hat + 1e-9 * np.eye(len(rows))
            scores[inside] = self.shares[inside] - np.linalg.solve(gap, residuals[inside])
            scores[inside, word] = -np.inf
        return scores

    def _error(self, strength: float) -> float:
        return float(((self._left_one_out(strength) - self.shares)[self.known] ** 2).mean())

    def _left_one_out(self, strength: float) -> np.ndarray:
        shrink = self._shrink(strength)
        leverage = (self.left**2) @ shrink + 1 / len(self.left)
        residuals = self.shares - self._answers(shrink)
        return self.shares - residuals / np.maximum(1 - leverage, 1e-9)[:, None]

    def _answers(self, shrink: np.ndarray) -> np.ndarray:
        return (self.left * shrink) @ self.projected + self.offset

    def _shrink(self, strength: float) -> np.ndarray:
        return self.values / (self.values + self._penalty(strength))

    def _penalty(self, strength: float) -> float:
        return strength * float(self.values.mean()) + 1e-12


def _calibrated(ridge: _Ridge) -> dict[str, Any]:
    """Temperature and the curve of "none of these", from held-out pictures where there are enough."""
    strange = ridge.untaught().max(axis=1)
    held = int(ridge.known.sum())
    if held < ENOUGH_HELD_OUT:
        middle = float(np.quantile(strange, 1 - STRANGE_LET_IN))
        slope = 1 / max(float(strange.std()), 1e-3)
        return {"held_out": held, "temperature": DEFAULT_TEMPERATURE, "slope": slope, "middle": middle}
    scores, group = ridge.held_out(), ridge.group[ridge.known]
    likely = [_log_likelihood(scores / temperature, group) for temperature in TEMPERATURES]
    slope, middle = _curve(scores.max(axis=1), strange)
    accuracy = float((ridge.shares[ridge.known][np.arange(held), scores.argmax(axis=1)] > 0).mean())
    temperature = float(TEMPERATURES[int(np.argmax(likely))])
    return {"held_out": held, "accuracy": accuracy, "temperature": temperature, "slope": slope, "middle": middle}


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
    slope = max(float(answer[0]), 1e-3)  # likeness never speaks against a word
    return slope / spread, centre - float(answer[1]) / slope * spread


def _chances(scores: np.ndarray, calibration: Mapping[str, Any]) -> np.ndarray:
    best = scores.max(axis=1, keepdims=True)
    known = 1 / (1 + np.exp(np.clip(-calibration["slope"] * (best - calibration["middle"]), -50, 50)))
    return np.concatenate([known * _softmax(scores / calibration["temperature"]), 1 - known], axis=1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
