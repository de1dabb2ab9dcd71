"""A change of model: the old one answers while the new one is built, and not a photo is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import index.open_space
import index.switch
import index.switch_checks
from index.doctor import examine
from index.errors import LibraryError, ModelMismatch
from index.library import Library
from index.progress import Progress
from index.switch import switch_back, switch_model, switch_status
from index.teach import own_labels, taught, teach, unteach
from tests.index import two_models
from tests.index.two_models import GREY, nearest, switch

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
Paint = Callable[..., Path]


def settings(library: Library) -> dict[str, str | None]:
    return {key: library.catalog.setting(key) for key in ("space", "model", "previous_space", "shadow_space")}


def test_the_old_model_answers_until_the_new_one_has_every_photo(
    filled: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.pending.COMMIT_PHOTOS", 2)
    reader = open_library(model=None)  # as another process would have it
    thumbnails = {path: path.read_bytes() for path in filled.thumbnails.folder.rglob("*.jpg")}
    stamps = sorted(filled.catalog.stamps())
    phases, last = [], None
    for last in switch_model(filled, GREY):
        if last.report is None:
            phases.append(last.phase)
            answers = reader.follow()
            assert (answers.model, nearest(answers, "red")) == ("colours", ["red", "rose"])
    assert list(dict.fromkeys(phases)) == ["embedding", "finishing", "checking"]
    report = last.report  # type: ignore[union-attr]
    assert (report["model"], report["space"], report["active"]) == (GREY, "space of grey", True)
    assert (report["photos"], report["built"], report["without"], report["failed"]) == (5, 5, 0, [])
    assert report["previous"] == {"model": "colours", "space": "space of colours"}
    assert [(check["name"], check["ok"]) for check in report["checks"]] == [
        ("counts", True), ("self-neighbours", True), ("recall", True),
    ]  # fmt: skip
    assert "5 of 5 photos embedded again" in report["checks"][1]["detail"]
    answers = reader.follow()
    assert (answers.model, answers.space.parts, nearest(answers, "red")) == (
        GREY,
        (("stage1", 4), ("stage2", 4)),
        ["red", "rose"],
    )
    red = next(photo for photo in filled.catalog.photos_in("present", 99) if photo.path.endswith("red.png"))
    assert [answers.label(index) for index, _ in answers.catalog.labels(red.content_id or 0, answers.space_id)] == [
        "dull",
        "bright",
    ]
    assert sorted(filled.catalog.stamps()) == stamps
    assert {path: path.read_bytes() for path in filled.thumbnails.folder.rglob("*.jpg")} == thumbnails
    assert settings(filled)["shadow_space"] is None
    assert examine(answers, recall=True, whole=True)["ok"]


def test_neighbours_of_whitened_vectors_pass_the_checks_too(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.whitening.DIMS", 2)
    monkeypatch.setattr("index.whitening.LEAST", 4)
    report = switch(filled)
    assert (report["active"], report["problem"]) == (True, None)
    assert filled.index("stage2").whitening is not None


def test_a_run_that_was_stopped_goes_on_from_there(
    filled: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_models.GreyBackbone, "batch_size", 1)
    steps = switch_model(filled, GREY)
    while next(steps).embedded < 2:
        pass
    steps.close()  # as Ctrl-C does
    library = open_library()
    assert (library.model, nearest(library, "blue", 1)) == ("colours", ["blue"])
    assert [(space["role"], space["vectors"], space["lacking"]) for space in switch_status(library)["spaces"]] == [
        ("active", 5, 0), ("building", 2, 3),
    ]  # fmt: skip
    assert library.catalog.latest_job("switch").state == "interrupted"  # type: ignore[union-attr]
    steps = switch_model(library, GREY)
    next(steps)
    library.catalog.ask_to_stop(library.catalog.latest_job("switch").id)  # type: ignore[union-attr]
    monkeypatch.setattr(index.switch, "BEAT_S", 0)
    assert [progress.report for progress in steps if progress.report] == []
    assert library.follow().model == "colours"
    report = switch(library)
    assert report["active"]
    assert report["built"] <= 3
    assert [space["vectors"] for space in switch_status(library)["spaces"]] == [5, 5]


def test_back_is_a_switch_too_and_nothing_is_embedded(filled: Library) -> None:
    old = filled.opened.backbone
    switch(filled)
    assert filled.model == GREY
    report = switch_back(filled)
    assert (report["model"], report["active"], report["built"], report["without"]) == ("colours", True, 0, 0)
    assert report["previous"] == {"model": GREY, "space": "space of grey"}
    assert nearest(filled, "rose") == ["rose", "red"]
    assert switch_back(filled)["model"] == GREY
    assert old.embedded == 5  # type: ignore[attr-defined]  # nothing since it was indexed
    assert examine(filled)["ok"]


def test_back_without_a_model_before_is_refused(filled: Library) -> None:
    with pytest.raises(LibraryError, match=r"no model to go back to.*switch-model NAME"):
        switch_back(filled)
    assert filled.catalog.start_job("index", [])  # the lease was given back


def test_what_came_after_the_switch_is_missed_after_going_back_and_only_that_is_made(
    filled: Library, photos: Path, paint: Paint, run: Run
) -> None:
    switch(filled)
    paint(photos / "lemon.png", "lime", seed=9)
    assert run(filled, photos)["embedded"] == 1
    assert [space["lacking"] for space in switch_status(filled)["spaces"]] == [
        1,
        0,
    ]  # the colours, then grey: only it is written
    report = switch_back(filled)
    assert (report["photos"], report["without"]) == (5, 1)
    report = switch(filled, "colours")
    assert (report["built"], report["photos"], report["without"], report["active"]) == (1, 6, 0, True)
    assert report["previous"]["model"] == GREY
    assert set(nearest(filled, "lemon")) == {"lemon", "lime"}


def test_the_same_model_again_is_nothing_to_do(filled: Library, open_library: Open) -> None:
    before = settings(filled)
    filled = open_library(model=None)
    report = switch(filled, "colours")
    assert (report["active"], report["built"], report["previous"], report["checks"]) == (True, 0, None, [])
    assert settings(filled) == before
    assert not {"backbone", "indexes"} & filled.opened.__dict__.keys()  # nothing was even loaded


def test_an_empty_library_and_one_of_one_photo_are_switched_at_once(
    two_models: None, library: Library, tmp_path: Path, paint: Paint, run: Run
) -> None:
    report = switch(library)
    assert (report["active"], report["photos"], report["built"]) == (True, 0, 0)
    paint(tmp_path / "photos" / "red.png", "red")
    assert run(library, tmp_path / "photos")["model"] == GREY
    report = switch(library, "colours")
    assert (report["active"], report["photos"], report["built"]) == (True, 1, 1)
    assert examine(library)["ok"]


def test_pictures_that_show_nothing_are_switched_too(
    two_models: None, library: Library, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.new("RGB", (20 + number, 20)).save(tmp_path / "photos" / f"{number}.png")
    run(library, tmp_path / "photos")
    report = switch(library)
    assert (report["active"], report["photos"], report["problem"]) == (True, 3, None)


def test_the_words_that_were_taught_are_known_in_the_new_space(
    filled: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {Path(photo.path).stem: photo.content_id or 0 for photo in filled.catalog.photos_in("present", 99)}
    teach(filled, {"warm": [named["red"], named["rose"]], "cold": [named["blue"]]})
    refit, told = index.switch.refit, []

    def meanwhile(library: Library) -> Any:
        probe = refit(library)
        if not told:
            told.append(teach(filled, {"fresh": [named["green"]]}))  # on the page, which still has the old model
        return probe

    monkeypatch.setattr(index.switch, "refit", meanwhile)
    switch(filled)
    probe = taught(filled)
    assert probe is not None
    assert probe.words == ("cold", "fresh", "warm")
    vectors = {part: filled.stored([named["red"]], part)[named["red"]] for part in filled.space.names}
    assert own_labels(probe, vectors)[0][0] == "warm"
    unteach(filled, ["fresh"])
    switch_back(filled)
    assert taught(filled).words == ("cold", "warm")  # type: ignore[union-attr]


def test_files_that_changed_under_the_same_name_make_a_space_of_their_own(
    filled: Library, photos: Path, run: Run, paint: Paint, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = two_models.describe

    def changed(model: str, **options: Any) -> Any:
        return SimpleNamespace(
            **vars(describe(model, **options)) | {"space": f"another of {model}", "weights_digest": "another"}
        )

    monkeypatch.setattr(index.open_space, "describe", changed)
    library = open_library()
    with pytest.raises(ModelMismatch, match=r"weights changed.*`python app.py switch-model colours --library"):
        run(library, photos)
    report = switch(library, "colours")
    assert (report["active"], report["built"], report["space"]) == (True, 5, "another of colours")
    assert report["previous"] == {"model": "colours", "space": "space of colours"}
    paint(photos / "new.png", "red", seed=5)
    assert run(library, photos)["embedded"] == 1
    assert switch_back(library)["space"] == "space of colours"
    assert nearest(library, "red") == ["red", "rose"]  # what is stored needs no network
    with pytest.raises(ModelMismatch, match="switch-model colours"):
        run(library, photos)


def test_the_same_files_under_another_name_only_change_the_name(
    filled: Library, monkeypatch: pytest.MonkeyPatch, open_library: Open
) -> None:
    def same(model: str, **options: Any) -> Any:
        return SimpleNamespace(**vars(two_models.describe("colours", **options)) | {"name": model})

    monkeypatch.setattr(index.open_space, "describe", same)
    report = switch(filled, "moved")
    assert (report["active"], report["built"], report["previous"], report["model"]) == (True, 0, None, "moved")
    assert open_library(model="moved").description.name == "moved"


def test_progress_counts_up_to_the_whole(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_models.GreyBackbone, "batch_size", 1)
    seen: list[Progress] = list(switch_model(filled, GREY))
    assert [progress.done for progress in seen if progress.phase == "embedding"] == [0, 1, 2, 3, 4, 5]
    assert {progress.total for progress in seen} == {5}
