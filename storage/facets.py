"""What the library's photos can be told apart by: the folders that they are in, and the cameras that took them."""

from __future__ import annotations

import os
from collections import Counter

from sqlalchemy import Engine, func, select

from storage.database import reading
from storage.tables import PRESENT, Content, Photo

SLICE = 10_000  # rows that are held at a time


class Facets:
    """What Catalog says of folders and cameras."""

    engine: Engine

    def folders(self) -> Counter[str]:
        """Folders that hold present photos themselves, not only in folders below, with how many. Reads every path."""
        statement = select(Photo.path).where(Photo.state == PRESENT).execution_options(yield_per=SLICE)
        with reading(self.engine) as connection:
            return Counter(os.path.dirname(path) for path in connection.execute(statement).scalars())

    def cameras(self) -> dict[str, int]:
        """Cameras of present photos, with how many photos each took."""
        statement = select(Content.camera, func.count()).join(Photo, Photo.content_id == Content.id)
        statement = statement.where(Photo.state == PRESENT, Content.camera.is_not(None)).group_by(Content.camera)
        with reading(self.engine) as connection:
            return {str(row[0]): row[1] for row in connection.execute(statement)}
