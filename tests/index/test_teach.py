"""Teaching, by what it then says of pictures; its held-out answers against a fit that really leaves them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.errors import LibraryError
from index.library import Library
from index.probe import Probe, _Ridge, fit
from index.search import example_of_file
from index.teach import own_labels, refit, taught, teach, teach_folder, unteach
from storage.records import Filter

Paint = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


def run_teach(library: Library, folder: Path) -> dict[str, Any]:
    *steps, last = teach_folder(library, str(folder))
    assert last.report is not None
    assert all(step.report is None for step in steps)
    return last.report


def said(library: Library, path: Path) -> list[tuple[str | None, float]]:
    return own_labels(taught(library), example_of_file(library, str(path)).vectors)


@pytest.fixture
def words(tmp_path: Path, paint: Paint) -> Path:
    """Five pictures each of "warm" (red) and "leaf" (green)."""
    for seed in range(5):
        paint(tmp_path / "words" / "warm" / f"{seed}.png", "red", seed)
        paint(tmp_path / "words" / "leaf" / f"{seed}.png", "green", seed)
    return tmp_path / "words"


@pytest.fixture
def with_others(library: Library, tmp_path: Path, paint: Paint, run: Run) -> Library:
    """A library of twenty blue photos."""
    for seed in range(20):
        paint(tmp_path / "others" / f"{seed}.png", "blue", 100 + seed)
    run(library, tmp_path / "others")
    return library


def test_taught_words_are_told_and_strange_pictures_are_none_of_these(
    with_others: Library, words: Path, tmp_path: Path, paint: Paint
) -> None:
    report = run_teach(with_others, words)
    assert report["words"] == {"leaf": 5, "warm": 5}
    assert (report["embedded"], report["failed"], report["empty"]) == (10, [], [])
    assert (report["held_out"], report["others"], report["held_out_accuracy"]) == (10, 20, 1.0)
    for colour, word in (("rose", "warm"), ("lime", "leaf"), ("red", "warm")):
        answer = said(with_others, paint(tmp_path / "ask.png", colour, 77))
        assert answer[0][0] == word, colour
        assert answer[0][1] > 0.7
        assert sum(chance for _, chance in answer) <= 1 + 1e-9
    strange = said(with_others, paint(tmp_path / "ask.png", "blue", 77))
    assert strange[0][0] is None
    assert strange[0][1] > 0.7
    assert sum(chance for _, chance in strange) == pytest.approx(1)
    assert {word for word, _ in strange[1:]} == {"leaf", "warm"}


def test_what_was_taught_is_there_after_a_new_start(
    with_others: Library, words: Path, open_library: Callable[..., Library]
) -> None:
    run_teach(with_others, words)
    before = taught(with_others)
    again = taught(open_library())
    assert before is not None
    assert again is not None
    assert again.words == ("leaf", "warm")
    assert np.array_equal(again.weights, before.weights)
    assert again.calibration == before.calibration
    assert again.weights.dtype == np.float32


def test_teaching_again_embeds_nothing_and_corrects_what_changed_its_folder(
    with_others: Library, words: Path, paint: Paint
) -> None:
    run_teach(with_others, words)
    embedded = with_others.backbone.embedded  # type: ignore[attr-defined]
    (words / "warm" / "0.png").rename(words / "leaf" / "was-warm.png")
    report = run_teach(with_others, words)
    assert report["words"] == {"leaf": 6, "warm": 4}
    assert with_others.backbone.embedded == embedded  # type: ignore[attr-defined]


def test_bad_files_and_empty_classes_are_named_and_others_go_on(with_others: Library, words: Path) -> None:
    (words / "empty").mkdir()
    (words / "warm" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (words / ".hidden").mkdir()
    report = run_teach(with_others, words)
    assert report["words"] == {"leaf": 5, "warm": 5}
    assert [Path(failure["path"]).name for failure in report["failed"]] == ["broken.png"]
    assert [Path(folder).name for folder in report["empty"]] == ["empty"]


def test_one_word_is_refused_before_anything_is_done(library: Library, words: Path, tmp_path: Path) -> None:
    (words / "leaf").rename(tmp_path / "leaf")
    with pytest.raises(LibraryError, match=r"one class folder \(warm\)\. Teaching needs two"):
        run_teach(library, words)
    assert library.catalog.counts(library.space_id)["present"] == 0
    with pytest.raises(LibraryError, match="no class folders"):
        run_teach(library, tmp_path / "leaf")
    with pytest.raises(LibraryError, match="can't be listed"):
        run_teach(library, tmp_path / "missing")


def test_a_second_class_without_photos_is_refused_and_nothing_taught_is_lost(
    with_others: Library, words: Path, tmp_path: Path, paint: Paint
) -> None:
    (tmp_path / "more" / "empty").mkdir(parents=True)
    paint(tmp_path / "more" / "warm" / "new.png", "rose", 40)
    with pytest.raises(LibraryError, match=r"There are photos of warm only; none that can be read in .*empty"):
        run_teach(with_others, tmp_path / "more")
    assert taught(with_others) is None
    assert run_teach(with_others, words)["words"] == {"leaf": 5, "warm": 6}
    paint(tmp_path / "third" / "sky" / "1.png", "blue", 41)
    assert run_teach(with_others, tmp_path / "third")["words"] == {"leaf": 5, "sky": 1, "warm": 6}


def test_unteach_takes_back_one_word_or_all(with_others: Library, words: Path, tmp_path: Path, paint: Paint) -> None:
    paint(words / "sky" / "1.png", "blue", 42)
    run_teach(with_others, words)
    with pytest.raises(LibraryError, match=r"not taught dog\. It knows leaf, sky, warm"):
        unteach(with_others, ["dog", "sky"])
    assert with_others.catalog.words() == {"leaf": 5, "sky": 1, "warm": 5}
    assert unteach(with_others, ["sky"]) == {"removed": ["sky"], "words": {"leaf": 5, "warm": 5}, "fitted": True}
    probe = taught(with_others)
    assert probe is not None
    assert probe.words == ("leaf", "warm")
    assert unteach(with_others, ["leaf"])["fitted"] is False
    assert said(with_others, paint(tmp_path / "ask.png", "red", 7)) == []
    assert unteach(with_others)["words"] == {}
    assert with_others.catalog.counts(with_others.space_id)["embedded"] == 31, "photos stay"


def test_marks_find_their_photos_and_odd_words_are_refused(with_others: Library) -> None:
    contents = with_others.catalog.matching(Filter()).tolist()
    assert teach(with_others, {"  sea ": contents[:2]}) is None  # one word: kept, nothing to tell apart yet
    assert with_others.catalog.words() == {"sea": 2}
    assert teach(with_others, {"lake": contents[2:4]}) is not None
    found = with_others.catalog.marked_with(["sea"])
    assert found.tolist() == contents[:2]
    for word in ("", "  ", "x" * 101, "a\nb", "nul\0"):
        with pytest.raises(LibraryError, match="is no word to teach"):
            teach(with_others, {word: contents[:1]})
    assert with_others.catalog.words() == {"lake": 2, "sea": 2}


def test_one_photo_a_word_tells_words_apart_and_says_that_nothing_was_held_out(
    with_others: Library, tmp_path: Path, paint: Paint
) -> None:
    paint(tmp_path / "few" / "warm" / "1.png", "red", 1)
    paint(tmp_path / "few" / "leaf" / "1.png", "green", 1)
    report = run_teach(with_others, tmp_path / "few")
    assert (report["held_out"], report["held_out_accuracy"]) == (0, None)
    assert said(with_others, paint(tmp_path / "ask.png", "rose", 7))[0][0] == "warm"
    assert said(with_others, paint(tmp_path / "ask.png", "blue", 7))[0][0] is None


def test_vectors_that_are_lost_are_left_out(with_others: Library, words: Path) -> None:
    run_teach(with_others, words)
    leaf = with_others.catalog.marked(with_others.space_id)["leaf"]
    with_others.catalog.drop_vectors(leaf, with_others.space_id)
    assert refit(with_others) is None
    assert taught(with_others) is None
    assert with_others.catalog.words() == {"leaf": 5, "warm": 5}


def cloud(random: np.random.Generator, n: int, m: int, words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n marked vectors around their words' places, their shares, and m others."""
    places = 2 * random.normal(size=(words, 6))
    group = np.arange(n) % words
    return places[group] + random.normal(size=(n, 6)), np.eye(words)[group], 2 * random.normal(size=(m, 6))


