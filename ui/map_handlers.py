"""What the page's events about the map do, as plain functions on plain values: no Gradio here, and no HTML."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from index import atlas
from index.atlas import Atlas
from index.background import in_background
from index.library import Library
from index.runner import RUNNING
from index.teach import taught
from ui import job_handlers
from ui.handlers import EMPTY_LIBRARY

log = logging.getLogger(__name__)

COLOURS = 8  # groups that have one of their own: more can't be told apart
EDGE = 65_535  # the map's longer side, in the whole numbers in which places are sent
BUSY_S, IDLE_S = 5.0, 60.0  # how old a count of the library may be while a job works, and else
NONE_OF_THESE = "none of these"


@dataclass(frozen=True)
class MapView:
    """Where the map of a library is. `problem` says why there is none, `hint` what to do first."""

    running: bool = False
    percent: int = 0
    stamp: str = ""  # names the map that can be had; "" where there is none
    shown: int = 0  # pictures on it
    total: int = 0  # photos of the library, copies too
    new: int = 0  # pictures that a map drawn now would show besides
    is_sample: bool = False
    problem: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Colouring:
    """Groups of points, the largest first, and the number of each point's group; len(groups) stands for all others."""

    name: str
    groups: list[str]
    of: list[int]


@dataclass(frozen=True)
class MapPoints:
    """The points, in an order as good as random; x and y from 0 to EDGE at most, y upwards."""

    stamp: str = ""
    photos: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # the files', without folders
    x: list[int] = field(default_factory=list)
    y: list[int] = field(default_factory=list)
    colourings: list[Colouring] = field(default_factory=list)


@dataclass(frozen=True)
class _Count:
    """What a library of 100,000 photos takes a tenth of a second to count."""

    of: tuple[object, ...]
    at: float  # time.monotonic
    total: int  # photos
    wanted: int  # pictures that a map drawn now would show,
    new: int  # and of these what the map has not


