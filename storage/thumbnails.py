"""Small pictures, one for each content, made once while it is decoded. They are derived: losing them costs time only."""

from __future__ import annotations

import os
from pathlib import Path

from storage.shards import TEMPORARY, replaced

START, END = b"\xff\xd8", b"\xff\xd9"  # of a JPEG file


class ThumbnailStore:
    """JPEG files named by their content's digest, spread over 256 folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the thumbnail of a content lies, whether it exists or not."""
        return self.folder / digest[:2] / f"{digest}.jpg"

    def has(self, digest: str) -> bool:
        """Whether the thumbnail is there from its first byte to its last: a power cut may leave an empty file, or half of one."""
        try:
            with self.path(digest).open("rb") as file:
                if file.read(2) != START or file.seek(0, os.SEEK_END) < 4:
                    return False
                file.seek(-2, os.SEEK_END)
                return file.read(2) == END
        except FileNotFoundError:
            return False

    def write(self, digest: str, jpeg: bytes) -> None:
        """Keep a thumbnail; it appears whole or not at all."""
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        # What a kill leaves half written lies in one folder, not in any of 256.
        with replaced(path, durable=False, by_way_of=self.folder) as file:
            file.write(jpeg)

    def orphans(self) -> list[Path]:
        """Files that a kill left half written, or that are being written now."""
        return sorted(self.folder.glob(f"*{TEMPORARY}"))

    def read(self, digest: str) -> bytes | None:
        """The JPEG bytes, or None where there is none."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
