"""How often a random pair is at least so alike: an empirical distribution with a generalised Pareto tail.

Above a high threshold the excess of almost any distribution is close to a generalised Pareto one (Pickands 1975); its two
numbers are estimated by probability-weighted moments (Hosking and Wallis 1987, "Parameter and quantile estimation for the
generalized Pareto distribution", Technometrics 29), which needs no iteration and holds for few exceedances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

EXCEEDANCES = 200  # pairs that the tail is fitted on
SHARE = 0.1  # of all pairs, at most
LEVELS = 48


@dataclass(frozen=True)
class Tail:
    """The chance that a pair's score is at least s: `levels` at `scores` (ascending) below the threshold, Pareto above it."""

    levels: tuple[float, ...]
    scores: tuple[float, ...]
    scale: float
    shape: float

    @property
    def threshold(self) -> float:
        """The score at which the fitted tail begins."""
        return self.scores[-1]

    def beyond(self, score: float) -> float:
        """The chance of a score of at least `score`, 0 to 1."""
        if score <= self.threshold:
            return float(np.exp(np.interp(score, self.scores, np.log(self.levels))))
        excess = (score - self.threshold) / self.scale
        if abs(self.shape) < 1e-6:
            return self.levels[-1] * math.exp(-excess)
        base = 1 + self.shape * excess
        return self.levels[-1] * base ** (-1 / self.shape) if base > 0 else 0.0

    def score_at(self, chance: float) -> float:
        """The score that a pair reaches with this chance, the inverse of `beyond`; chances above 0."""
        if chance >= self.levels[-1]:
            return float(np.interp(-math.log(chance), -np.log(self.levels), self.scores))
        ratio = chance / self.levels[-1]
        if abs(self.shape) < 1e-6:
            return self.threshold - self.scale * math.log(ratio)
        return self.threshold + self.scale / self.shape * (ratio**-self.shape - 1)


def fit_tail(scores: np.ndarray) -> Tail:
    """The tail of scores (n,), at least a few dozen, of pairs drawn alike. Reorders `scores`."""
    share = min(SHARE, EXCEEDANCES / len(scores))
    levels = np.geomspace(1, share, LEVELS)
    at = np.minimum(np.round((1 - levels) * (len(scores) - 1)).astype(int), len(scores) - 1)
    scores.partition(np.unique(at))
    steps = np.maximum.accumulate(scores[at].astype(float))
    excesses = scores[at[-1] + 1 :].astype(float) - steps[-1]
    scale, shape = _pareto(np.sort(excesses))
    return Tail(tuple(levels.tolist()), tuple(steps.tolist()), scale, shape)


def _pareto(excesses: np.ndarray) -> tuple[float, float]:
    """(scale, shape) of ascending excesses, by probability-weighted moments."""
    n = len(excesses)
    first = float(excesses.mean())
    second = float((excesses * np.arange(n - 1, -1, -1) / max(n - 1, 1)).mean())
    rest = first - 2 * second
    if rest <= 1e-6 * first or first <= 0:  # all excesses alike: nothing to be learnt of a shape
        return max(first, 1e-9), 0.0
    return 2 * first * second / rest, 2 - first / rest
