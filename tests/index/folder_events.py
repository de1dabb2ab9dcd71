"""What people and systems do to folders of photos, as rules for hypothesis to string together."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import index.scan
from tests.index.watched_files import COLOURS, WatchedDecoder, bytes_of

FOLDERS = ["one", "one/x", "one/x/deep", "two", "two/disk", "two/disk/z"]
NAMES = [
    "plain.png", "Other.PNG", "line\nbreak.png", os.fsdecode(b"not-utf8-\xff\xfe.jpg"), "q" * 251 + ".png", "no-ending",
    "'; --.png", "snow 雪.webp", "notes.txt",
]  # fmt: skip


class FolderEvents(RuleBasedStateMachine):
    """A tree of folders, a place beside it, and what happens to them."""

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

    def teardown(self) -> None:
        self.patches.close()
        shutil.rmtree(self.base)

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
            self.stamp(path)  # or it would not be read
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
