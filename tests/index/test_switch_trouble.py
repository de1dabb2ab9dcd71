"""A change of model that meets trouble: photos out of reach, models that fail, checks that don't pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import index.library
import index.switch
import index.switch_checks
from index.doctor import Check, examine
from index.library import Library
from index.switch import switch_back, switch_model
from regconv.errors import ModelNotFound
from storage.errors import JobRunning
from tests.index import two_models
from tests.index.two_models import GREY, MISSING, nearest, switch

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
Paint = Callable[..., Path]


def settings(library: Library) -> dict[str, str | None]:
    return {key: library.catalog.setting(key) for key in ("space", "model", "previous_space", "shadow_space")}


def test_a_photo_that_cannot_be_read_is_not_lost_by_the_way(filled: Library, photos: Path) -> None:
    (photos / "red.png").rename(photos.parent / "red.png")
    report = switch(filled)
    assert (report["active"], report["built"], report["failed_count"]) == (False, 4, 1)
    assert [failure["path"] for failure in report["failed"]] == [str(photos / "red.png")]
    assert "Pictures without vectors of grey: 1, because" in report["problem"]
    assert "`python app.py switch-model grey --library " in report["problem"]
    assert (filled.follow().model, nearest(filled, "rose")) == ("colours", ["rose", "red"])
    assert examine(filled)["ok"]
    report = switch(filled, anyway=True)
    assert (report["active"], report["built"], report["without"]) == (True, 0, 1)
    assert "grey: 1, because" in report["problem"]
    assert nearest(filled, "rose", 9)[0] == "rose"
    assert "red" not in nearest(filled, "rose", 9)
    (photos.parent / "red.png").rename(photos / "red.png")
    report = switch(filled)
    assert (report["active"], report["built"], report["without"], report["problem"]) == (True, 1, 0, None)
    assert nearest(filled, "rose") == ["rose", "red"]


def test_of_copies_any_that_can_be_read_will_do(filled: Library, photos: Path, run: Run) -> None:
    for number, name in enumerate(("red", "blue")):
        for copy in range(3):
            (photos / f"{number}-{copy}.png").write_bytes((photos / f"{name}.png").read_bytes())
    run(filled, photos)
    for gone in ("0-0.png", "0-1.png", "blue.png", "1-0.png"):
        (photos / gone).unlink()
    (photos / "1-1.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    report = switch(filled)
    assert (report["active"], report["built"], report["failed"]) == (True, 5, [])


def test_copies_are_tried_to_the_last(filled: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "a.png").write_bytes((photos / "red.png").read_bytes())
    (photos / "b.png").write_bytes((photos / "red.png").read_bytes())
    run(filled, photos)
    for name in ("a", "b"):
        (photos / f"{name}.png").write_bytes((photos / "blue.png").read_bytes())
    monkeypatch.setattr("index.shadow._is_there", lambda photo: True)  # changed since they were looked at
    report = switch(filled)
    assert (report["active"], report["built"]) == (True, 5)
    (photos / "red.png").unlink()
    index.switch.forget_spaces(filled)
    report = switch(filled, "colours")
    assert [Path(failure["path"]).name for failure in report["failed"]] == ["red.png"]
    assert (report["active"], report["failed_count"], report["built"]) == (False, 1, 4)


def test_a_file_with_other_bytes_than_the_catalogue_has_is_not_taken_for_it(
    filled: Library, paint: Paint, photos: Path
) -> None:
    paint(photos / "red.png", "green", seed=3)
    report = switch(filled)
    assert not report["active"]
    assert "other bytes" in report["failed"][0]["reason"]


def test_a_model_that_cannot_be_had_changes_nothing(filled: Library) -> None:
    before = (settings(filled), filled.catalog.spaces())
    with pytest.raises(ModelNotFound, match="no such model"):
        next(switch_model(filled, MISSING))
    assert (settings(filled), filled.catalog.spaces()) == before
    assert filled.catalog.latest_job("switch") is None


def test_a_network_that_fails_leaves_the_old_one_answering(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(two_models.GreyBackbone, "embed", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        switch(filled)
    job = filled.catalog.latest_job("switch")
    assert (job.state, job.report) == ("failed", {"error": "out of memory"})  # type: ignore[union-attr]
    assert (filled.follow().model, nearest(filled, "red", 1)) == ("colours", ["red"])


def test_one_job_at_a_time(filled: Library, photos: Path) -> None:
    job_id = filled.catalog.start_job("index", [str(photos)])
    for change in (
        lambda: next(switch_model(filled, GREY)),
        lambda: switch_back(filled),
        lambda: index.switch.forget_spaces(filled),
    ):
        with pytest.raises(JobRunning, match=r"Another job \(index\)"):
            change()
    filled.catalog.finish_job(job_id, "done")
    assert switch(filled)["active"]


@pytest.mark.parametrize("failing", ["_counts", "_self_neighbours", "_recall"])
def test_a_space_that_fails_a_check_does_not_answer(
    filled: Library, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.switch_checks, failing, lambda _: Check("this", False, "is wrong"))
    report = switch(filled)
    assert (report["active"], report["built"]) == (False, 5)
    assert "did not pass its checks: this (is wrong)" in report["problem"]
    assert filled.follow().model == "colours"
    assert switch(filled, anyway=True)["active"]


def test_vectors_that_are_another_photos_are_noticed(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = two_models.GreyBackbone.embed
    turned = {"by": 1}

    def mixed_up(self: Any, pictures: Any) -> Any:
        import numpy as np

        return embed(self, np.roll(pictures, turned["by"], axis=0))

    monkeypatch.setattr(two_models.GreyBackbone, "batch_size", 5)
    monkeypatch.setattr(two_models.GreyBackbone, "embed", mixed_up)
    steps = switch_model(filled, GREY)
    report = None
    for progress in steps:
        turned["by"] = int(progress.phase == "embedding")
        report = progress.report
    assert report is not None
    assert not report["active"]
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["self-neighbours"]
