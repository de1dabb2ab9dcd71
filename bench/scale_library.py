"""Libraries of any size to measure on: real files, catalogue rows and shards, with vectors that are generated.

The vectors are like a network's: clusters of unequal size in 64 latent dimensions, through a random network with one hidden
layer for each part, with noise. They are not random directions, which no index could search faster than by brute force.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, insert

from index.library import Library
from storage.database import now, writing
from storage.shards import shard_rows
from storage.tables import PRESENT, Content, Label, Photo, Shard, Vector

CLUSTERS, LATENT, HIDDEN = 3000, 64, 256
ROWS = 50_000  # of a shard, as after merging
FOLDER_FILES = 1000
MTIME_NS = 1_700_000_000 * 10**9
CAMERAS = tuple(f"Camera {number}" for number in range(20))


class Vectors:
    """Generated unit vectors of all parts of a space."""

    def __init__(self, parts: tuple[tuple[str, int], ...], seed: int = 0) -> None:
        fixed = np.random.default_rng(seed)
        self.parts = parts
        weights = 1 / np.arange(1, CLUSTERS + 1)
        self.share = weights / weights.sum()
        spectrum = np.linspace(1.0, 0.1, LATENT)
        self.centres = fixed.normal(size=(CLUSTERS, LATENT)) * spectrum
        self.spread = fixed.uniform(0.3, 0.9, size=(CLUSTERS, LATENT)) * spectrum
        self.layers = {
            name: (fixed.normal(size=(LATENT, HIDDEN)) / 8, fixed.normal(size=(HIDDEN, width)) / HIDDEN**0.5)
            for name, width in parts
        }

    def draw(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Float32 (count, width) of unit length for each part; the same for the same seed."""
        random = np.random.default_rng(seed)
        cluster = random.choice(CLUSTERS, count, p=self.share)
        inside = self.centres[cluster] + self.spread[cluster] * random.normal(size=(count, LATENT))
        found = {}
        for name, (first, second) in self.layers.items():
            raw = np.tanh(inside @ first) @ second
            raw = np.maximum(raw, 0.1 * raw)
            raw += 0.04 * raw.std() * random.normal(size=raw.shape)
            found[name] = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
        return found


def make(folder: Path, photos: Path, count: int) -> None:
    """A library of `count` photos in `folder`, and their files (of one byte) in `photos`: nothing is left to be indexed."""
    with Library.open(folder, model="starter", create=True) as library:
        vectors = Vectors(library.space.parts)
        for number, start in enumerate(range(0, count, ROWS)):
            numbers = range(start, min(start + ROWS, count))
            paths = list(_files(photos, numbers))
            drawn = vectors.draw(len(numbers), seed=number + 1)
            digests = [hashlib.blake2b(str(one).encode(), digest_size=32).hexdigest() for one in numbers]
            norms = {name: np.ones(len(numbers), np.float32) for name, _ in vectors.parts}
            shard = library.shards.write(shard_rows(vectors.parts, drawn, norms, digests))
            with writing(library.catalog.engine) as connection:
                values = {"provenance": {}, "created_at": now(), "space_id": library.space_id, **vars(shard)}
                shard_id = connection.execute(insert(Shard).values(values)).inserted_primary_key[0]
                _rows(connection, library, numbers, paths, digests, shard_id)


def _files(photos: Path, numbers: range) -> Iterator[str]:
    """The paths of files of one byte with a fixed time, written where they are not there yet."""
    for number in numbers:
        folder = photos / f"{number // FOLDER_FILES:05d}"
        path = f"{folder}/{number:08d}.jpg"
        if number % FOLDER_FILES == 0:
            folder.mkdir(parents=True, exist_ok=True)
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(b"x")
            os.utime(path, ns=(MTIME_NS, MTIME_NS))
        yield path


def _rows(
    connection: Connection, library: Library, numbers: range, paths: list[str], digests: list[str], shard_id: int
) -> None:
    random = np.random.default_rng(numbers.start)
    days, cameras = random.integers(0, 3650, len(numbers)).tolist(), random.zipf(1.5, len(numbers)).tolist()
    first = datetime(2015, 1, 1)
    space, many = library.space_id, len(library.space.labels)
    top = (random.zipf(1.2, (len(numbers), 5)) % many).tolist()
    tables: dict[type, list[dict]] = {Content: [], Photo: [], Vector: [], Label: []}
    for row, number in enumerate(numbers):
        content = number + 1
        tables[Content].append(
            {
                "id": content, "digest": digests[row], "size": 1, "width": 4000, "height": 3000, "format": "JPEG",
                "taken_at": first + timedelta(days=days[row]), "camera": CAMERAS[cameras[row] % len(CAMERAS)],
            }
        )  # fmt: skip
        tables[Photo].append(
            {
                "id": content,
                "path": paths[row],
                "content_id": content,
                "size": 1,
                "mtime_ns": MTIME_NS,
                "state": PRESENT,
            }
        )
        tables[Vector].append({"content_id": content, "space_id": space, "shard_id": shard_id, "row": row})
        tables[Label] += [
            {"content_id": content, "space_id": space, "rank": rank, "label_index": label, "score": 0.5 / (rank + 1)}
            for rank, label in enumerate(top[row])
        ]
    for table, values in tables.items():
        connection.execute(insert(table), values)
