"""What a score means: "1 in N unrelated pairs", true of pairs that had no part in saying it; and the chance line."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from index import chance
from index.chance import LEAST, Chance, chance_of, distinct, unrelated_scores, why_none
from index.errors import LibraryError
from index.library import Library
from index.tail import Tail, fit_tail
from index.whitening import fit as fit_whitening
from regconv.backbone import load_backbone
from regconv.images import prepare
from storage.errors import CatalogError, ReadOnly
from storage.records import PhotoRecord

DATA = os.environ.get("REGCONV_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="REGCONV_DATA is not set: the shared pictures are not here")
Fill = Callable[..., list[int]]


def units(count: int, width: int = 3, seed: int = 0) -> np.ndarray:
    """Float32 (count, width) of unit length, in all directions alike: in three dimensions their cosine is uniform."""
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def put(fill: Fill, library: Library, rows: np.ndarray, start: int = 0) -> None:
    fill(library, {f"/f{at}/{at}.png": row for at, row in enumerate(rows, start=start)})


def photos(folders: str, days: str = "") -> list[PhotoRecord]:
    """A photo for each letter, its folder, taken on the day of the month that the digit says; "-" is undated."""
    taken = [None if day == "-" else datetime(2020, 1, int(day)) for day in days or "-" * len(folders)]
    pairs = enumerate(zip(folders, taken, strict=True))
    return [PhotoRecord(at, f"/{folder}/{at}.jpg", "present", taken_at=when) for at, (folder, when) in pairs]


def rates(rows: np.ndarray, one_in: int, splits: int = 5) -> list[float]:
    """How many times as often as "1 in N" held-out pairs reach its score, for halves drawn at random."""
    found = []
    for seed in range(splits):
        one, other = np.array_split(np.random.default_rng(seed).permutation(len(rows)), 2)
        everywhere = photos("a" * len(one))
        line = fit_tail(unrelated_scores(rows[one], everywhere)).score_at(1 / one_in)
        held = unrelated_scores(rows[other], everywhere[: len(other)])
        found.append(float((held >= line).mean() * one_in))
    return found


def test_one_in_a_thousand_is_true_of_held_out_pairs() -> None:
    rows = units(1200, 12) + 0.5 * np.repeat(units(40, 12, seed=1), 30, axis=0)  # clusters, too
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert all(0.5 <= rate <= 2 for rate in rates(rows, 1000))


@needs_data
def test_one_in_a_thousand_is_true_of_photographs() -> None:
    backbone = load_backbone("starter")
    paths = sorted((Path(DATA or "") / "photos").glob("*.JPEG"))
    pictures = np.stack([prepare(path, backbone.description.recipe) for path in paths])
    pooled = backbone.embed(pictures).vectors[backbone.description.pooled]
    whitening = fit_whitening(pooled)
    assert whitening is not None
    assert all(0.5 <= rate <= 2 for rate in rates(whitening.of(pooled), 1000))  # what a plain search compares
    assert 0.5 <= np.mean(rates(pooled, 1000)) <= 2  # 20 pairs of a half: single splits scatter more
    assert all(0.5 <= rate <= 2 for rate in rates(pooled, 10))


def test_a_library_says_what_is_true(library: Library, fill: Fill) -> None:
    put(fill, library, units(200))
    known = chance_of(library)
    assert known is not None
    assert (known.photos, known.fitted) == (200, 200)
    assert 180 * 179 / 2 < known.pairs <= 200 * 199 / 2  # a few look like copies
    for score in (-0.5, 0.0, 0.5, 0.9):  # uniform from -1 to 1
        assert known.of(score) == pytest.approx((1 - score) / 2, rel=0.1)
    assert known.one_in(0.8) in (9, 10, 11)
    assert known.line == pytest.approx(0.99, abs=0.004)  # one of 200 lies above it
    assert not known.is_chance(known.line + 1e-4)
    assert known.is_chance(known.line - 1e-4)
    assert known.meaning(0.8) == {"one_in": known.one_in(0.8), "or_rarer": False, "beyond_chance": False}


def test_weights_have_chances_of_their_own(library: Library, fill: Fill) -> None:
    first, second = units(200, seed=1), units(200, seed=2)
    rows = zip(first, second, strict=True)
    fill(library, {f"/f{at}/x.png": {"stage1": one, "stage2": other} for at, (one, other) in enumerate(rows)})
    both = chance_of(library, {"stage1": 1.0, "stage2": 3.0})
    assert both is not None
    cosines = (first @ first.T + 3 * (second @ second.T))[np.triu_indices(200, 1)] / 4
    assert both.of(0.4) == pytest.approx((cosines >= 0.4).mean(), rel=0.05)
    assert chance_of(library, {"stage1": 2.0, "stage2": 6.0}) is both  # the same weighting
    alone = chance_of(library)
    assert alone is not None
    assert alone.of(0.9) > 1.5 * both.of(0.9)


@pytest.mark.parametrize("count", [0, 1, LEAST - 1])
def test_a_small_library_has_none_and_says_why(library: Library, fill: Fill, count: int) -> None:
    put(fill, library, units(count)) if count else None
    assert chance_of(library) is None
    assert why_none(library) == (
        f"What a score means can be told from 30 different photos on, of which each shows something; this library has {count}."
    )


def test_pictures_of_one_colour_are_like_nothing(library: Library, fill: Fill) -> None:
    put(fill, library, np.concatenate([units(LEAST - 1), np.zeros((40, 3), np.float32)]))
    assert chance_of(library) is None
    put(fill, library, units(1, seed=9), start=100)
    assert chance_of(library) is not None


def test_copies_count_once(library: Library, fill: Fill) -> None:
    few = np.repeat(units(LEAST - 1, seed=3), 5, axis=0)
    put(fill, library, few + np.float32(1e-3) * units(len(few), seed=1))
    assert chance_of(library) is None
    put(fill, library, units(30, seed=4), start=1000)
    known = chance_of(library)
    assert known is not None
    assert known.pairs <= 59 * 58 / 2
    assert known.photos == len(few) + 30  # all of them can be found


def test_distinct_by_hand() -> None:
    rows = units(4, 16)
    assert distinct(np.stack([rows[0], 2 * rows[0], rows[1], 0 * rows[0], rows[1], rows[2]])).tolist() == [0, 2, 5]
    assert distinct(np.zeros((0, 16), np.float32)).tolist() == []


def test_it_is_kept_until_the_library_has_changed_by_a_quarter(
    open_library: Callable[..., Library], fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_library()
    put(fill, first, units(100))
    known = chance_of(first)
    again = open_library()
    with monkeypatch.context() as patch:
        patch.setattr(chance, "fit_tail", lambda scores: pytest.fail("what is kept was fitted anew"))
        assert chance_of(again) == known
        put(fill, again, units(25, seed=1), start=100)
        assert chance_of(again) == known
    put(fill, again, units(1, seed=2), start=200)
    grown = chance_of(again)
    assert grown is not None
    assert grown.fitted == 126


@pytest.mark.parametrize("error", [ReadOnly, CatalogError])  # the latter of a full disk
def test_a_library_that_cannot_be_written_to_fits_for_itself(
    library: Library, fill: Fill, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    put(fill, library, units(50))

    def refuse(key: str, value: str) -> None:
        raise error("no")

    monkeypatch.setattr(library.catalog, "remember", refuse)
    known = chance_of(library)
    assert known is not None
    assert library.catalog.setting(f"chance/{library.space_id}") is None
    monkeypatch.setattr(chance, "fit_tail", lambda scores: pytest.fail("fitted twice in one process"))
    assert chance_of(library) is known


def test_another_space_has_its_own(library: Library, fill: Fill) -> None:
    put(fill, library, units(50))
    known = chance_of(library)
    shadow = library.shadow(library.described("other"))
    assert shadow.space_id != library.space_id
    assert chance_of(shadow) is None  # nothing is embedded there yet
    put(fill, shadow, units(60, seed=5), start=100)
    other = chance_of(shadow)
    assert known is not None
    assert other is not None
    assert (known.fitted, other.fitted) == (50, 60)
    assert chance_of(library) is known


def test_the_catalogue_keeps_a_few_weightings(library: Library, fill: Fill) -> None:
    put(fill, library, units(40))
    for weight in range(1, 15):
        assert chance_of(library, {"stage1": 1.0, "stage2": float(weight)}) is not None
    assert (library.catalog.setting(f"chance/{library.space_id}") or "").count('"tail"') == chance.KEPT


@pytest.mark.parametrize(
    ("folders", "days", "pairs"),
    [
        ("abcd", "", 6),  # nothing is known to be related
        ("aabc", "", 5),  # two of one folder
        ("aaaab", "", 10),  # a folder that has nearly all says nothing
        ("abcd", "11-2", 5),  # two of one day; undated photos are of no day
        ("abcd", "----", 6),
        ("abcd", "1111", 6),  # all on one day: nothing to go by
        ("aabc", "3-33", 2),  # half of the pairs on one day, and two of one folder
    ],
)
def test_what_is_known_to_be_related_does_not_count(folders: str, days: str, pairs: int) -> None:
    assert len(unrelated_scores(units(len(folders), 16), photos(folders, days))) == pairs


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (-0.5, "most unrelated pairs look this alike"),
        (0.5, "1 in 10 unrelated pairs look this alike"),
        (0.75, "1 in 100 unrelated pairs look this alike"),
        (0.8, "1 in 160 unrelated pairs look this alike"),
        (0.99, "fewer than 1 in 950 unrelated pairs look this alike"),
    ],
)
def test_words(score: float, words: str) -> None:
    tail = Tail((1.0, 0.1, 0.01), (0.0, 0.5, 0.75), 0.1, 0.0)
    known = Chance(tail, pairs=191_900, photos=1000, fitted=1000)
    assert known.most == 950  # a two-hundredth of the pairs, rounded down
    assert known.words(score) == words


def test_few_pairs_do_not_call_a_rare_score_common() -> None:
    tail = Tail((1.0, 0.1, 0.01), (0.0, 0.5, 0.75), 0.1, 0.0)
    known = Chance(tail, pairs=220, photos=30, fitted=30)
    assert known.most == 1
    assert known.words(0.99) == "the library has too few pairs of photos to say how rare this is"
    assert known.words(-0.5) == "most unrelated pairs look this alike"


def test_the_line_is_where_one_photo_is_to_be_expected() -> None:
    tail = Tail((1.0, 0.1, 0.01), (0.0, 0.5, 0.75), 0.1, 0.0)
    few, many = (Chance(tail, pairs=10**6, photos=count, fitted=count) for count in (100, 10_000))
    assert few.line == pytest.approx(0.75)
    assert many.line == pytest.approx(0.75 + 0.1 * np.log(100))
    assert few.meaning(0.76)["beyond_chance"] is True
    assert many.meaning(0.76)["beyond_chance"] is False  # among more photos as alike a one is found sooner


def test_a_library_of_copies_is_looked_at_once(library: Library, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(library, {f"/{number}.png": (1.0, 0.0, 0.0) for number in range(40)})
    asked: list[int] = []
    real = chance._fitted
    monkeypatch.setattr(chance, "_fitted", lambda *args: asked.append(1) or real(*args))
    assert chance_of(library) is None
    assert chance_of(library) is None
    assert asked == [1]
    fill(library, {"/more.png": (0.0, 1.0, 0.0)})
    assert chance_of(library) is None
    assert asked == [1, 1]
    with pytest.raises(LibraryError, match="no part nose; there are stage1, stage2"):
        chance_of(library, {"nose": 1.0})