class MapDrawing:
    """The map, and the drawing of a new one in the background, which outlives the page that asked for it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._maps: dict[int, Atlas | None] = {}  # of the space that answered last
        self._running = False
        self._percent = 0
        self._problem: str | None = None
        self._tried: set[int] = set()  # spaces
        self._count: _Count | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to draw; nothing where that is at work already, or where it is drawn and nothing can have changed."""
        library = self.library.follow()
        if library.catalog.is_read_only and self._map_of(library) is not None:
            return  # anybody could keep a demo's computer busy
        with self._lock:
            if self._running:
                return
            self._running, self._percent, self._problem = True, 0, None
            self._tried.add(library.space_id)
            self._stop.clear()
            self._thread = in_background("map", self._run, library)

    def start_first(self) -> None:
        """Begin where there are photos and no map yet; not again where that was stopped, or failed."""
        library = self.library.follow()
        if library.space_id in self._tried or self._map_of(library) is not None:
            return
        if library.catalog.counts(library.space_id)["embedded"]:
            self.start()

    def stop(self) -> None:
        """End after the current step; an older map stays."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the drawing that was started has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def view(self) -> MapView:
        """Where it is now. While a map is drawn, and while nothing has changed since the last answer, this takes no time."""
        library = self.library.follow()
        drawn = self._map_of(library)
        stamp = "" if drawn is None else drawn.stamp
        if self._running:
            return MapView(True, self._percent, stamp)
        count = self._counted(library, drawn)
        if not count.total:
            return MapView(hint=EMPTY_LIBRARY)
        if drawn is None:
            return MapView(total=count.total, problem=self._problem)
        is_sample = count.wanted == atlas.MOST < count.total
        return MapView(False, 0, stamp, count.wanted - count.new, count.total, count.new, is_sample, self._problem)

    def points(self) -> MapPoints:
        """Everything that is on the map; nothing where there is none."""
        library = self.library.follow()
        drawn = self._map_of(library)
        if drawn is None:
            return MapPoints()
        found = atlas.photos_of(library, drawn.contents.tolist())
        is_there = np.isin(drawn.contents, list(found))
        contents = drawn.contents[is_there]
        photos = [found[content] for content in contents.tolist()]
        ids, paths = [photo.id for photo in photos], [photo.path for photo in photos]
        names = [os.path.basename(path) for path in paths]
        return MapPoints(
            drawn.stamp, ids, names, *_whole(drawn.places[is_there]), _colourings(library, contents, paths)
        )

    def photo_on_it(self, photo_id: int) -> int | None:
        """The photo that stands on the map for a photo, which may be a copy of it; None where there is none."""
        library = self.library.follow()
        drawn, photo = self._map_of(library), library.catalog.photo(photo_id)
        if drawn is None or photo is None or photo.content_id is None or photo.content_id not in drawn.contents:
            return None
        found = atlas.photos_of(library, [photo.content_id])
        return found[photo.content_id].id if found else None

    def _counted(self, library: Library, drawn: Atlas | None) -> _Count:
        """Counted anew for another map, when a job has begun or ended, and when the last count is old."""
        jobs = [library.catalog.latest_job(kind) for kind in job_handlers.KINDS]
        of = (library.space_id, drawn and drawn.stamp, *(job and (job.id, job.state) for job in jobs))
        is_busy = any(job is not None and job.state == RUNNING for job in jobs)
        last = self._count
        if last is None or last.of != of or time.monotonic() - last.at > (BUSY_S if is_busy else IDLE_S):
            at = time.monotonic()
            total = library.catalog.counts(library.space_id)["embedded"]
            wanted = np.empty(0, np.int64) if drawn is None else atlas.contents_to_show(library)
            new = 0 if drawn is None else len(np.setdiff1d(wanted, drawn.contents))
            self._count = last = _Count(of, at, total, len(wanted), new)
        return last

    def _map_of(self, library: Library) -> Atlas | None:
        with self._lock:
            if library.space_id not in self._maps:
                self._maps = {library.space_id: atlas.load(library)}
            return self._maps[library.space_id]

    def _run(self, library: Library) -> None:
        drawn: Atlas | None = None
        try:
            for progress, last in atlas.draw(library, self._map_of(library)):
                self._percent, drawn = progress.done, last
                if self._stop.is_set():
                    self._problem = "The drawing was stopped."
                    return
            assert drawn is not None
            with self._lock:
                self._maps = {library.space_id: drawn}
            if not library.catalog.is_read_only:
                self._keep(library, drawn)
        except Exception as error:
            # Whatever ends it, the person who waits for it reads why.
            log.exception("The map could not be drawn.")
            self._problem = str(error) or type(error).__name__
        finally:
            self._running = False

    def _keep(self, library: Library, drawn: Atlas) -> None:
        try:
            atlas.save(library, drawn)
        except OSError as error:
            log.info("The map could not be kept.", exc_info=True)
            self._problem = f"The map can be used until this server ends; it could not be kept: {error.strerror}."


def _whole(places: np.ndarray) -> tuple[list[int], list[int]]:
    if not len(places):
        return [], []
    low = places.min(axis=0)
    scale = EDGE / max(float((places.max(axis=0) - low).max()), 1e-30)
    x, y = np.rint((places.astype(np.float64) - low) * scale).astype(int).T
    return x.tolist(), y.tolist()


def _colourings(library: Library, contents: np.ndarray, paths: Sequence[str]) -> list[Colouring]:
    strongest = library.catalog.strongest_labels(contents.tolist(), library.space_id)
    labels = [library.label(strongest[one]) if one in strongest else None for one in contents.tolist()]
    given = {"Label": labels, "Your words": _own_words(library, contents), "Folder": _folders(paths)}
    return [_colouring(name, words) for name, words in given.items() if any(words)]


def _own_words(library: Library, contents: np.ndarray) -> list[str | None]:
    """The likeliest taught word of each; None for all where nothing was taught."""
    probe = taught(library)
    if probe is None:
        return [None] * len(contents)
    known, vectors = library.vectors.of_parts(contents, probe.parts)
    best = probe.chances(vectors).argmax(axis=1)
    words = [*probe.words, NONE_OF_THESE]
    return [words[place] if is_known else None for place, is_known in zip(best.tolist(), known, strict=True)]


def _folders(paths: Sequence[str]) -> list[str | None]:
    """Each photo's folder by its last name, with the one above where two are called alike."""
    folders = [Path(path).parent for path in paths]
    alike = Counter(folder.name for folder in set(folders))
    return [folder.name if alike[folder.name] == 1 else "/".join(folder.parts[-2:]) for folder in folders]


def _colouring(name: str, words: Sequence[str | None]) -> Colouring:
    counted = Counter(word for word in words if word)
    groups = [word for word, _ in sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:COLOURS]]
    numbers = {word: number for number, word in enumerate(groups)}
    return Colouring(name, groups, [numbers.get(word or "", len(groups)) for word in words])
