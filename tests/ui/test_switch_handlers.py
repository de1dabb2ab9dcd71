"""The page's side of a change of model, on a real library and a tiny second network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.library import Library
from index.runner import Runner
from ui import handlers, switch_handlers


def test_the_page_goes_on_with_the_model_that_was_switched_to(
    own: Library, photo_ids: dict[str, int], photo_folder: Path, tiny_checkpoint: Callable[..., Path]
) -> None:
    runner, other = Runner(own), tiny_checkpoint("regnet-y")
    view = switch_handlers.switch_view(own)
    assert (view.model, view.running, view.can_go_back, view.problem) == ("starter", False, False, None)
    assert [space.role for space in view.spaces] == ["active"]
    assert handlers.look_at_photo(own, photo_ids["coffee.jpg"]).hits[0].name == "coffee-again.jpg"
    assert switch_handlers.start_switch(runner, f" {other} ") is None
    runner.wait(120)
    view = switch_handlers.switch_view(own)
    assert (view.model, view.photos, view.can_go_back, view.note) == (other.name, 14, True, None)
    assert (view.done, view.total, view.failed, view.problem) == (14, 14, [], None)
    result = handlers.look_at_upload(own, str(photo_folder / "coffee.jpg"))
    assert [sheet.name for sheet in result.sheets] == ["stem", "stage 1", "stage 2", "stage 3"]
    assert result.hits[0].score == pytest.approx(1, abs=1e-3)
    assert handlers.machine(own).model == other.name
    assert switch_handlers.go_back(own) is None
    assert handlers.look_at_photo(own, photo_ids["coffee.jpg"]).hits[0].name == "coffee-again.jpg"
    assert handlers.machine(own).model == "starter"
    assert switch_handlers.forget_others(own) is None
    assert [space.model for space in switch_handlers.switch_view(own).spaces] == ["starter"]


def test_refusals_are_words(own: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(own)
    assert "Name a model first" in str(switch_handlers.start_switch(runner, "  "))
    assert str(tmp_path / "nothing") in str(switch_handlers.start_switch(runner, str(tmp_path / "nothing")))
    assert "no model to go back to" in str(switch_handlers.go_back(own))
    assert switch_handlers.stop_switch(runner) is None  # nothing runs
    job_id = own.catalog.start_job("index", [])
    for refused in (switch_handlers.start_switch(runner, "starter"), switch_handlers.forget_others(own)):
        assert "Another job (index)" in str(refused)
    own.catalog.finish_job(job_id, "done")

    def fail(*_: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(own.catalog, "spaces", fail)
    assert switch_handlers.switch_view(own).problem == "the disk is gone"


def test_an_empty_library_can_be_changed_over(empty_library: Library, tiny_checkpoint: Callable[..., Path]) -> None:
    runner = Runner(empty_library)
    assert switch_handlers.start_switch(runner, str(tiny_checkpoint("convnext"))) is None
    runner.wait(60)
    view = switch_handlers.switch_view(empty_library)
    assert (view.photos, view.can_go_back, view.problem, len(view.spaces)) == (0, True, None, 2)
