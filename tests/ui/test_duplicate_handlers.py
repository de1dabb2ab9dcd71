"""The page's handlers and the command about duplicates, on the shared library of photographs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import app
from index.library import Library
from ui.duplicate_handlers import DuplicateSearch, decide_group, page_of_groups, undo_decision

SIX = {"chelsea", "coffee", "rocket", "astronaut", "retina", "moon"}


@pytest.fixture
def folder(library_folder: Path, tmp_path: Path) -> Path:
    """A copy of the shared library, to decide about."""
    return Path(shutil.copytree(library_folder, tmp_path / "library"))


@pytest.fixture
def search(folder: Path) -> Iterator[DuplicateSearch]:
    """A search on that copy that has ended."""
    with Library.open(folder, device="cpu") as library:
        found = DuplicateSearch(library)
        found.start()
        found.wait(120)
        yield found


def command(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app.cli, ["duplicates", "--library", str(folder), *arguments], obj=app.Console(), standalone_mode=False
    )


def document(folder: Path, *arguments: str) -> dict[str, Any]:
    result = command(folder, *arguments, "--json")
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def stems(photos: list[tuple[int, str, str]]) -> set[str]:
    return {os.path.basename(path).split("-")[0].split(".")[0] for _, path, _ in photos}


def test_a_search_in_the_background_is_followed_paged_and_decided(search: DuplicateSearch) -> None:
    view = search.view()
    assert (view.running, view.problem, view.without_thumbnail) == (False, None, 0)
    page = page_of_groups(search)
    assert page.total == sum(view.counts.values())
    assert {name for group in page.groups for name in stems(group.photos)} >= SIX
    assert all(len(stems(group.photos) & SIX) == 1 for group in page.groups)
    halves = page_of_groups(search, 0, 3).groups + page_of_groups(search, 3, 99).groups
    assert halves == page.groups
    first = page.groups[0]
    photos = [photo for photo, _, _ in first.photos]
    assert undo_decision(search, photos) is not None
    assert decide_group(search, "keep-both", photos) is None
    assert page_of_groups(search).total == page.total - 1
    assert first not in page_of_groups(search).groups
    assert undo_decision(search, photos) is None
    assert page_of_groups(search).groups == page.groups
    assert page_of_groups(search, kind="burst").total == 0


def test_refusals_are_words(search: DuplicateSearch) -> None:
    assert "no photo with the id" in (decide_group(search, "keep-both", [10_000, 10_001]) or "")
    assert "two photos or more" in (undo_decision(search, [1]) or "")
    assert "no decision" in (decide_group(search, "delete", [1, 2]) or "")


def test_a_search_that_fails_says_why(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Library) -> Iterator[None]:
        raise OSError("the disk is gone")
        yield

    monkeypatch.setattr("ui.duplicate_handlers.find_duplicates", broken)
    failing = DuplicateSearch(library)
    failing.start()
    failing.wait(20)
    assert (failing.view().running, failing.view().problem) == (False, "the disk is gone")


def test_an_empty_library_has_an_empty_page(empty_library: Library) -> None:
    nothing = DuplicateSearch(empty_library)
    assert page_of_groups(nothing).total == 0
    nothing.start()
    nothing.wait(60)
    assert nothing.view().problem is None
    assert set(nothing.view().counts.values()) == {0}


def test_the_command_lists_decides_and_takes_back(folder: Path) -> None:
    found = document(folder)
    assert found["decisions"] == 0
    assert sum(found["counts"].values()) == len(found["groups"]) >= 6
    assert found["counts"]["same-bytes"] == 0
    group = found["groups"][0]
    assert group["photos"][0]["photo_id"] == group["keep"]
    assert group["why"]
    ids = ",".join(str(photo["photo_id"]) for photo in group["photos"])
    after = document(folder, "--decide", f"keep-both:{ids}")
    assert group not in after["groups"]
    assert (len(after["groups"]), after["decisions"]) == (len(found["groups"]) - 1, 1)
    (made,) = document(folder, "--decisions")["decisions"]
    assert made["verdict"] == "keep-both"
    assert {photo["photo_id"] for photo in made["photos"]} == set(map(int, ids.split(",")))
    assert "keep-both" in command(folder, "--decisions").stdout
    assert document(folder, "--decide", f"undo:{ids}", "--decisions") == {"decisions": []}
    few = document(folder, "--limit", "2")
    assert (few["groups"], few["counts"]) == (found["groups"][:2], found["counts"])
    assert f"... and {len(found['groups']) - 1} more." in command(folder, "--limit", "1").stdout
    words = command(folder, "--kind", group["kind"]).stdout
    assert f"keep photo {group['keep']}, because: {group['why']}." in words
    assert words.rstrip().endswith("No file was touched.")


@pytest.mark.parametrize("order", ["keep:1,2", "keep-both:", "undo:a,b", "keep-both"])
def test_a_decision_that_can_not_be_read_is_wrong_usage(
    folder: Path, order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["duplicates", "--library", str(folder), "--decide", order]) == 2
    assert "--decide takes keep-both" in capsys.readouterr().err


def test_unknown_photos_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["duplicates", "--library", str(folder), "--decide", "undo:998,999", "--json"]) == 1
    assert "no photo with the id 998" in json.loads(capsys.readouterr().out)["error"]
