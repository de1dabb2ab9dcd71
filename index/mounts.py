"""Which folders below the indexed ones are disks of their own: what was on one that is not mounted now is not gone.

Without this an empty mount point looks like a folder whose photos were all deleted, and one that the system has removed
looks like a deleted folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator

from index.scan import Unlisted, is_empty, mount_point
from storage.catalog import Catalog
from storage.records import Filter

SETTING = "mounts"
REASON = (
    "It was a disk of its own and is not mounted: its photos were left as they were. If it will not come back, make an "
    "ordinary folder with any file in it there and index again."
)


class Mounts:
    """The mount points that earlier scans met, kept in the catalogue."""

    def __init__(self, catalog: Catalog, space_id: int) -> None:
        self._catalog = catalog
        self._space_id = space_id
        self._known: set[str] = set(json.loads(catalog.setting(SETTING) or "[]"))

    def absent(self, root: str, met: Collection[str], unlisted: Collection[str]) -> Iterator[Unlisted]:
        """The known mount points below a root where no disk is now. `met` are those of this scan, which are remembered.

        Remembered too is where the root's own disk begins: a later run may be given a folder above it. A mount point that
        has become an ordinary folder with something in it is forgotten, as is one without photos.
        """
        inside = {path for path in self._known if os.path.join(path, "").startswith(os.path.join(root, ""))}
        kept = {*met, *_own_disk(root)}
        for path in sorted(inside - kept):
            if path.startswith(tuple(os.path.join(folder, "") for folder in unlisted)) or path in unlisted:
                kept.add(path)  # what lies there is spared already
            elif self._is_vacant(path) and len(self._catalog.matching(Filter(folder=path))):
                kept.add(path)
                yield Unlisted(path, REASON)
        self._remember((self._known - inside) | kept)

    def _is_vacant(self, path: str) -> bool:
        try:
            return is_empty(path)
        except OSError:
            return True

    def _remember(self, known: set[str]) -> None:
        if known != self._known:
            self._known = known
            self._catalog.remember(SETTING, json.dumps(sorted(known)))


def _own_disk(root: str) -> list[str]:
    try:
        point = mount_point(root)
    except OSError:
        return []  # the scan has said why
    return [] if point is None else [point]
