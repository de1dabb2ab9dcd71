"""Random sequences of what happens to folders, against a plain model of what the catalogue should say after each run."""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from PIL import Image

import index.compact
import index.library
import index.pending
import index.scan
import regconv.images
from index.decode_worker import Decoded, DecodeTask, Failure, decode_file
from index.doctor import examine
from index.errors import NothingIndexed
from index.job import index_folder
from index.library import Library
from index.search import example_of_photo, find_similar
from regconv.errors import UnreadableImage
from regconv.images import Limits, Recipe
from storage.records import Filter

PRESENT, UNREADABLE, GONE = "present", "unreadable", "gone"
FOLDERS = ["one", "one/x", "one/x/deep", "two", "two/disk", "two/disk/z"]
NAMES = [
    "plain.png", "Other.PNG", "line\nbreak.png", os.fsdecode(b"not-utf8-\xff\xfe.jpg"), "q" * 251 + ".png", "no-ending",
    "'; --.png", "snow 雪.webp", "notes.txt",
]  # fmt: skip


def directions() -> list[tuple[int, int, int]]:
    """Colours whose mean vectors point far apart, so that each photo is its own nearest."""
    found: list[tuple[int, int, int]] = []
    for colour in np.ndindex(4, 4, 4):
        values = np.array(colour) * 72 + 20
        units = [np.array(other) / np.linalg.norm(other) for other in found]
        if all(unit @ values / np.linalg.norm(values) < 0.99 for unit in units):
            found.append((int(values[0]), int(values[1]), int(values[2])))
    return found


COLOURS = directions()
RUNS: list[bool] = []  # one for each index run


