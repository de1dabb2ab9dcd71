"""The pictures that were looked at last, kept so that the network need not look at them for every question about them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial

from index.library import Library
from index.why import Looked, looked_at

MOST_BYTES = 64 << 20  # of maps: about 120 pictures of the starter model, 25 of ConvNeXt-Tiny
FEWEST = 4  # so many are kept however large they are: the pairs of two people


class Kept:
    """The last pictures with their maps, by space and by the content of their files. May be used from several threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._pictures: OrderedDict[tuple[str, str], Looked] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def look(self, library: Library, path: str) -> Looked:
        """A file as it is now: it is read each time, the network only looks at bytes that it has not seen lately.

        Raises what `looked_at` raises.
        """
        looked = looked_at(library, path, partial(self.find, library.space.key))
        self._keep((library.space.key, looked.digest), looked)
        return looked

    def find(self, space: str, digest: str) -> Looked | None:
        """What the network of a space, by its key, made of a file with these bytes, if that is still kept."""
        with self._lock:
            looked = self._pictures.get((space, digest))
            if looked is not None:
                self._pictures.move_to_end((space, digest))
            return looked

    def _keep(self, key: tuple[str, str], looked: Looked) -> None:
        with self._lock:
            before = self._pictures.pop(key, None)
            self._bytes += looked.nbytes - (0 if before is None else before.nbytes)
            self._pictures[key] = looked
            while self._bytes > self.most_bytes and len(self._pictures) > FEWEST:
                self._bytes -= self._pictures.popitem(last=False)[1].nbytes
