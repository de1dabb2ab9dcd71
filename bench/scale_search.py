"""How well and how fast a library of bench/scale_library.py is searched; parts of bench/scale.py."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

QUERIES, K = 200, 10
EVEN = 1e-5  # of photos that are as near as this either is right
CALLERS = (1, 8, 32)


def search(folder: Path) -> dict[str, Any]:
    """Recall@10 for the pooled part and each preset, and milliseconds a query: of the index, and of the whole search."""
    from bench.scale_library import Vectors
    from index.library import Library
    from index.look import Example
    from index.search import LIKE, find_similar, like

    with Library.open(folder) as library:
        drawn = Vectors(library.space.parts).draw(QUERIES, seed=10**6)
        examples = [Example({part: drawn[part][row] for part in drawn}) for row in range(QUERIES)]
        index = library.index(library.space.pooled)
        pooled = index.compared(drawn[library.space.pooled])
        cold = _milliseconds(lambda row: find_similar(library, [examples[row]]), 1)
        report: dict[str, Any] = {"kind": index.choice.factory, "width": index.dim, "whole search, cold, ms": cold}
        for callers in CALLERS:
            report[f"index, {callers} callers, ms"] = _milliseconds(
                lambda row: index.search(pooled[row : row + 1], K), callers
            )
            report[f"whole search, {callers} callers, ms"] = _milliseconds(
                lambda row: find_similar(library, [examples[row]]), callers
            )
        report["peak MB of searching"] = peak_mb()  # what follows holds every vector against the queries
        for name in LIKE:
            weights = like(library, name)
            report[f"recall@10 like {name}"] = _recall(library, examples, drawn, weights)
        parts = dict.fromkeys(library.space.names, 1.0)
        report["recall@10 all parts alike"] = _recall(library, examples, drawn, parts)
        report["all parts alike, ms"] = _milliseconds(
            lambda row: find_similar(library, [examples[row]], weights=parts), 1
        )
    return report


def filters(folder: Path) -> dict[str, Any]:
    """Milliseconds and recall@10 of searches within a filter, and how many contents each leaves."""
    from bench.scale_library import CAMERAS, Vectors
    from index.bounds import Bounds
    from index.library import Library
    from index.look import Example
    from index.search import find_similar
    from index.words import Named
    from storage.records import Filter

    with Library.open(folder) as library:
        photos = folder.with_name(folder.name.replace("library", "photos"))
        pooled = library.space.pooled
        drawn = Vectors(library.space.parts).draw(40, seed=10**6)[pooled]
        library.index(pooled)
        cases = {
            "one folder": Filter(folder=str(photos / "00003")),
            "one day": Filter(after=datetime(2016, 3, 1), before=datetime(2016, 3, 2)),
            "half the years": Filter(before=datetime(2020, 1, 1)),
            "a rare camera": Filter(camera=CAMERAS[17]),
            "a label": [Named("3", (3,), ())],
        }
        report: dict[str, Any] = {}
        for name, case in cases.items():
            asked_for = {"where": case} if isinstance(case, Filter) else {"names": case}
            start = time.monotonic()
            allowed = Bounds(**asked_for).contents(library)
            asked = round((time.monotonic() - start) * 1e3, 1)
            if not len(allowed):
                continue
            found = [find_similar(library, [Example({pooled: one})], k=K, **asked_for).neighbours for one in drawn]
            true = _best(library, allowed, {pooled: drawn}, {pooled: 1.0})
            hits = [
                [neighbour.score >= row[-1] - EVEN for neighbour in line] for line, row in zip(found, true, strict=True)
            ]
            milliseconds = _milliseconds(
                lambda row, asked_for=asked_for: find_similar(
                    library, [Example({pooled: drawn[row % 40]})], **asked_for
                ),
                1,
                40,
            )
            report[name] = {
                "contents": len(allowed), "catalogue ms": asked, "ms": milliseconds,
                "recall@10": round(float(np.mean([np.mean(line) for line in hits])), 4),
            }  # fmt: skip
        return report


def peers(folder: Path) -> dict[str, Any]:
    """FAISS' flat index in memory, and all vectors read from SQLite for each query: milliseconds and memory."""
    import faiss

    from bench.scale_library import Vectors
    from index.library import Library

    faiss.omp_set_num_threads(1)
    with Library.open(folder) as library:
        part = library.space.pooled
        queries = Vectors(library.space.parts).draw(QUERIES, seed=10**6)[part]
        flat = faiss.IndexFlatIP(queries.shape[1])
        file = folder / "rclip-way.sqlite"
        file.unlink(missing_ok=True)
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, filepath TEXT, vector BLOB)")
            for start in range(0, len(library.vectors), 10_000):
                ids = np.arange(start + 1, min(start + 10_000, len(library.vectors)) + 1)
                _, vectors = library.vectors.of(ids, part)
                flat.add(vectors)
                database.executemany(
                    "INSERT INTO images VALUES (?, ?, ?)",
                    [(int(one), f"/photos/{one}.jpg", row.tobytes()) for one, row in zip(ids, vectors, strict=True)],
                )
        start = time.monotonic()
        rclip = _milliseconds(lambda row: _rclip_way(file, queries[row]), 1, 3)
        file.unlink()
        return {"FAISS flat, ms": _milliseconds(lambda row: flat.search(queries[row : row + 1], K), 1, 50)} | {
            "rclip's way, ms": rclip
        }


