"""Several spaces in one library: who follows the switch, what goes along into backups, and what is given up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import compact
from index.backup import back_up
from index.doctor import examine
from index.errors import LibraryError, ModelMismatch
from index.export import export
from index.job import index_folder
from index.library import Library
from index.look import Example, glance_at, must_be_of
from index.restore import restore
from index.runner import Runner
from index.switch import forget_spaces, switch_back, switch_model, switch_status
from index.teach import teach
from storage.errors import CatalogError, LeaseLost, ReadOnly
from tests.index.two_models import GREY, GreyBackbone, nearest, switch

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def half_built(filled: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library of five photos with a second space that has two of them."""
    monkeypatch.setattr(GreyBackbone, "batch_size", 1)
    steps = switch_model(filled, GREY)
    while next(steps).embedded < 2:
        pass
    steps.close()
    return filled


def test_a_process_that_holds_the_library_open_follows(filled: Library, open_library: Open, photos: Path) -> None:
    page = open_library(model=None)
    before = page.follow()
    assert nearest(page, "red") == ["red", "rose"]
    switch(filled)
    assert page.model == "colours"  # until it asks
    after = page.follow()
    assert (page.model, after.model, before.model, before.follow().model) == (GREY, GREY, "colours", GREY)
    assert len({len(library.index("stage2")) for library in (page, before, after)}) == 1
    assert (before.index("stage2").dim, after.index("stage2").dim) == (3, 4)  # what was under way ends as it began
    assert page.follow().backbone is after.backbone  # loaded once
    switch_back(filled)
    assert nearest(page.follow(), "red") == ["red", "rose"]
    assert glance_at(page, str(photos / "red.png")).labels[0][1] == "warm, hot"


def test_who_switches_has_the_new_network_already(filled: Library) -> None:
    switch(filled)
    assert "indexes" in filled.opened.__dict__
    assert filled.backbone.embedded == 10  # type: ignore[attr-defined]  # five, and again to see that each finds itself


def test_a_picture_that_was_looked_at_in_another_space_is_never_compared(filled: Library, photos: Path) -> None:
    old = glance_at(filled, str(photos / "red.png")).example
    must_be_of(filled.space.key, [old])
    switch(filled)
    with pytest.raises(ModelMismatch, match="Look at it again"):
        must_be_of(filled.space.key, [glance_at(filled, str(photos / "red.png")).example, old])
    must_be_of(filled.space.key, [Example({})])


def test_a_job_of_a_library_that_was_opened_before_writes_into_the_space_that_answers(
    filled: Library, open_library: Open, photos: Path, paint: Callable[..., Path]
) -> None:
    page = open_library(model=None)
    page.space_id, page.description  # noqa: B018
    switch(filled)
    paint(photos / "new.png", "red", seed=7)
    *_, last = index_folder(page, [str(photos)])
    assert last.report is not None
    assert (last.report["model"], last.report["embedded"], last.report["unchanged"]) == (GREY, 1, 5)
    assert [space["vectors"] for space in switch_status(page)["spaces"]] == [5, 6]
    new = next(photo for photo in page.catalog.photos_in("present", 99) if photo.path.endswith("new.png"))
    probe = teach(open_library(model=None), {"a": [new.content_id or 0], "b": [1]})
    assert probe is not None


def test_a_switch_runs_in_the_background(filled: Library) -> None:
    runner = Runner(filled)
    assert runner.job("switch") is None
    runner.start_switch(GREY)
    runner.wait(30)
    job = runner.job("switch")
    assert job is not None
    assert (job.state, job.folders, job.report["active"]) == ("done", [GREY], True)  # type: ignore[index]
    assert runner.job().kind == "index"  # type: ignore[union-attr]
    runner.stop("switch")  # nothing runs: nothing to say


