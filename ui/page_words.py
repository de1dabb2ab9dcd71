"""What the command line's advice says on the page: its commands and options become the page's buttons."""

from __future__ import annotations

import re

_WORDS = [
    (r"`python app\.py switch-model .*?`(?= makes)", "“Change over” once more"),
    (r"`python app\.py switch-model .*?`", "“Change over”"),
    (r"`switch-model --back`", "“Go back”"),
    (r"`switch-model [^`]*`", "“Change over”"),
    (r"`python app\.py index`", "“Update all”"),
    (r"run `index` on their folders", "update their folders"),
    (r"`index` on (their folders|its folder)", r"an update of \1"),
    (r"run `index`", "update its folder"),
    (r"`index`", "an update of the folders"),
    (r"run (“Update all”) on your folders again", r"press \1"),
    (r"`doctor --mend`", "“Mend”"),
    (r"--whole looks at all", "the full check looks at all"),
    (r"--mend", "“Mend”"),
    (r"--anyway", "“Even if pictures are missing or a check fails”"),
    (r"`doctor`", "“Check the library”"),
    (r"narrow the search by --folder, --label or a date", "narrow the search by folder, label or date"),
    (r"--like ", ""),
    (r"`words` lists", "“Called” offers"),
]


def for_page(words: str) -> str:
    """The same advice, as somebody can follow it on the page."""
    for said, shown in _WORDS:
        words = re.sub(said, shown, words)
    return words
