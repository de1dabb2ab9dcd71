"""Files in, pictures out, through worker processes that may hang, crash or grow without taking anything else along.

Exactly one result for each file, in the order asked for, whatever happens to the worker that had it. Workers are started
from a process that never saw torch, and only when the first file comes.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pebble import ProcessExpired, ProcessPool

from index.decode_worker import (
    OUT_OF_MEMORY,
    Decoded,
    DecodeTask,
    Failure,
    Known,
    decode_file,
    start_worker,
    view_file,
)
from regconv.errors import UnreadableImage
from regconv.images import Limits, Recipe

__all__ = ["DecodeTask", "Decoded", "Decoder", "DecoderClosed", "Failure", "Known"]

Result = Decoded | Known | Failure

_LIMITS = Limits()
MEMORY_MB = 3072  # the largest picture within Limits took 2.3 GB at its worst, RGBA to be turned (measured)
_AHEAD_PER_WORKER = 8  # files under way or waiting for an earlier one; about 0.3 MB each
_INTERACTIVE_WORKERS = 2
_ATTEMPTS = 3  # when the whole pool broke, perhaps through another file
_SLACK_S = 60.0  # on top of the deadlines that can lie before a file, before the pool itself is given up


class DecoderClosed(RuntimeError):
    """The decoder was closed while, or before, it was used."""


class Decoder:
    """Worker processes for one recipe. Every method may be called from several threads.

    `decode` and the two interactive methods have workers of their own: a page need not wait for a running job.
    """

    # Where tests plant faults: what a worker calls.
    _decode_file: Callable[..., Result] = staticmethod(decode_file)
    _view_file: Callable[..., bytes | Failure] = staticmethod(view_file)

    def __init__(
        self,
        recipe: Recipe,
        *,
        workers: int | None = None,
        deadline_s: float = 60,
        memory_mb: int = MEMORY_MB,
        limits: Limits = _LIMITS,
    ) -> None:
        self.recipe, self.limits, self.deadline_s = recipe, limits, deadline_s
        self.workers = workers or _available_cores()
        self._batch = _Workers(self.workers, memory_mb, deadline_s)
        self._interactive = _Workers(min(self.workers, _INTERACTIVE_WORKERS), memory_mb, deadline_s)

    def with_recipe(self, recipe: Recipe) -> Decoder:
        """The same worker processes with another recipe. Closing either closes both."""
        other = copy.copy(self)
        other.recipe = recipe
        return other

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers. Whoever still waits for one gets DecoderClosed."""
        self._batch.close()
        self._interactive.close()

    def decode(self, tasks: Iterable[DecodeTask]) -> Generator[Result, None, None]:
        """One result for each task, in order. Looks a bounded number of tasks ahead; closing early drops those."""
        look_ahead = self.workers * _AHEAD_PER_WORKER
        waiting: deque[tuple[DecodeTask, Future]] = deque()
        self._batch.enter()
        try:
            for task in tasks:
                waiting.append((task, self._send(self._batch, task)))
                while waiting and (len(waiting) >= look_ahead or waiting[0][1].done()):
                    yield self._receive(self._batch, *waiting.popleft())
            while waiting:
                yield self._receive(self._batch, *waiting.popleft())
        finally:
            self._batch.leave(abandoned=any(not future.done() for _, future in waiting))

    def picture(self, path: str) -> Decoded:
        """One file as `decode` gives it. Raises UnreadableImage."""
        if os.path.isdir(path):
            raise UnreadableImage(path, "is a folder; give a picture file")
        task = DecodeTask(path)
        result = self._receive(self._interactive, task, self._send(self._interactive, task))
        if isinstance(result, Failure):
            raise UnreadableImage(path, result.reason)
        assert isinstance(result, Decoded)  # no digest was given as known
        return result

    def view(self, path: str, max_side: int | None = None, quality: int = 90) -> bytes:
        """The photo itself as an upright JPEG without any metadata, GPS above all. Raises UnreadableImage."""

        def send() -> Future:
            return self._interactive.submit(self._view_file, path, self.limits, max_side, quality)

        result = self._interactive.result(path, send(), send)
        if isinstance(result, Failure):
            raise UnreadableImage(path, result.reason)
        return result

    def _send(self, workers: _Workers, task: DecodeTask) -> Future:
        return workers.submit(self._decode_file, task, self.recipe, self.limits)

    def _receive(self, workers: _Workers, task: DecodeTask, future: Future) -> Result:
        result = workers.result(task.path, future, lambda: self._send(workers, task))
        if isinstance(result, Failure):
            return replace(result, path=task.path)
        if result.task.path != task.path:
            raise AssertionError(f"asked for {task.path!r}, got {result.task.path!r}")
        return replace(result, task=task)


