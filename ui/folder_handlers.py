"""The folders of the computer that runs RegConv, for a person who chooses some: names of folders, and how many pictures.

Whoever may index may look: any folder that this process may list (docs/security.md). Where nothing can be indexed nothing is
listed. No names of files are given away.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from index.library import Library
from regconv.images import looks_like_image
from ui.handlers import READ_ONLY, is_text

SHOWN = 500  # folders of one folder
LOOKED_AT = 20_000  # entries of one folder: a listing must not take long


@dataclass(frozen=True)
class FolderView:
    """One folder: the folders above it and in it, each as (name, path), and how many files in it look like pictures."""

    path: str = ""
    above: list[tuple[str, str]] = field(default_factory=list)  # from the root on, this one last
    folders: list[tuple[str, str]] = field(default_factory=list)
    pictures: int = 0
    is_whole: bool = True  # False where there is more than is shown
    problem: str | None = None


def folder_view(library: Library, path: str = "") -> FolderView:
    """A folder by its full path, the home folder for none; `problem` says why it can't be shown."""
    if library.catalog.is_read_only:
        return FolderView(problem=READ_ONLY)
    path = path or os.path.expanduser("~")
    if not os.path.isabs(path):
        return FolderView(problem="Give a folder's full path, from / on.")
    path = os.path.normpath(path)
    names: list[str] = []
    pictures = looked = 0
    try:
        with os.scandir(path) as listing:
            for looked, entry in enumerate(listing, start=1):
                if looked > LOOKED_AT:
                    break
                if _is_shown(entry):
                    names.append(entry.name)
                else:
                    pictures += looks_like_image(entry.name, b"")
    except (OSError, ValueError) as error:  # gone, locked; a null byte
        reason = error.strerror if isinstance(error, OSError) else "this is no path"
        return FolderView(path, _above(path), problem=f"This folder can't be listed: {reason}.")
    names.sort(key=str.casefold)
    folders = [(name, os.path.join(path, name)) for name in names[:SHOWN]]
    is_whole = looked <= LOOKED_AT and len(names) <= SHOWN
    return FolderView(path, _above(path), folders, pictures, is_whole)


def with_folder(text: str, path: str) -> str:
    """A text field with one folder in each line, and this one added where it is not in it yet."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines if not path or path in lines else [*lines, path])


def _is_shown(entry: os.DirEntry[str]) -> bool:
    """Hidden folders are left out, and names that are no line of text: no page could send them back."""
    try:
        is_line = is_text(entry.name) and len(entry.name.splitlines()) == 1
        return entry.is_dir() and not entry.name.startswith(".") and is_line
    except OSError:
        return False


def _above(path: str) -> list[tuple[str, str]]:
    found = []
    while True:
        parent, name = os.path.split(path)
        found.append((name or path, path))
        if parent == path:
            return found[::-1]
        path = parent
