"""How good a network is on pictures whose classes are known: its own labels, and how well a search finds their like.

The search is a library's default one: by whitened vectors where there are pictures enough, and beside it by the plain cosine.

Needs no library. Only vectors are kept, the queries' scores a slice at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from index.classes import ClassFolder, class_folders
from index.decode import Decoded, DecodeTask, Failure
from index.errors import LibraryError
from index.look import Sees
from index.progress import DONE, EMBEDDING, Progress, Rate
from index.whitening import fit, is_worth_it

SLICE = 256  # queries whose scores are in memory at a time
AT = 10  # of precision@10


@dataclass
class Pictures:
    """What is kept of pictures: classes, unit vectors (n, d) and the numbers of the top labels (n, up to 5)."""

    names: list[str] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)


def evaluate(eyes: Sees, folder: str, train: str | None = None) -> Generator[Progress, None, None]:
    """Look at every picture of the class folders in `folder`; the last Progress carries the report.

    Each picture asks over those of `train`, or over the others of `folder`. Raises LibraryError where there is nothing to
    measure.
    """
    start = time.monotonic()
    folders = [folder] if train is None else [folder, train]
    listed = [[(one, one.files()) for one in class_folders(each)] for each in folders]
    total = sum(len(files) for classes in listed for _, files in classes)
    reader = _Reader(eyes, total)
    read = []
    for each, classes in zip(folders, listed, strict=True):
        pictures = Pictures()
        yield from reader.read(classes, pictures)
        if not pictures.names:
            raise LibraryError(f"{each} has no class folder with a picture that can be read: nothing can be measured.")
        read.append(pictures)
    report = _report(eyes, read[0], read[-1], itself=train is None)
    empty = [one.path for classes in listed for one, files in classes if not files]
    report |= {"empty": empty, "failed": reader.failed, "seconds": round(time.monotonic() - start, 3)}
    yield reader.progress(DONE, report)


class _Reader:
    """Files in, vectors out, with progress."""

    def __init__(self, eyes: Sees, total: int) -> None:
        self.eyes, self.total = eyes, total
        self.failed: list[dict[str, str]] = []
        self.done = 0
        self.waiting = 0  # of them, for the network
        self.rate = Rate()
        self.current: str | None = None

    def read(self, classes: Sequence[tuple[ClassFolder, list[str]]], into: Pictures) -> Iterator[Progress]:
        """A Progress for every file; the pictures that can be read go `into`."""
        named = [(path, one.name) for one, files in classes for path in files]
        results = self.eyes.decoder.decode(DecodeTask(path) for path, _ in named)
        group: list[tuple[str, np.ndarray]] = []
        try:
            for (path, name), result in zip(named, results, strict=True):
                self.done, self.current = self.done + 1, path
                if isinstance(result, Failure):
                    self.failed.append({"path": path, "reason": result.reason})
                elif isinstance(result, Decoded):
                    group.append((name, result.picture))
                if len(group) >= self.eyes.backbone.batch_size:
                    self._embed(group, into)
                    group = []
                self.waiting = len(group)
                yield self.progress(EMBEDDING)
            if group:
                self._embed(group, into)
                self.waiting = 0
        finally:
            results.close()

    def progress(self, phase: str, report: dict[str, Any] | None = None) -> Progress:
        """The moment now."""
        rate = self.rate.update(self.done - self.waiting)
        left = None if rate is None else (self.total - self.done) / rate
        read, failed = self.done - len(self.failed), len(self.failed)
        return Progress(phase, self.done, self.total, read, 0, 0, failed, 0, rate, left, self.current, report)

    def _embed(self, group: Sequence[tuple[str, np.ndarray]], into: Pictures) -> None:
        parts = self.eyes.backbone.embed(np.stack([picture for _, picture in group]))
        into.names += [name for name, _ in group]
        into.vectors.append(parts.vectors[self.eyes.backbone.description.pooled])
        into.labels.append(parts.labels)


def _report(eyes: Sees, asked: Pictures, found: Pictures, *, itself: bool) -> dict[str, Any]:
    description = eyes.backbone.description
    names = np.array(asked.names)
    matched = {name: matching_labels(name, description.labels) for name in dict.fromkeys(asked.names)}
    labels = np.concatenate(asked.labels)
    hits = np.array([[label in matched[name] for label in row] for name, row in zip(asked.names, labels, strict=True)])
    hits = hits.reshape(len(names), -1)
    with_label = np.array([bool(matched[name]) for name in asked.names])
    top1 = np.where(with_label, hits[:, :1].any(axis=1), np.nan)
    top5 = np.where(with_label, hits[:, :5].any(axis=1), np.nan)
    queries, vectors, classes_found = (
        np.concatenate(asked.vectors),
        np.concatenate(found.vectors),
        np.array(found.names),
    )
    plain = retrieval(queries, names, vectors, classes_found, itself=itself)
    whitening = fit(vectors) if is_worth_it(vectors.shape[1], len(vectors)) else None
    ap, precision = plain
    if whitening is not None:
        whitened = whitening.of(vectors)
        ap, precision = retrieval(
            whitened if itself else whitening.of(queries), names, whitened, classes_found, itself=itself
        )
    figures = {"top1": top1, "top5": top5, "map": ap, "precision_at_10": precision}
    classes = [
        {"name": name, "pictures": int((names == name).sum())}
        | {figure: _mean(values[names == name]) for figure, values in figures.items()}
        for name in matched
    ]
    return {
        "model": description.name,
        "pictures": len(names),
        "searched": len(found.names),
        **{figure: _mean(values) for figure, values in figures.items()},
        "whitened": whitening is not None,
        "plain": {"map": _mean(plain[0]), "precision_at_10": _mean(plain[1])},
        "classes": classes,
        "unmatched": [name for name, indices in matched.items() if not indices],
    }


def matching_labels(name: str, labels: Mapping[int, str]) -> Collection[int]:
    """The numbers of the labels that are, or have among their synonyms (between commas), this folder's name.

    Case, underscores, hyphens and spaces make no difference.
    """
    wanted = _plain(name)
    return {
        index for index, words in labels.items() if wanted in (_plain(words), *(_plain(w) for w in words.split(",")))
    }


def retrieval(
    queries: np.ndarray, asked: np.ndarray, vectors: np.ndarray, found: np.ndarray, *, itself: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(average precision, precision at 10), both float64 (q,), of unit queries (q, d) over vectors (n, d) by the cosine.

    `asked` (q,) and `found` (n,) are classes. With `itself` the queries are the vectors, and none finds itself. A query
    whose class has nothing to find is nan. Among equal scores the earlier comes first.
    """
    average, precision = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    for start in range(0, len(queries), SLICE):
        where = np.arange(start, min(start + SLICE, len(queries)))
        scores = queries[where] @ vectors.T
        if itself:
            scores[np.arange(len(where)), where] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        if itself:
            order = order[:, :-1]  # the picture itself is last
        same = found[order] == asked[where][:, None]
        count = same.sum(axis=1)
        ranks = np.arange(1, same.shape[1] + 1)
        sums = (same.cumsum(axis=1) / ranks * same).sum(axis=1)
        some = count > 0
        average[where[some]] = sums[some] / count[some]
        precision[where[some]] = same[some, :AT].mean(axis=1)
    return average, precision


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None
