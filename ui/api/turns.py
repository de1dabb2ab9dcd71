"""Turns: who may do expensive work now, so that one client can't starve another.

A client is an address. Each has one turn at a time and a short queue; free places go round among the clients that wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 2  # as many as there are processes that read pictures for a page
PER_CLIENT = 1
QUEUE = 8  # requests of one client that may wait
ALL = 64  # requests of all clients together: each may hold an upload on the disk
# Of what is read and not worked out, photos above all. Together with the above fewer than the server's 40 threads, so that
# /health always has one; a browser asks for six photos at once.
LIGHT = {"at_once": 24, "per_client": 8, "queue": 120, "most": 1000}
WAIT_S = 5  # what a refused client is told to wait


class TooMany(Exception):
    """No more requests are taken: of this client where `is_yours`, else of anybody."""

    def __init__(self, is_yours: bool) -> None:
        super().__init__("too many requests")
        self.is_yours = is_yours


class Turns:
    """All turns of one server. To be used from its event loop alone, so nothing here needs a lock."""

    def __init__(
        self, at_once: int = AT_ONCE, per_client: int = PER_CLIENT, queue: int = QUEUE, most: int = ALL
    ) -> None:
        self.at_once, self.per_client, self.queue, self.most = at_once, per_client, queue, most
        self._inside: Counter[str] = Counter()  # requests of a client that were let in, working or not
        self._working: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = (
            OrderedDict()
        )  # the longest unserved client first

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """A place for one request, from before its body is read until it is answered. Raises TooMany."""
        if self._inside[client] >= self.per_client + self.queue:
            raise TooMany(is_yours=True)
        if self._inside.total() >= self.most:
            raise TooMany(is_yours=False)
        self._inside[client] += 1
        try:
            yield
        finally:
            _less(self._inside, client)

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Waits until this client may work."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(mine)
        self._give()
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():
                _less(self._working, client)
            else:
                self._leave(client, mine)
            self._give()

    def _give(self) -> None:
        """Turns to those who wait, a client that got one going to the end of the row."""
        while self._working.total() < self.at_once:
            client = next((one for one in self._waiting if self._working[one] < self.per_client), None)
            if client is None:
                return
            first = self._waiting[client].popleft()
            self._waiting.move_to_end(client)
            if not self._waiting[client]:
                del self._waiting[client]
            if not first.done():  # else it has gone away, and says so itself
                self._working[client] += 1
                first.set_result(None)

    def _leave(self, client: str, mine: asyncio.Future[None]) -> None:
        queue = self._waiting.get(client, deque())
        if mine in queue:
            queue.remove(mine)
        if not queue:
            self._waiting.pop(client, None)


def _less(counts: Counter[str], client: str) -> None:
    counts[client] -= 1
    if not counts[client]:
        del counts[client]
