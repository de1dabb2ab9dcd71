"""Where a new library may be made: where it can be written, and not among other things, photos above all."""

from __future__ import annotations

import errno
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


def must_be_writable(folder: Path) -> None:
    """Raises NoLibrary where the folder could not be made or written; makes nothing."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise no_place(folder, os.strerror(errno.EEXIST if there == folder else errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise no_place(folder, os.strerror(errno.EACCES))


def no_place(folder: Path, reason: str | None) -> NoLibrary:
    """The error for a folder that can't be made or written."""
    return NoLibrary(
        f"No library can be made in {folder}: {reason}. Name a folder that can be written to: --library DIR"
    )