@functools.cache
def bytes_of(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


COLOUR_OF = {bytes_of(colour): colour for colour in range(len(COLOURS))}


class WatchedDecoder:
    """The decoder's work in this process; what is to happen to a file while it is read happens then."""

    before: dict[str, Callable[[], None]] = {}  # noqa: RUF012  (of one machine at a time)
    during: dict[str, Callable[[], None]] = {}  # noqa: RUF012
    current = ""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def decode(self, tasks: Iterable[DecodeTask]) -> Generator[Any, None, None]:
        for task in tasks:
            self.before.pop(task.path, lambda: None)()
            WatchedDecoder.current = task.path
            yield decode_file(task, self.recipe, Limits())

    def picture(self, path: str) -> Decoded:
        WatchedDecoder.current = ""
        result = decode_file(DecodeTask(path), self.recipe, Limits())
        if isinstance(result, Failure):
            raise UnreadableImage(path, result.reason)
        assert isinstance(result, Decoded)
        return result

    def close(self) -> None:
        pass


class WatchedFile:
    """A file that changes between the question for its stamp and the reading of its bytes."""

    def __init__(self, *named: Any) -> None:
        self.file = builtins.open(*named)  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> WatchedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def fileno(self) -> int:
        return self.file.fileno()

    def read(self, size: int) -> bytes:
        WatchedDecoder.during.pop(WatchedDecoder.current, lambda: None)()
        return self.file.read(size)


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


class Folders(RuleBasedStateMachine):
    """The rules are what people and systems do to folders; `index` is the one that is tested."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="regconv-folders-"))
        self.tree, self.away = self.base / "tree", self.base / "away"
        for folder in FOLDERS:
            (self.tree / folder).mkdir(parents=True)
        self.away.mkdir()
        self.time_ns = 1_700_000_000_000_000_000
        self.locked: set[str] = set()
        self.disks = {str(self.tree / "two" / "disk")}  # where another device begins
        self.unmounted: dict[str, Path] = {}  # mount point or root -> where its files are meanwhile
        self.bin: list[tuple[Path, Path]] = []
        self.racing: dict[str, tuple[str, int]] = {}
        self.catalogue: dict[str, Entry] = {}
        self.vectors: set[int] = set()
        self.known_disks: set[str] = set()
        scandir, self.patches = os.scandir, contextlib.ExitStack()

        def refused(folder: Any) -> Any:
            if not isinstance(folder, int) and os.fspath(folder) in self.locked:
                raise PermissionError(13, "Permission denied", folder)
            return scandir(folder)

        def device_of(folder: str) -> int:
            os.stat(folder)
            return 1 + any(os.path.join(folder, "").startswith(os.path.join(disk, "")) for disk in self.disks)

        self.patches.enter_context(mock.patch.object(index.scan.os, "scandir", refused))
        self.patches.enter_context(mock.patch.object(index.scan, "device_of", device_of))
        WatchedDecoder.before, WatchedDecoder.during = {}, {}
        self.library = self.opened()

    def teardown(self) -> None:
        self.library.close()
        self.patches.close()
        shutil.rmtree(self.base)

    def opened(self) -> Library:
        return Library.open(self.base / "library", model="colours", create=True)

    @initialize(colours=st.lists(st.integers(0, len(COLOURS) - 1), min_size=4, max_size=12))
    def begin(self, colours: list[int]) -> None:
        for number, colour in enumerate(colours):
            path = self.folders()[number % len(self.folders())] / NAMES[number % len(NAMES)]
            self.write(path, bytes_of(colour))

    # what is there

    def files(self) -> list[Path]:
        found = [Path(folder) / name for folder, _, names in os.walk(self.tree) for name in names]
        return sorted(path for path in found if not path.is_symlink())

    def folders(self) -> list[Path]:
        return sorted(path for path in self.tree.rglob("*") if path.is_dir() and not path.is_symlink())

    def pick(self, paths: list[Path], number: int) -> Path | None:
        return paths[number % len(paths)] if paths else None

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.stamp(path)

    def stamp(self, path: Path) -> None:
        self.time_ns += 1_000_000_007  # no two stamps are alike: what has the same one is taken to be unchanged
        os.utime(path, ns=(self.time_ns, self.time_ns))

    # what happens to files

    @rule(folder=st.integers(0, 9), name=st.sampled_from(NAMES), colour=st.integers(0, len(COLOURS) - 1))
    def new_or_changed(self, folder: int, name: str, colour: int) -> None:
        target = self.pick(self.folders(), folder)
        if target is not None and not os.path.lexists(target / name):
            self.write(target / name, b"words" if name == "notes.txt" else bytes_of(colour))

    @rule(number=st.integers(0, 99), colour=st.integers(0, len(COLOURS) - 1))
    def changed(self, number: int, colour: int) -> None:
        if path := self.pick(self.files(), number):
            self.write(path, bytes_of(colour))

    @rule(number=st.integers(0, 99))
    def damaged(self, number: int) -> None:
        if path := self.pick(self.files(), number):
            self.write(path, path.read_bytes()[:50])

    @rule(number=st.integers(0, 99))
    def touched(self, number: int) -> None:
        if path := self.pick(self.files(), number):
            self.stamp(path)

    @rule(number=st.integers(0, 99), folder=st.integers(0, 9), name=st.sampled_from(NAMES))
    def moved_or_renamed(self, number: int, folder: int, name: str) -> None:
        path, target = self.pick(self.files(), number), self.pick(self.folders(), folder)
        if path and target and not os.path.lexists(target / name):
            path.rename(target / name)

    @rule(number=st.integers(0, 99))
    def case_changed(self, number: int) -> None:
        if path := self.pick(self.files(), number):
            other = path.with_name(path.name.swapcase())
            if not os.path.lexists(other):
                path.rename(other)

    @rule(one=st.integers(0, 99), two=st.integers(0, 99))
    def swapped(self, one: int, two: int) -> None:
        first, second = self.pick(self.files(), one), self.pick(self.files(), two)
        if first and second and first != second:
            first.rename(self.away / "between")
            second.rename(first)
            (self.away / "between").rename(second)

    @rule(number=st.integers(0, 99), folder=st.integers(0, 9), name=st.sampled_from(NAMES), as_link=st.booleans())
    def copied(self, number: int, folder: int, name: str, as_link: bool) -> None:
        path, target = self.pick(self.files(), number), self.pick(self.folders(), folder)
        if path and target and not os.path.lexists(target / name):
            if as_link:
                (target / name).symlink_to(path)
            else:
                self.write(target / name, path.read_bytes())

    @rule(number=st.integers(0, 99))
    def deleted(self, number: int) -> None:
        if path := self.pick(self.files(), number):
            kept = self.away / f"deleted-{len(self.bin)}"
            path.rename(kept)
            self.bin.append((kept, path))

    @precondition(lambda self: self.bin)
    @rule(number=st.integers(0, 99))
    def restored(self, number: int) -> None:
        kept, path = self.bin.pop(number % len(self.bin))
        if path.parent.is_dir() and not os.path.lexists(path):
            kept.rename(path)

    @rule(number=st.integers(0, 99), kind=st.sampled_from(["replaced", "deleted", "during"]), colour=st.integers(0, 9))
    def to_change_when_it_is_read(self, number: int, kind: str, colour: int) -> None:
        links = [path for path in self.tree.rglob("*") if path.is_symlink()]
        if (path := self.pick(self.files(), number)) and not links:
            self.racing[str(path)] = (kind, colour)

    # what happens to folders

    @rule(folder=st.integers(0, 9), into=st.integers(0, 9), name=st.sampled_from(["m", "x", "z"]))
    def folder_moved(self, folder: int, into: int, name: str) -> None:
        path, target = self.pick(self.folders(), folder), self.pick(self.folders(), into)
        roots = {self.tree / "one", self.tree / "two", *map(Path, self.disks)}
        if path is None or target is None or path in roots or target.is_relative_to(path):
            return
        if not os.path.lexists(target / name) and not self.racing:
            path.rename(target / name)

    @rule(folder=st.integers(0, 9), up=st.integers(0, 3))
    def link_loop(self, folder: int, up: int) -> None:
        path = self.pick(self.folders(), folder)
        if path and not os.path.lexists(path / "loop.png"):
            (path / "loop.png").symlink_to([path, self.tree, path / "loop.png", path / "nowhere"][up])

    @rule(folder=st.integers(0, 9))
    def locked_or_unlocked(self, folder: int) -> None:
        if path := self.pick(self.folders(), folder):
            self.locked ^= {str(path)}

    @rule(which=st.sampled_from(["one", "two/disk"]), leaves_a_folder=st.booleans())
    def unmounted_or_mounted(self, which: str, leaves_a_folder: bool) -> None:
        point = self.tree / which
        if str(point) in self.unmounted:
            if point.is_dir():
                if os.listdir(point):
                    return  # somebody put files into the mount point: they would be hidden by the disk
                point.rmdir()
            if point.parent.is_dir():
                self.unmounted.pop(str(point)).rename(point)
                self.disks |= {str(point)} if which == "two/disk" else set()
        elif point.is_dir() and str(point) not in self.locked:
            point.rename(self.away / which.replace("/", "-"))
            self.unmounted[str(point)] = self.away / which.replace("/", "-")
            self.disks -= {str(point)}
            if leaves_a_folder:
                point.mkdir()

    @rule(number=st.integers(0, 99))
    def mounted_elsewhere(self, number: int) -> None:
        point, target = str(self.tree / "two" / "disk"), self.tree / "two" / f"disk-{number % 2}"
        if point in self.unmounted and not os.path.lexists(target) and self.tree.joinpath("two").is_dir():
            shutil.copytree(self.unmounted[point], target, symlinks=True)
            self.disks |= {str(target)}

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
            hidden = tuple(os.path.join(folder, "") for folder in mine)
            spared += mine
            inside = {disk for disk in self.known_disks if disk.startswith(os.path.join(root, ""))}
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
        assert len(catalog.matching(Filter(), space)) == len(set(present.values()))
        health = examine(self.library)
        assert health["ok"], health["checks"]
        assert {check["name"]: check["detail"] for check in health["checks"]}["left over"] == "no file is left over"


def candidate(path: str) -> tuple[int, int] | None:
    """Size and time of a file that is or claims to be a picture; zeros for one that can't be asked."""
    claims = path.lower().endswith((".png", ".jpg", ".webp"))
    try:
        facts = os.stat(path)
        return (facts.st_size, facts.st_mtime_ns) if claims or read(path)[:4] == b"\x89PNG" else None
    except OSError:
        return (0, 0) if claims else None


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def rewrite(path: str, data: bytes, time_ns: int) -> None:
    Path(path).write_bytes(data)
    os.utime(path, ns=(time_ns, time_ns))


@pytest.fixture
def machinery(monkeypatch: pytest.MonkeyPatch, open_library: Callable[..., Library]) -> None:
    """A torch-free library whose decoder is watched; several commits a run, and merges now and then."""
    monkeypatch.setattr(index.library, "Decoder", WatchedDecoder)
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 3)
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 3)
    monkeypatch.setattr(index.compact, "GRACE_S", -1)
    monkeypatch.setattr(regconv.images, "open", WatchedFile, raising=False)


QUICK = settings(
    max_examples=8,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.usefixtures("machinery")
def test_whatever_happens_to_folders_the_catalogue_says_what_is_there() -> None:
    RUNS.clear()
    run_state_machine_as_test(Folders, settings=QUICK)
    assert len(RUNS) > 50, "too few index runs to show anything"


@pytest.mark.slow
@pytest.mark.usefixtures("machinery")
def test_whatever_happens_to_folders_for_longer() -> None:
    run_state_machine_as_test(
        Folders, settings=settings(QUICK, max_examples=300, stateful_step_count=60, derandomize=False)
    )
