"""Random sequences of what happens to folders, against a plain model of what the catalogue should say after each run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

import index.compact
import index.open_space
import index.pending
import regconv.images
from index.doctor import examine
from index.errors import NothingIndexed
from index.job import index_folder
from index.library import Library
from index.search import example_of_photo, find_similar
from storage.records import Filter
from tests.index.folder_events import FolderEvents
from tests.index.watched_files import (
    COLOUR_OF,
    COLOURS,
    WatchedDecoder,
    WatchedFile,
    bytes_of,
    candidate,
    read,
    rewrite,
)

PRESENT, UNREADABLE, GONE = "present", "unreadable", "gone"
RUNS: list[bool] = []  # one for each index run


@dataclass(frozen=True)
class Entry:
    """What the catalogue should say of a path."""

    state: str
    stamp: tuple[int, int]
    colour: int | None = None


@dataclass
class Expected:
    """What a run should count."""

    embedded: int = 0
    unchanged: int = 0
    moved: int = 0
    failed: int = 0
    gone: int = 0


class Folders(FolderEvents):
    """`index` is what is tested, after whatever happened."""

    def __init__(self) -> None:
        super().__init__()
        self.catalogue: dict[str, Entry] = {}
        self.vectors: set[int] = set()
        self.known_disks: set[str] = set()
        self.library = self.opened()

    def teardown(self) -> None:
        self.library.close()
        super().teardown()

    def opened(self) -> Library:
        return Library.open(self.base / "library", model="colours", create=True)

    @rule()
    def opened_anew(self) -> None:
        self.library.close()
        self.library = self.opened()

    # what should come of it

    def listed(self, root: str, files: dict[str, tuple[int, int]], spared: list[str], met: set[str]) -> None:
        if root in self.locked or not os.path.isdir(root):
            spared.append(root)
            return
        for name in os.listdir(root):
            path = os.path.join(root, name)
            if os.path.isdir(path) and not os.path.islink(path):
                met |= {path} & self.disks
                self.listed(path, files, spared, met)
            elif not os.path.isdir(path) and (stamp := candidate(path)):
                files[path] = stamp

    def below(self, folder: str, *states: str) -> list[str]:
        start = os.path.join(folder, "")
        return [path for path, entry in self.catalogue.items() if path.startswith(start) and entry.state in states]

    def expect(self, roots: list[str], retry: bool) -> tuple[Expected, bool]:
        """Brings the model up to date: what the run should count, and whether no root can be read at all."""
        files: dict[str, tuple[int, int]] = {}
        spared: list[str] = []
        absent: list[str] = []
        for root in roots:
            if os.path.isdir(root) and root not in self.locked and not os.listdir(root) and self.below(root, PRESENT):
                spared.append(root)
                continue
            met: set[str] = set()
            mine: list[str] = []
            self.listed(root, files, mine, met)
            below_disk = (disk for disk in self.disks if os.path.join(root, "").startswith(os.path.join(disk, "")))
            met |= {disk for disk in below_disk if os.path.isdir(root)}
            hidden = tuple(os.path.join(folder, "") for folder in mine)
            spared += mine
            inside = {disk for disk in self.known_disks if os.path.join(disk, "").startswith(os.path.join(root, ""))}
            self.known_disks = (self.known_disks - inside) | met
            for disk in sorted(inside - met):
                if os.path.join(disk, "").startswith(hidden):
                    self.known_disks.add(disk)
                elif (not os.path.isdir(disk) or not os.listdir(disk)) and self.below(disk, PRESENT):
                    self.known_disks.add(disk)
                    absent.append(disk)
        counts = Expected()
        if set(roots) <= set(spared):
            return counts, True
        seen = {path for path, stamp in files.items() if self.read(path, stamp, retry, counts)}
        kept = tuple(os.path.join(folder, "") for folder in (*spared, *absent))
        for root in roots:
            for path in self.below(root, PRESENT, UNREADABLE):
                if path not in seen and not path.startswith(kept):
                    self.set_gone(path, counts)
        for disk in absent:
            inside_disk = self.below(disk, PRESENT)
            others = {
                entry.colour
                for path, entry in self.catalogue.items()
                if path not in inside_disk and entry.state == PRESENT
            }
            for path in inside_disk:
                if self.catalogue[path].colour in others:
                    self.set_gone(path, counts)
        return counts, False

    def set_gone(self, path: str, counts: Expected) -> None:
        counts.gone += 1
        self.catalogue[path] = Entry(GONE, self.catalogue[path].stamp)

    def read(self, path: str, stamp: tuple[int, int], retry: bool, counts: Expected) -> bool:
        """What becomes of one file; False for one that is deleted before it is read."""
        entry = self.catalogue.get(path)
        if entry and entry.stamp == stamp and entry.state == PRESENT:
            counts.unchanged += 1
            return True
        if entry and entry.stamp == stamp and entry.state == UNREADABLE and not retry:
            counts.failed += 1
            return True
        kind, new = self.racing.pop(path, ("", 0))
        colour = None if kind == "during" else COLOUR_OF.get(read(path))
        if kind == "deleted":
            WatchedDecoder.before[path] = functools.partial(os.unlink, path)
            return False
        if kind:
            self.time_ns += 1_000_000_007
            changes = WatchedDecoder.during if kind == "during" else WatchedDecoder.before
            changes[path] = functools.partial(rewrite, path, bytes_of(new), self.time_ns)
        if kind == "replaced":
            colour, stamp = new, (len(bytes_of(new)), self.time_ns)
        if colour is None:
            counts.failed += 1
            self.catalogue[path] = Entry(UNREADABLE, stamp)
            return True
        if colour not in self.vectors:
            counts.embedded += 1
        elif entry and entry.state == PRESENT and entry.colour == colour:
            counts.unchanged += 1
        else:
            counts.moved += 1
        self.vectors.add(colour)
        self.catalogue[path] = Entry(PRESENT, stamp, colour)
        return True

    @rule(which=st.sampled_from([["one", "two"], [""], ["one"], ["two"], ["one/x"], ["two/disk"]]), retry=st.booleans())
    def part_indexed(self, which: list[str], retry: bool) -> None:
        self.index(which, retry)

    @rule()
    def indexed(self) -> None:
        self.index(["one", "two"], False)

    @rule(retry=st.booleans())
    def all_indexed(self, retry: bool) -> None:
        self.index([""], retry)

    @rule(
        which=st.sampled_from(["one", "two/disk"]),
        first=st.sampled_from(["", "two/disk"]),
        leaves_a_folder=st.booleans(),
        elsewhere=st.booleans(),
    )
    def unmounted_between_two_runs(self, which: str, first: str, leaves_a_folder: bool, elsewhere: bool) -> None:
        self.index([first], False)
        self.unmounted_or_mounted(which=which, leaves_a_folder=leaves_a_folder)
        if elsewhere:
            self.mounted_elsewhere(number=0)
        self.index(["one", "two"], False)

    def index(self, which: list[str], retry: bool) -> None:
        RUNS.append(retry)
        roots = [str(self.tree / folder) if folder else str(self.tree) for folder in which]
        expected, nothing = self.expect(roots, retry)
        if nothing:
            with pytest.raises(NothingIndexed):
                list(index_folder(self.library, roots, retry_failed=retry))
        else:
            *_, last = index_folder(self.library, roots, retry_failed=retry)
            report = last.report
            assert report is not None
            counted = {name: report[name] for name in ("embedded", "unchanged", "moved", "gone")}
            assert counted | {"failed": len(report["failed"])} == vars(expected)
            assert report["seen"] == sum(vars(expected).values()) - expected.gone
        assert WatchedDecoder.before == WatchedDecoder.during == {}
        self.racing.clear()
        self.agrees()

    def agrees(self) -> None:
        """States, contents and vectors are those of the model; the doctor is content; each photo finds itself first."""
        catalog, space = self.library.catalog, self.library.space_id
        photos = {
            photo.path: photo for state in (PRESENT, UNREADABLE, GONE) for photo in catalog.photos_in(state, 10_000)
        }
        assert {path: photo.state for path, photo in photos.items()} == {
            path: entry.state for path, entry in self.catalogue.items()
        }
        places = list(catalog.vector_places(space, 0, catalog.newest_shard(space)))
        contents = np.concatenate([np.empty(0, np.int64), *(ids for _, _, ids in places)])
        assert len(np.unique(contents)) == len(contents) == len(self.vectors)
        present = {path: entry.colour for path, entry in self.catalogue.items() if entry.state == PRESENT}
        stored = self.library.stored(contents.tolist(), "stage2")
        for path, colour in present.items():
            own = np.array(COLOURS[colour or 0]) / np.linalg.norm(COLOURS[colour or 0])
            np.testing.assert_allclose(stored[photos[path].content_id or 0], own, atol=2e-3)
        if stored:
            found = self.library.index("stage2").search(np.stack(list(stored.values())), 1)[1][:, 0]
            assert found.tolist() == list(stored)
        for path in sorted(present)[:2]:
            answer = find_similar(self.library, [example_of_photo(self.library, photos[path].id)], k=50)
            assert [each.photo.path for each in answer.neighbours if each.score > 0.999] == sorted(
                other for other, colour in present.items() if colour == present[path]
            )
        assert len(catalog.matching(Filter())) == len(set(present.values()))
        if len(RUNS) % 3:
            return  # the doctor costs as much as all the rest
        health = examine(self.library)
        assert health["ok"], health["checks"]
        assert {check["name"]: check["detail"] for check in health["checks"]}["left over"] == "no file is left over"


@pytest.fixture
def machinery(monkeypatch: pytest.MonkeyPatch, open_library: Callable[..., Library]) -> None:
    """A torch-free library whose decoder is watched; several commits a run, and merges now and then."""
    monkeypatch.setattr(index.open_space, "Decoder", WatchedDecoder)
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 3)
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 3)
    monkeypatch.setattr(index.compact, "GRACE_S", -1)
    monkeypatch.setattr(regconv.images, "open", WatchedFile, raising=False)


QUICK = settings(
    max_examples=10,
    stateful_step_count=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # to make a failure small takes minutes: the longer run does
)


@pytest.mark.usefixtures("machinery")
def test_whatever_happens_to_folders_the_catalogue_says_what_is_there() -> None:
    RUNS.clear()
    run_state_machine_as_test(Folders, settings=QUICK)
    assert len(RUNS) > 50, "too few index runs to show anything"


@pytest.mark.slow
@pytest.mark.usefixtures("machinery")
def test_whatever_happens_to_folders_for_longer() -> None:
    longer = settings(QUICK, max_examples=100, stateful_step_count=60, derandomize=False)
    run_state_machine_as_test(Folders, settings=settings(longer, phases=[Phase.generate, Phase.shrink]))
