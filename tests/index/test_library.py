"""Library: opened, refused, and searched without its model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import index.open_space
from index.errors import LibraryError, ModelMismatch, NoLibrary
from index.job import index_folder
from index.library import Library
from regconv.errors import ModelNotFound
from storage.errors import CatalogError

Fill = Callable[..., list[int]]
Open = Callable[..., Library]
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def nearest(library: Library, vector: tuple[float, float, float], part: str = "stage2") -> int:
    return int(library.index(part).search(np.array([vector], np.float32), 1)[1].item())


def test_no_library_is_said_and_nothing_is_left_behind(open_library: Open, tmp_path: Path) -> None:
    with pytest.raises(NoLibrary, match=r"There is no library in .*/nowhere\. Make one: python app.py index"):
        open_library(folder=tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_cannot_be_made_is_said(open_library: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NoLibrary, match=r"No library can be made in .*/file/library: Not a directory\. Name a folder"):
        open_library(folder=tmp_path / "file" / "library")


@pytest.mark.parametrize("on_a_server", [False, True])
def test_a_new_library_is_not_made_among_other_things(
    open_library: Open, photos: Path, tmp_path: Path, on_a_server: bool
) -> None:
    there = sorted(photos.iterdir())
    database = f"sqlite:///{tmp_path / 'server.sqlite'}" if on_a_server else None
    with pytest.raises(
        NoLibrary, match=r"/photos holds other things, such as blue\.png, and no library: .* --library DIR$"
    ):
        open_library(folder=photos, database=database)
    assert sorted(photos.iterdir()) == there


@pytest.mark.parametrize(
    "names", [(), ("catalog.sqlite",), ("shards", "cache", ".DS_Store"), ("sample-photos", "library-0123abcd")]
)
def test_a_new_library_is_made_where_nothing_is_or_only_our_own(
    open_library: Open, tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "x").mkdir()
    for name in names:
        if "." in name:
            (tmp_path / "x" / name).touch()
        else:
            (tmp_path / "x" / name).mkdir()
    assert open_library(folder=tmp_path / "x").model == "colours"


def test_a_library_is_opened_whatever_lies_beside_it(open_library: Open, paint: Callable[..., Path]) -> None:
    folder = open_library().folder
    paint(folder / "a.png", "red")
    assert open_library().folder == folder


def test_an_empty_catalogue_is_no_library_yet(open_library: Open, tmp_path: Path) -> None:
    with pytest.raises(NoLibrary, match="is empty"):
        open_library(folder=tmp_path / "x", database=f"sqlite:///{tmp_path / 'other.sqlite'}", create=False)
    assert open_library(folder=tmp_path / "x", database=f"sqlite:///{tmp_path / 'other.sqlite'}").model == "colours"


def test_a_model_that_cannot_be_had_leaves_no_library(
    open_library: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(model: str, **_: Any) -> None:
        raise ModelNotFound(f"no {model}")

    monkeypatch.setattr(index.open_space, "describe", missing)
    with pytest.raises(ModelNotFound, match="no colours"):
        open_library(folder=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_library_keeps_its_model_and_refuses_another_by_name(open_library: Open) -> None:
    open_library()
    assert open_library(model=None, create=False).model == "colours"
    with pytest.raises(
        ModelMismatch, match=r"made with the model colours, not shapes.*`python app.py switch-model shapes --library "
    ):
        open_library(model="shapes")


def test_a_model_folder_is_remembered_from_wherever_it_was_named(
    open_library: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    open_library(folder=tmp_path / "x", model="weights")
    monkeypatch.chdir("/")
    assert open_library(folder=tmp_path / "x", model=str(tmp_path / "weights")).model == str(tmp_path / "weights")


def test_changed_model_files_are_refused_before_anything_is_embedded(
    open_library: Open, photos: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(open_library(), photos)
    describe = index.open_space.describe

    def changed(model: str, **options: Any) -> Any:
        return SimpleNamespace(**vars(describe(model, **options)) | {"space": "another", "weights_digest": "another"})

    monkeypatch.setattr(index.open_space, "describe", changed)
    library = open_library()
    with pytest.raises(
        ModelMismatch,
        match=r"model colours is not what it was.*\(weights changed\).*`python app.py switch-model colours --library ",
    ):
        next(index_folder(library, [str(photos)]))
    assert library.catalog.latest_job("index").state == "done"  # type: ignore[union-attr]  # no new job was begun
    assert len(library.index("stage2")) == 5  # what is stored can be searched all the same


def test_what_is_stored_is_read_without_the_model(
    open_library: Open, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    (red,) = fill(open_library(), {"/red.png": RED})
    monkeypatch.delattr(index.open_space, "describe")
    library = open_library(create=False, model=None)
    assert library.space.parts == (("stage1", 3), ("stage2", 3))
    assert (library.space.pooled, library.label(1), library.label(9)) == ("stage2", "cold", "label 9")
    assert nearest(library, RED) == red
    assert library.stored([red, 99], "stage1")[red].tolist() == [1, 0, 0]


def test_a_damaged_catalogue_is_refused_in_words(open_library: Open, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "catalog.sqlite").write_bytes(b"not a database at all, but long enough to look like one" * 99)
    with pytest.raises(CatalogError, match="file is not a database"):
        open_library(folder=tmp_path / "x", create=False)


def test_threads_that_ask_at_once_get_one_network_and_one_decoder(
    open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def load(*_: Any) -> Any:
        made.append(object())
        together.wait(0.2)
        return made[-1]

    together = threading.Event()
    monkeypatch.setattr(index.open_space, "load_backbone", load)
    library = open_library()
    library.space_id, library.description  # noqa: B018
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(library.backbone)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert got == made * 3


def test_a_model_that_is_gone_is_named_with_what_helps(
    open_library: Callable[..., Library], fill: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(open_library(), {"/red.png": (1.0, 0.0, 0.0)})

    def gone(model: str, **_: Any) -> Any:
        raise ModelNotFound(f"no model '{model}'.")

    monkeypatch.setattr("index.open_space.describe", gone)
    library = open_library()
    with pytest.raises(
        LibraryError, match=r"can't be had: no model 'colours'\. Put it back .*switch-model NAME"
    ) as error:
        library.description  # noqa: B018
    assert "--back" not in str(error.value)
    library.catalog.remember("previous_space", "7")
    with pytest.raises(LibraryError, match="`switch-model --back` returns"):
        library.description  # noqa: B018
