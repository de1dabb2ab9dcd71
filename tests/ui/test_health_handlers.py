"""The page's side of the doctor, of what is in use and of room on the disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index.library import Library
from ui import health_handlers
from ui.fact_handlers import disk_use, facts_in_use
from ui.health_handlers import NAMES, Checkup
from ui.page_words import for_page


@pytest.fixture
def own(library_folder: Path, tmp_path: Path) -> Iterator[Library]:
    """A copy of the indexed library, which may be changed."""
    shutil.copytree(library_folder, tmp_path / "library")
    with Library.open(tmp_path / "library", device="cpu") as library:
        yield library


def test_a_sound_library_is_said_to_be_so(library: Library):
    checkup = Checkup(library)
    assert checkup.view().finished_at is None
    assert checkup.start() is None
    checkup.wait(120)
    view = checkup.view()
    assert (view.ok, view.can_mend, view.problem) == (True, False, None)
    assert [finding.name for finding in view.findings] == list(NAMES.values())
    assert view.finished_at is not None


def test_what_is_missing_is_found_and_mended(own: Library):
    thumbnail = next(own.thumbnails.folder.rglob("*.jpg"))
    thumbnail.unlink()
    checkup = Checkup(own)
    assert checkup.start(whole=True) is None
    checkup.wait(120)
    view = checkup.view()
    assert (view.ok, view.can_mend) == (False, True)
    (ill,) = [finding for finding in view.findings if not finding.ok]
    assert ill.name == "Thumbnails"
    assert "“Mend” makes them" in ill.words
    assert view.findings[-1].name == "Recall of a search"
    assert checkup.start(mend=True) is None
    checkup.wait(120)
    view = checkup.view()
    assert view.ok
    assert "made 1 thumbnails" in view.mended
    assert thumbnail.exists()


def test_one_check_at_a_time_which_can_be_stopped(library: Library, monkeypatch: pytest.MonkeyPatch):
    checkup = Checkup(library)
    seen: list[Any] = []
    examination = health_handlers.examination

    def watched(*args: Any, **options: Any) -> Any:
        for step in examination(*args, **options):
            seen.append((checkup.start(), checkup.view()))
            checkup.stop()
            yield step

    monkeypatch.setattr(health_handlers, "examination", watched)
    assert checkup.start() is None
    checkup.wait(60)
    refused, at_work = seen[0]
    assert refused == "A check is at work already."
    assert at_work.running
    assert len(seen) == 1
    assert checkup.view().problem == "The check was stopped."


def test_what_ends_a_check_is_said(own: Library):
    own.catalog.start_job("index", [])
    checkup = Checkup(own)
    assert checkup.start(mend=True) is None
    checkup.wait(60)
    view = checkup.view()
    assert not view.running
    assert "Another job (index)" in str(view.problem)


def test_what_is_in_use_and_what_it_takes(library: Library):
    facts = dict(facts_in_use(library))
    assert facts["Model"] == "starter"
    assert "cpu" in facts["Engine"]
    assert facts["FAISS"][0].isdigit()
    assert facts["Search index"] == "exact: every vector is compared; 14 vectors"
    taken = dict(disk_use(library))
    assert list(taken) == ["Catalogue", "Vectors", "Saved indexes", "Thumbnails", "Together"]
    assert all(words.endswith(("kB", "MB")) for words in taken.values())
    assert taken["Thumbnails"] != "0 kB"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("x (a sample; --whole looks at all)", "x (a sample; the full check looks at all)"),
        ("; --mend makes them, where the photo is there", "; “Mend” makes them, where the photo is there"),
        ("gave up 3; run `python app.py index` on your folders again to make the rest",
         "gave up 3; press “Update all” to make the rest"),
        ("or run `index` on their folders, so that", "or update their folders, so that"),
        ("then `python app.py switch-model 'a b' --library /x` makes the rest. --anyway goes without",
         "then “Change over” once more makes the rest. “Even if pictures are missing or a check fails” goes without"),
        ("`switch-model starter` or `index` on their folders makes them.",
         "“Change over” or an update of their folders makes them."),
    ],
)  # fmt: skip
def test_advice_for_the_terminal_becomes_advice_for_the_page(said: str, shown: str):
    assert for_page(said) == shown