class _Workers:
    """A pool that starts when first needed and is replaced when it breaks."""

    def __init__(self, count: int, memory_mb: int, deadline_s: float) -> None:
        self._count, self._memory_mb, self._deadline_s = count, memory_mb, deadline_s
        self._lock = threading.RLock()
        self._pool: ProcessPool | None = None
        self._closed = False
        self._users = 0
        self._pending: set[Future] = set()

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self, *, abandoned: bool) -> None:
        """Count one user less; what an only user abandoned is ended with its workers, not worked off."""
        with self._lock:
            self._users -= 1
            if abandoned and self._users == 0:
                self._drop()

    def submit(self, function: Callable[..., Any], *args: object) -> Future:
        """The future of function(*args) in a worker, which has `deadline_s` from when it starts."""
        with self._lock:
            try:
                future = self._running().schedule(function, args, timeout=self._deadline_s)
            except RuntimeError:  # broken, perhaps long ago by an idle worker's death
                if self._closed:
                    raise
                self._drop()
                future = self._running().schedule(function, args, timeout=self._deadline_s)
            self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def result(self, path: str, future: Future, again: Callable[[], Future]) -> Any:
        """The worker's result, or a Failure that says what became of the worker; `again` sends the file once more."""
        for _ in range(_ATTEMPTS):
            try:
                return future.result(timeout=self._patience_s())
            except ProcessExpired as error:
                return Failure(path, _how_it_ended(error.exitcode))
            except TimeoutError:
                if future.done():
                    return Failure(path, f"took longer than {self._deadline_s:g} s to decode")
                self.replace()
                return Failure(path, "the decoding processes stopped answering")
            except BrokenProcessPool:
                future = again()
            except MemoryError:
                return Failure(path, OUT_OF_MEMORY)
            except Exception as error:  # noqa: BLE001  one bad file must not end the job; whatever it is, it is said
                return Failure(path, f"could not be decoded ({type(error).__name__}: {error})")
        return Failure(path, "broke the decoding processes several times")

    def replace(self) -> None:
        """End all workers; those who wait are told that the pool broke and try again."""
        with self._lock:
            self._drop()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop()

    def _running(self) -> ProcessPool:
        if self._closed:
            raise DecoderClosed("this decoder is closed")
        if self._pool is None:
            context: Any = clean_context()
            self._pool = ProcessPool(
                self._count, initializer=start_worker, initargs=(self._memory_mb,), context=context
            )
        return self._pool

    def _drop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.stop()
        _end_workers(pool)
        pool.join()
        # The pool forgets what it had not finished; nobody may wait for that for ever.
        for future in list(self._pending):
            with suppress(InvalidStateError):
                future.set_exception(BrokenProcessPool("the decoding processes were replaced"))

    def _patience_s(self) -> float:
        """Longer than a file can take when every one before it uses up its deadline."""
        return self._deadline_s * (len(self._pending) / self._count + 2) + _SLACK_S


def _end_workers(pool: ProcessPool) -> None:
    # The pool's own join takes the names of its locks away before it ends the workers (pebble 5.2): one that was just
    # starting would miss them and print a traceback over what the program says.
    if pool._pool_manager_loop is not None:
        pool._pool_manager_loop.join()  # from here on it starts no more
    pool._pool_manager.worker_manager.force_stop_workers()


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the system ended the process that decoded it, perhaps for want of memory"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
    return f"crashed the process that decoded it ({name})"


def clean_context() -> Any:
    """A way to start processes that takes nothing over from this one, torch and its threads least of all."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([start_worker.__module__])  # imported once: a replaced worker starts in milliseconds
    return context


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
