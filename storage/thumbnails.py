"""Small pictures, one for each content, made once while it is decoded. They are derived: losing them costs time only."""

from __future__ import annotations

from pathlib import Path

from storage.shards import replaced


class ThumbnailStore:
    """JPEG files named by their content's digest, spread over 256 folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the thumbnail of a content lies, whether it exists or not."""
        return self.folder / digest[:2] / f"{digest}.jpg"

    def has(self, digest: str) -> bool:
        """Whether the thumbnail was made; an empty file is what a power cut leaves of one."""
        try:
            return self.path(digest).stat().st_size > 0
        except FileNotFoundError:
            return False

    def write(self, digest: str, jpeg: bytes) -> None:
        """Keep a thumbnail; it appears whole or not at all."""
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path, durable=False) as file:
            file.write(jpeg)

    def read(self, digest: str) -> bytes | None:
        """The JPEG bytes, or None where there is none."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
