"""A folder whose subfolders are classes: their names, and the files inside."""

from __future__ import annotations

import os
from dataclasses import dataclass

from index.errors import LibraryError
from index.scan import not_photos, scan
from storage.records import FileStamp


@dataclass(frozen=True)
class ClassFolder:
    """A class: the folder's name as text, and its absolute path."""

    name: str
    path: str

    def files(self) -> list[str]:
        """The files below that are or claim to be pictures, folder by folder, sorted by name."""
        return [stamp.path for stamp in scan(self.path) if isinstance(stamp, FileStamp)]


def class_folders(folder: str, without: str | None = None) -> list[ClassFolder]:
    """The classes of a folder by name: its subfolders, but hidden ones, `without`, and those that a library keeps there.

    Raises LibraryError for no folder.
    """
    root = os.path.abspath(os.path.expanduser(folder))
    try:
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
            own = not_photos(entry.name for entry in entries)
            entries = [entry for entry in entries if entry.is_dir() and entry.name not in own]
    except OSError as error:
        raise LibraryError(
            f"{folder} can't be listed: {error.strerror}. Give a folder whose subfolders are classes, with pictures in each."
        ) from error
    left_out = None if without is None else os.path.realpath(without)
    return [
        ClassFolder(as_word(entry.name), entry.path)
        for entry in entries
        if not entry.name.startswith(".") and os.path.realpath(entry.path) != left_out
    ]


def as_word(name: str) -> str:
    """A name as text: bytes that are none are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
