import pytest

from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui import markup
from ui.handlers import Machine

PIECES = {
    "header": lambda: markup.header(Machine(HOSTILE, HOSTILE, HOSTILE, HOSTILE), HOSTILE),
    "header with a problem": lambda: markup.header(Machine("", "", "", "", HOSTILE), None),
    "problem": lambda: markup.problem(HOSTILE + "\n" + HOSTILE),
}


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str):
    must_be_words_only(PIECES[piece]())


def test_what_works_and_the_note_are_on_the_page():
    source = markup.header(
        Machine("facebook/convnext-tiny-224", "eager", "cpu", "cpu (none)"), "Random weights: beware."
    )
    for words in ("facebook/convnext-tiny-224", "eager on cpu", "cpu (none)", "Random weights: beware."):
        assert words in source
    assert "rc-note" not in markup.header(None, None)