def brute_force(ridge: _Ridge, vectors: np.ndarray, left_out: np.ndarray, asked: int) -> np.ndarray:
    """The scores of one row by the fit of all rows but some: augmented with ones, which are not penalised."""
    rows = np.column_stack([(vectors - ridge.mean) / ridge.scale, np.ones(len(vectors))])
    kept = np.setdiff1d(np.arange(len(vectors)), left_out)
    weight = ridge.root[kept] ** 2
    penalty = ridge._penalty(ridge.strength) * np.diag([1.0] * (rows.shape[1] - 1) + [0.0])
    answer = np.linalg.solve(
        rows[kept].T @ (weight * rows[kept]) + penalty, rows[kept].T @ (weight * ridge.shares[kept])
    )
    return rows[asked] @ answer


@pytest.mark.parametrize("m", [0, 30])
def test_held_out_answers_are_those_of_a_fit_without_the_picture(m: int) -> None:
    marked, shares, others = cloud(np.random.default_rng(1), 12, m, 3)
    ridge = _Ridge(marked, shares, others)
    vectors = np.concatenate([marked, others])
    for row in (0, 5, len(vectors) - 1):
        assert ridge.held_out()[row] == pytest.approx(brute_force(ridge, vectors, np.array([row]), row), abs=1e-8)
    inside = np.flatnonzero(ridge.group == 1)
    expected = brute_force(ridge, vectors, inside, inside[0])
    assert ridge.words_left_out()[inside[0]][[0, 2]] == pytest.approx(expected[[0, 2]], abs=1e-6)


