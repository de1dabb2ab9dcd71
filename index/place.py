"""Where a new library may be made: not among other things, photos above all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from index.classes import as_word
from index.errors import NoLibrary

# What may lie there: what is left of a library, what `demo` makes, and what systems put in any folder.
OURS = re.compile(
    r".*\.sqlite(-.*)?|shards|thumbnails|cache|sample-photos|library-[0-9a-f]{8}"
    r"|\..*|lost\+found|Thumbs\.db|desktop\.ini|System Volume Information|\$RECYCLE\.BIN",
    re.DOTALL,
)


def must_be_free(folder: Path) -> None:
    """Raises NoLibrary where a new library's files would lie among other things."""
    try:
        others = sorted(name for name in os.listdir(folder) if not OURS.fullmatch(name))
    except OSError:
        return  # it is not there yet, or making it says why it can't be
    if others:
        raise NoLibrary(
            f"{folder} holds other things, such as {as_word(others[0])}, and no library: a new one's files would lie among "
            "them. Name a new folder, an empty one, or one that holds a library: --library DIR"
        )