def _rclip_way(file: Path, query: np.ndarray) -> list[int]:
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT id, filepath, vector FROM images").fetchall()
    vectors = np.stack([np.frombuffer(row[2], np.float32) for row in rows])
    return [rows[one][0] for one in np.argsort(-(vectors @ query))[:K]]


def _milliseconds(ask: Callable[[int], Any], callers: int, count: int = QUERIES) -> dict[str, float]:
    """p50 and p99 of `count` calls spread over so many threads."""
    times: list[float] = []

    def run(rows: Sequence[int]) -> None:
        for row in rows:
            start = time.monotonic()
            ask(row)
            times.append((time.monotonic() - start) * 1e3)

    threads = [threading.Thread(target=run, args=(range(number, count, callers),)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"p50": round(float(np.percentile(times, 50)), 2), "p99": round(float(np.percentile(times, 99)), 2)}


def _recall(library: Any, examples: list[Any], drawn: dict[str, np.ndarray], weights: dict[str, float]) -> float:
    """The share of the true ten nearest contents, by brute force over all stored vectors, that the search finds."""
    from index.search import find_similar

    best = _best(library, np.arange(1, len(library.vectors) + 1), drawn, weights)
    found = [find_similar(library, [one], k=K, weights=weights).neighbours for one in examples]
    hits = [[one.score >= row[-1] - EVEN for one in line] for line, row in zip(found, best, strict=True)]
    return round(float(np.mean(hits)), 4)


def _best(library: Any, contents: np.ndarray, drawn: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """The ten best scores of each query among these contents, by brute force, float32 (q, up to 10), descending."""
    total = sum(weights.values())
    compared = {part: library.index(part).compared for part in weights}
    queries = {part: form(drawn[part]) for part, form in compared.items()}
    best = np.empty((len(next(iter(drawn.values()))), 0), np.float32)
    for start in range(0, len(contents), 20_000):
        ids = contents[start : start + 20_000]
        scores = np.zeros((len(best), len(ids)), np.float32)
        for part, weight in weights.items():
            vectors = compared[part](library.vectors.of(ids, part)[1])
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            scores += np.float32(weight / total) * (queries[part] @ vectors.T)
        best = -np.sort(-np.concatenate([best, scores], axis=1), axis=1)[:, :K]
    return best


def peak_mb() -> int:
    """The most memory that this process has had so far, mapped files included."""
    # Of this program alone: what getrusage says includes the process that it was started from.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))