def test_chances_are_what_they_say_on_new_pictures() -> None:
    """Of answers with a chance of about p, about p are right: two clouds that overlap."""
    random = np.random.default_rng(2)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        group = random.integers(0, 2, n)
        return (np.array([[0.7, 0], [-0.7, 0]])[group] + random.normal(size=(n, 2))), group

    vectors, group = draw(200)
    others = np.array([[0, 9.0]]) + random.normal(size=(200, 2))
    probe = fit(["a", "b"], {"p": vectors}, np.eye(2)[group], {"p": others}, [("p",)])
    asked, truth = draw(4000)
    chances = probe.chances({"p": asked})
    assert chances.sum(axis=1) == pytest.approx(np.ones(4000))
    named = chances[:, :2] / chances[:, :2].sum(axis=1, keepdims=True)
    right = named.argmax(axis=1) == truth
    assert abs(right.mean() - named.max(axis=1).mean()) < 0.05
    sure, unsure = named.max(axis=1) > 0.85, named.max(axis=1) < 0.65
    assert right[sure].mean() > 0.85 > 0.65 > right[unsure].mean()
    assert (probe.chances({"p": others})[:, -1] > 0.5).mean() > 0.9


def test_where_the_other_photos_are_of_the_same_things_none_of_these_is_not_claimed() -> None:
    random = np.random.default_rng(4)
    marked, shares, _ = cloud(random, 40, 0, 4)
    others = marked[random.integers(0, 40, 400)] + 0.01 * random.normal(size=(400, 6))  # closer than any held-out one
    probe = fit(list("abcd"), {"p": marked}, shares, {"p": others}, [("p",)])
    assert (probe.chances({"p": marked})[:, -1] > 0.5).sum() == 0


def test_the_parts_that_tell_the_words_apart_are_chosen() -> None:
    random = np.random.default_rng(3)
    group = np.arange(40) % 2
    vectors = {"noise": random.normal(size=(40, 4)), "told": np.eye(2)[group] + 0.1 * random.normal(size=(40, 2))}
    others = {part: random.normal(size=(30, rows.shape[1])) for part, rows in vectors.items()}
    probe = fit(["a", "b"], vectors, np.eye(2)[group], others, [("noise",), ("told",)])
    assert probe.parts == ("told",)
    assert probe.calibration["accuracy"] == 1.0


def test_the_best_words_come_first_up_to_k() -> None:
    weights = np.zeros((2, 4), np.float32)
    weights[-1] = [0.1, 0.4, 0.3, 0.2]
    facts = {"parts": ["p"], "temperature": 0.1, "slope": 100.0, "middle": 0.0}
    vectors = {"p": np.zeros(1, np.float32)}
    known = own_labels(Probe(tuple("abcd"), weights, facts), vectors, k=3)
    assert [word for word, _ in known] == ["b", "c", "d"]
    strange = own_labels(Probe(tuple("abcd"), weights, facts | {"middle": 1.0}), vectors, k=3)
    assert [word for word, _ in strange] == [None, "b", "c", "d"]
    assert own_labels(None, vectors) == []
