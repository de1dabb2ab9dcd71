"""Figures against a worked example and brute force; the walk over folders on colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.errors import LibraryError
from index.evaluate import SLICE, Pictures, _report, evaluate, matching_labels, retrieval
from index.library import Library
from index.whitening import fit
from ui.terminal import evaluation_text

Paint = Callable[..., Path]
WIDTH = 200


def run(library: Library, folder: Path, train: Path | None = None) -> dict[str, Any]:
    *steps, last = evaluate(library, str(folder), None if train is None else str(train))
    assert last.report is not None
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert last.done == last.total == len(steps)
    return last.report


def test_average_precision_of_a_worked_example() -> None:
    """Right answers at ranks 1, 3 and 6: (1/1 + 2/3 + 3/6) / 3."""
    angles = np.arange(6) * 0.1
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = np.array(["a", "b", "a", "b", "b", "a"])
    ap, precision = retrieval(np.float32([[1, 0]]), np.array(["a"]), vectors, found, itself=False)
    assert ap[0] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert precision[0] == pytest.approx(3 / 6)
    itself, _ = retrieval(vectors, found, vectors, found, itself=True)
    assert itself[0] == pytest.approx((1 / 2 + 2 / 5) / 2)


@pytest.mark.parametrize("itself", [False, True])
def test_retrieval_equals_brute_force(itself: bool) -> None:
    random = np.random.default_rng(0)
    n, q = SLICE + 37, SLICE + 37
    vectors = random.normal(size=(n, 5)).astype(np.float32)
    found = random.integers(0, 4, n).astype(str)
    found[3] = "alone"
    queries, asked = (vectors, found) if itself else (random.normal(size=(q, 5)).astype(np.float32), found[::-1])
    ap, precision = retrieval(queries, asked, vectors, found, itself=itself)
    for i in range(0, q, 9):
        order = [j for j in sorted(range(n), key=lambda j: -float(queries[i] @ vectors[j])) if not (itself and j == i)]
        right = [found[j] == asked[i] for j in order]
        values = [sum(right[: r + 1]) / (r + 1) for r in range(len(order)) if right[r]]
        assert ap[i] == pytest.approx(np.mean(values), abs=1e-6)
        assert precision[i] == pytest.approx(np.mean(right[:10]))
    if itself:
        assert np.isnan(ap[3]), "there is nothing of its class to find"
        assert np.isnan(precision[3])


def test_folders_match_labels_and_their_synonyms() -> None:
    labels = {0: "tench, Tinca tinca", 1: "great white shark, white shark", 2: "crane", 3: "Crane"}
    assert matching_labels("Tinca_tinca", labels) == {0}
    assert matching_labels("white-shark", labels) == {1}
    assert matching_labels("great white shark, white shark", labels) == {1}
    assert matching_labels("crane", labels) == {2, 3}
    assert matching_labels("shark", labels) == set()


@pytest.fixture
def classes(tmp_path: Path, paint: Paint) -> Path:
    """Class folders: "hot" (red, rose; a label's synonym), "Cold" (blue) and "leaf" (green), no label's name."""
    folder = tmp_path / "classes"
    for seed in range(3):
        paint(folder / "hot" / f"{seed}.png", "red" if seed else "rose", seed)
        paint(folder / "Cold" / f"{seed}.png", "blue", seed)
        paint(folder / "leaf" / f"{seed}.png", "green", seed)
    return folder


def test_labels_and_retrieval_by_class(library: Library, classes: Path) -> None:
    (classes / "hot" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (classes / "nothing").mkdir()
    (classes / ".hidden").mkdir()
    report = run(library, classes)
    assert (report["pictures"], report["searched"], report["unmatched"]) == (9, 9, ["leaf"])
    assert (report["top1"], report["top5"], report["map"]) == (1.0, 1.0, 1.0)
    assert report["precision_at_10"] == pytest.approx(2 / 8)  # two of its kind among the eight others
    assert [entry["name"] for entry in report["classes"]] == ["Cold", "hot", "leaf"]
    assert report["classes"][2] == {
        "name": "leaf", "pictures": 3, "top1": None, "top5": None, "map": 1.0, "precision_at_10": 0.25,
    }  # fmt: skip
    assert [Path(failure["path"]).name for failure in report["failed"]] == ["broken.png"]
    assert [Path(folder).name for folder in report["empty"]] == ["nothing"]


def test_wrong_labels_and_wrong_neighbours_cost(library: Library, classes: Path, paint: Paint) -> None:
    paint(classes / "Cold" / "3.png", "red", 9)
    report = run(library, classes)
    cold = report["classes"][0]
    assert (cold["top1"], cold["top5"]) == (0.75, 1.0)
    assert cold["map"] < 1
    assert report["top1"] == pytest.approx(6 / 7, abs=1e-4)  # leaf has no label: it counts for neither


def test_with_train_pictures_those_are_searched(library: Library, classes: Path, tmp_path: Path, paint: Paint) -> None:
    train = tmp_path / "train"
    paint(train / "hot" / "a.png", "green", 50)
    paint(train / "leaf" / "b.png", "red", 51)
    report = run(library, classes, train)
    by_name = {entry["name"]: entry for entry in report["classes"]}
    assert report["searched"] == 2
    assert (by_name["hot"]["map"], by_name["leaf"]["map"]) == (0.5, 0.5)
    assert by_name["Cold"]["map"] is None
    assert report["map"] == 0.5


def test_nothing_to_measure_is_said(library: Library, tmp_path: Path) -> None:
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(LibraryError, match="nothing can be measured"):
        run(library, tmp_path / "empty")
    with pytest.raises(LibraryError, match="can't be listed"):
        run(library, tmp_path / "missing")


def test_retrieval_is_by_whitened_vectors_as_in_a_library_with_the_plain_cosine_beside_it(library: Library) -> None:
    random = np.random.default_rng(0)
    kinds, loud = random.normal(size=(2, 4, WIDTH))
    names = [f"kind {number % 4}" for number in range(200)]
    rows = kinds[np.arange(200) % 4] + random.normal(size=(200, 3)) @ (3 * loud[:3]) + random.normal(size=(200, WIDTH))
    units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    pictures = Pictures(names, [units], [np.zeros((200, 2), np.int64)])
    report = _report(library, pictures, pictures, itself=True)
    whitening = fit(units)
    assert whitening is not None
    for figures, vectors in ((report, whitening.of(units)), (report["plain"], units)):
        ap, precision = retrieval(vectors, np.array(names), vectors, np.array(names), itself=True)
        assert figures["map"] == pytest.approx(ap.mean(), abs=1e-4)
        assert figures["precision_at_10"] == pytest.approx(precision.mean(), abs=1e-4)
    assert report["whitened"]
    assert report["map"] > report["plain"]["map"] + 0.02
    assert "plain cosine" in evaluation_text(report | {"failed": [], "empty": []})
    few = Pictures(names[:50], [units[:50]], [np.zeros((50, 2), np.int64)])
    report = _report(library, few, few, itself=True)
    assert not report["whitened"]
    assert report["map"] == report["plain"]["map"]