def test_given_up_spaces_leave_nothing_behind_but_the_library_s_birth(filled: Library, open_library: Open) -> None:
    assert forget_spaces(filled)["forgotten"] == []  # there is nothing else yet
    born, files = filled.catalog.born(), {path.name for path in filled.shards.folder.iterdir()}
    old = filled.space_id
    teach(filled, {"a": [1], "b": [2]})
    switch(filled)
    assert filled.catalog.probe(old) is not None
    report = forget_spaces(filled)
    assert report["forgotten"] == [{"space": "space of colours", "model": "colours", "vectors": 5}]
    assert report["bytes"] > 0
    assert (report["model"], report["previous"], report["photos"]) == (GREY, None, 5)
    assert filled.catalog.born() == born
    assert not files & {path.name for path in filled.shards.folder.iterdir()}
    assert filled.catalog.shard_files() == {path.name for path in filled.shards.folder.iterdir()}
    saved = {path.name for path in filled.cache.iterdir()} - {"weights.json"}
    assert saved == filled.catalog.generation_files()
    assert (filled.catalog.probe(old), filled.catalog.labels(1, old)) == (None, [])
    assert filled.catalog.words() == {"a": 1, "b": 1}
    assert examine(filled, whole=True, recall=True)["ok"]
    with pytest.raises(LibraryError, match="has been given up"):
        switch_back(filled)
    again = forget_spaces(open_library(model=None))
    assert (again["forgotten"], again["bytes"]) == ([], 0)
    assert switch(filled, "colours")["built"] == 5


def test_the_space_that_answers_is_never_given_up(filled: Library) -> None:
    job_id = filled.catalog.start_job("switch", [])
    with pytest.raises(CatalogError, match="can't be given up"):
        filled.catalog.drop_spaces({filled.space_id}, job_id)
    filled.catalog.finish_job(job_id, "done")
    for act in (filled.catalog.drop_spaces, lambda _, job: filled.catalog.activate(filled.space_id, "colours", job)):
        with pytest.raises(LeaseLost):
            act({99}, job_id)
    assert examine(filled)["ok"]


def test_half_a_space_is_no_illness_and_goes_into_a_backup(
    half_built: Library, open_library: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = examine(half_built, recall=True, whole=True)
    assert health["ok"], health["checks"]
    list(back_up(half_built, tmp_path / "backup"))
    list(restore(tmp_path / "backup", tmp_path / "again"))
    again = open_library(folder=tmp_path / "again", model=None)
    assert [(space["model"], space["role"], space["vectors"]) for space in switch_status(again)["spaces"]] == [
        ("colours", "active", 5),
        (GREY, "building", 2),
    ]
    assert examine(again, whole=True)["ok"]
    assert switch(again)["built"] == 3
    assert examine(again, whole=True)["ok"]
    list(back_up(half_built, tmp_path / "backup"))  # the one that was not switched: it is still the same library
    list(export(again, tmp_path / "all.npz"))
    with np.load(tmp_path / "all.npz") as arrays:
        assert arrays["vector_stage2"].shape == (5, 4)
    assert switch(half_built)["built"] == 3
    list(back_up(half_built, tmp_path / "backup"))
    forget_spaces(half_built)
    list(back_up(half_built, tmp_path / "backup"))  # nor did giving up its first space make it another
    assert len(list((tmp_path / "backup" / "shards").iterdir())) == len(half_built.catalog.all_shards())


def test_no_sweep_takes_another_space_s_shards(
    half_built: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "GRACE_S", -1)
    held = half_built.catalog.shard_files()
    for name in held:
        os.utime(half_built.shards.folder / name, (time.time() - 1000,) * 2)
    run(half_built, photos)
    examine(half_built, mend=True)
    assert half_built.catalog.shard_files() == held == {path.name for path in half_built.shards.folder.iterdir()}
    assert switch(half_built)["built"] == 3
    assert examine(half_built, whole=True)["ok"]


def test_a_library_that_can_only_be_read_says_so(
    filled: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.close()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    library = open_library(model=None, create=False)
    for change in (
        lambda: next(switch_model(library, GREY)),
        lambda: switch_back(library),
        lambda: forget_spaces(library),
    ):
        with pytest.raises(ReadOnly, match="can't be written to"):
            change()
    assert switch_status(library)["spaces"][0]["vectors"] == 5
    assert library.follow().model == "colours"
