"""What the Library tab shows, as HTML."""

import re
from datetime import UTC, datetime

import pytest

from index.folders import IndexedFolder
from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui.folder_handlers import FolderView
from ui.health_handlers import Finding, HealthView
from ui.job_handlers import Unreadable, UnreadablePage
from ui.job_words import JobView
from ui.switch_handlers import SpaceView, SwitchView
from ui.tabs import library_health_markup, library_markup, library_model_markup


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


ILL = HealthView(finished_at=now(), ok=False, findings=[Finding(HOSTILE, False, HOSTILE)], mended=[HOSTILE])
SWITCH = SwitchView(HOSTILE, spaces=[SpaceView(HOSTILE, HOSTILE, 1, 1, 1)], failed=[(HOSTILE, HOSTILE)], note=HOSTILE)

PIECES = {
    "job": lambda: library_markup.job(JobView(True, HOSTILE, 0.5, [HOSTILE], HOSTILE)),
    "ended job": lambda: library_markup.job(
        JobView(False, HOSTILE, None, [HOSTILE], None, HOSTILE, 0, [(HOSTILE, HOSTILE)])
    ),
    "unreadable": lambda: library_markup.unreadable(UnreadablePage([Unreadable(HOSTILE, HOSTILE)], 7), 300, 0, True),
    "folders": lambda: library_markup.folders([IndexedFolder(HOSTILE, 1, 1)], True),
    "browser": lambda: library_markup.browser(FolderView(HOSTILE, [(HOSTILE, HOSTILE)], [(HOSTILE, HOSTILE)])),
    "refused browser": lambda: library_markup.browser(FolderView(HOSTILE, [(HOSTILE, HOSTILE)], problem=HOSTILE)),
    "health": lambda: library_health_markup.health(ILL),
    "running check": lambda: library_health_markup.health(HealthView(running=True, phase=HOSTILE, current=HOSTILE)),
    "refused check": lambda: library_health_markup.health(HealthView(problem=HOSTILE)),
    "facts": lambda: library_health_markup.facts([(HOSTILE, HOSTILE)]),
    "models": lambda: library_model_markup.models(SWITCH),
    "no models": lambda: library_model_markup.models(SwitchView(problem=HOSTILE)),
    "change": lambda: library_model_markup.change(JobView(True, HOSTILE, 0.1, [HOSTILE], HOSTILE, HOSTILE)),
}


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str):
    must_be_words_only(PIECES[piece]())


def test_progress_has_a_value_only_where_the_total_is_known():
    known = library_markup.job(JobView(True, "Reading pictures", 0.25, ["1 of 4"]))
    assert re.search(r"<progress [^>]*value=\"0.2500\"", known)
    assert "value=" not in library_markup.job(JobView(True, "Looking for pictures", None))
    paused = library_markup.job(JobView(False, "Paused at 1 of 4", 0.25, can_resume=True))
    assert re.search(r"<progress class=\"rc-rests\"[^>]*value=\"0.2500\"", paused)
    assert "<progress" not in library_markup.job(JobView(False, "The last run is complete", None))


def test_from_a_job_that_has_ended_it_goes_on_to_the_photos_where_there_are_some():
    ended, running = JobView(False, "The last run is complete", None), JobView(True, "Reading pictures", 0.5)
    assert re.search(r'<button [^>]*data-event="look">Look at your photos</button>', library_markup.job(ended, 3))
    for view, searchable in ((ended, 0), (running, 3)):
        source = library_markup.job(view, searchable)
        assert "data-event" not in source
        assert "rc-onward" in source  # its room
    assert "data-event" not in library_markup.job(None, 3)


def test_unreadable_files_are_paged():
    files = [Unreadable("/a", "is empty")]
    first = library_markup.unreadable(UnreadablePage(files, 77), 1234, 0, may_retry=True)
    assert "Unreadable files (1,234)" in first
    assert 'data-event="turn" data-after="77">More' in first
    assert 'data-after="0" disabled>From the first' in first
    last = library_markup.unreadable(UnreadablePage(files), 1234, 77, may_retry=False)
    assert 'data-after="0">From the first' in last
    assert 'data-event="retry" disabled' in last
    assert "rc-pages" not in library_markup.unreadable(UnreadablePage(files), 1, 0, may_retry=True)
    assert library_markup.unreadable(UnreadablePage(), 0, 0, may_retry=True) == ""


def test_each_folder_is_updated_by_its_path_and_not_while_a_job_is_at_work():
    known = [IndexedFolder("/photos/2024", 1204, 0), IndexedFolder("/", 1, 2)]
    source = library_markup.folders(known, may_update=True)
    assert 'data-event="update" data-folder="/photos/2024"' in source
    assert "1,204 photos<" in source
    assert "1 photo, 2 unreadable" in source
    assert "disabled" not in source
    assert library_markup.folders(known, may_update=False).count(" disabled>") == 3
    assert library_markup.folders([], may_update=True) == ""


def test_what_is_ill_comes_first_and_mending_is_not_promised_in_vain():
    findings = [Finding("Photos", True, "fine"), Finding("Database", False, "torn")]
    source = library_health_markup.health(HealthView(finished_at=now(), ok=False, findings=findings))
    assert source.index("torn") < source.index("fine")
    assert "1 of 2 checks found something, just now" in source
    assert "Mending does not help here" in source
    well = library_health_markup.health(HealthView(finished_at=now(), findings=findings[:1]))
    assert "Everything agrees" in well
    assert "Mending" not in well
