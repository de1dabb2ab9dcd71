"""What is checked before a model is described, which may be a download: folders, and the library's place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import app
import index.open_space
from index.errors import NothingIndexed
from index.job import check_folders

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Asking for a model fails the test."""

    def asked(model: str, **_: Any) -> None:
        raise AssertionError(f"{model} was asked for")

    monkeypatch.setattr(index.open_space, "describe", asked)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "file").write_text("no folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "nowhere"], "nowhere: The folder can't be listed: No such file or directory. Give a folder"),
        (["index", "file"], "file is a file; give the folder that it is in."),
        (["index", "file", "photos"], "file is a file; give the folder that it is in."),
        (["demo", "--photos", "nowhere"], "nowhere: The folder can't be listed: No such file or directory."),
        (["teach", "nowhere"], "nowhere can't be listed: No such file or directory. Give a folder whose subfolders"),
        (
            ["index", "photos", "--library", "file"],
            "file: File exists. Name a folder that can be written to: --library",
        ),
        (["index", "photos", "--library", "file/x/y"], "file/x/y: Not a directory. Name a folder"),
    ],
)
def test_a_mistake_that_can_be_seen_at_once_is_said_before_any_model_is_asked_for(
    arguments: list[str], words: str, capsys: Output, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    assert app.main([*arguments, *([] if "--library" in arguments else ["--library", "library"])]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_library_where_nothing_may_be_written_is_refused_before_any_model_is_asked_for(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access  # the tests may run as root, who may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path) and real(path, mode))
    assert app.main(["index", "photos", "--library", "new/library"]) == 1
    assert "new/library: Permission denied. Name a folder that can be written to" in capsys.readouterr().err


def test_of_several_folders_one_is_enough(tmp_path: Path) -> None:
    assert check_folders(["photos", "nowhere"]) == [str(tmp_path / "nowhere"), str(tmp_path / "photos")]
    with pytest.raises(NothingIndexed, match=r"(?s)nowhere-1: .*nowhere-2: "):
        check_folders(["nowhere-1", "nowhere-2"])
