"""A change of model that is killed with SIGKILL anywhere in its writing: the old one answers, and the next run makes the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from index.doctor import examine
from index.library import Library
from index.switch import switch_back
from index.teach import teach
from tests.index.two_models import GREY, nearest, switch

ROOT = Path(__file__).parents[2]
Open = Callable[..., Library]
Order = Callable[..., dict[str, Any]]
COPIES = 9  # photos, of which the program commits three at a time


@pytest.fixture
def order() -> Iterator[Order]:
    """(library's folder, **more) -> what crash_program.py answers to an order to switch: its steps, how the child ended."""
    command = [sys.executable, "-m", "tests.index.crash_program"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def send(folder: Path, **more: Any) -> dict[str, Any]:
            told = {"library": str(folder), "folder": "", "switch": GREY, "migrations": None, "signal": "SIGKILL"}
            program.stdin.write(json.dumps(told | {"pause_s": 0.2, "delay_s": 0.0} | more) + "\n")
            program.stdin.flush()
            return dict(json.loads(program.stdout.readline()))

        yield send
        program.stdin.close()


@pytest.fixture
def before(
    filled: Library, photos: Path, paint: Callable[..., Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a library of nine photos with taught words, closed. What is left over is swept at once."""
    monkeypatch.setattr("index.compact.GRACE_S", -1)
    for number in range(COPIES - 5):
        paint(photos / f"more-{number}.png", "green", seed=number + 1)
    run(filled, photos)
    named = {Path(photo.path).stem: photo.content_id or 0 for photo in filled.catalog.photos_in("present", 99)}
    teach(filled, {"warm": [named["red"]], "cold": [named["blue"]]})
    filled.close()
    return filled.folder


def rows_of(library: Library) -> dict[str, bytes]:
    """What the space that answers holds of each content, by digest."""
    found = {}
    for shard_id, file in library.catalog.shards(library.space_id).items():
        mapped = library.shards.open(file, library.space.dtype)
        rows, _, digests = library.catalog.vector_digests(shard_id)
        found.update({bytes(digest).hex(): bytes(mapped[row]) for row, digest in zip(rows, digests, strict=True)})
    return found


def strike(before: Path, open_library: Open, order: Order, blows: int | None) -> int:
    """Kills at so many kinds of step, evenly over the run (None: at each kind); how many came before the switch."""
    calm = shutil.copytree(before, before.parent / "calm")
    answer = order(calm)
    assert answer["ended"] == 0
    kinds = list(dict.fromkeys(step for step in answer["steps"] if step.startswith("switching")))
    assert len(kinds) > 12
    with open_library(folder=calm, model=None) as library:
        assert (library.model, len(rows := rows_of(library))) == (GREY, COPIES)
    old = 0
    for number in range(len(kinds) if blows is None else blows):
        kind = kinds[number if blows is None else number * len(kinds) // blows]
        struck = shutil.copytree(before, before.parent / f"struck-{number}")
        assert order(struck, step=kind, time=answer["steps"].count(kind) // 2 + 1)["ended"] == -9, kind
        with open_library(folder=struck, model=None) as library:
            health = examine(library, whole=True)
            assert health["ok"], (kind, health["checks"])
            assert nearest(library, "red") == ["red", "rose"], kind
            assert library.catalog.counts(library.space_id)["embedded"] == COPIES
            missing = {space.model: COPIES - space.vectors for space in library.catalog.spaces()}.get(GREY, COPIES)
            old += library.model == "colours"
            report = switch(library)
            assert (report["active"], report["built"], report["photos"]) == (True, missing, COPIES), kind
            assert rows_of(library) == rows, kind
            assert library.shards.orphans(library.catalog.shard_files()) == [], kind
            assert library.catalog.probe(library.space_id).words == ["cold", "warm"]  # type: ignore[union-attr]
            assert examine(library, whole=True)["ok"], kind
            assert switch_back(library)["without"] == 0
    return old


def test_ten_kills_lose_nothing_and_the_old_model_answers(before: Path, open_library: Open, order: Order) -> None:
    assert strike(before, open_library, order, 10) >= 6


@pytest.mark.slow
def test_a_kill_at_every_kind_of_step(before: Path, open_library: Open, order: Order) -> None:
    assert strike(before, open_library, order, None) >= 12
