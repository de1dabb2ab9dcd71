"""What doctor says of indexes of codes: that they find themselves, and how many of the true nearest they find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from index import choose
from index.doctor import examine
from index.library import Library
from index.recall import measured_recalls
from tests.index.health import details, failing

pytestmark = pytest.mark.usefixtures("inline_decoder")


@pytest.fixture
def crowd(library: Library, fill: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch) -> Library:
    """A thousand contents whose indexes are of codes; each part has its own vectors."""
    monkeypatch.setattr(choose, "EXACT_UP_TO", 100)
    monkeypatch.setattr(choose, "CANDIDATES", 1)  # for 3 numbers 170: few enough to miss what has a wrong code
    random = np.random.default_rng(3)
    drawn = random.normal(size=(1000, 2, 3))
    fill(library, {f"/{number}.png": {"stage1": one, "stage2": two} for number, (one, two) in enumerate(drawn)})
    assert library.index("stage2").choice.kind == "codes"
    return library


def test_an_index_of_codes_is_asked_itself(crowd: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    assert details(crowd)["index"].endswith("100 of 100 asked find themselves")
    held = crowd.index("stage2")
    ids = np.sort(held.ids())
    others = np.stack([crowd.stored([content], "stage2")[content] for content in np.roll(ids, 1).tolist()])
    held.remove(ids)
    held.add(ids, others)  # every code is another content's: what is ranked again is then the wrong candidates
    answer = failing(crowd)["index"]
    lost = 100 - int(answer.rpartition("; ")[2].split()[0])
    assert lost > 50
    assert "holds 1000 of 1000 vectors" in answer


def test_recall_is_measured_for_every_preset_and_low_recall_comes_with_advice(
    crowd: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = examine(crowd, recall=True)
    assert set(health["recall"]) == {"default", "colour", "pattern", "parts", "subject"}
    assert min(health["recall"].values()) > 0.99
    assert (health["advice"], health["recall_at_10"]) == ([], health["recall"]["default"])
    held = crowd.index("stage1")
    ids = held.ids()
    held.remove(ids)
    held.add(
        ids, np.roll(np.stack([crowd.stored([content], "stage1")[content] for content in ids.tolist()]), 7, axis=0)
    )
    health = examine(crowd, recall=True)
    assert health["recall"]["colour"] < 0.7
    assert health["recall"]["subject"] > 0.99
    assert "index" not in failing(crowd), "a search by the first stage finds too little: advice, no contradiction"
    low = [line.split(" finds ")[0] for line in health["advice"]]
    assert "--like colour" in low
    assert "--like subject" not in low


def test_recall_agrees_with_brute_force_over_everything_at_once(crowd: Library) -> None:
    contents = crowd.vectors.sample(1000)
    unit = crowd.vectors.of(contents, "stage2")[1]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    asked = np.searchsorted(contents, crowd.vectors.sample(100))
    cosines = unit[asked] @ unit.T
    cosines[np.arange(100), asked] = -np.inf
    true = -np.sort(-cosines, axis=1)[:, 9]
    held = crowd.index("stage2")
    hits = 0
    for row, place in enumerate(asked):
        scores, found = held.search(unit[place : place + 1], 11)
        others = [score for score, content in zip(scores[0], found[0], strict=True) if content != contents[place]][:10]
        hits += sum(score >= true[row] - 1e-5 for score in others)
    assert measured_recalls(crowd)["default"] == pytest.approx(hits / 1000)
