"""Work that nobody waits for gives way to who looks at a picture: threads that get what the others leave of the processor."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

NICENESS = 10  # more of such a thread than of the process, and so of those that it computes with


def in_background(name: str, work: Callable[..., Any], *args: Any) -> threading.Thread:
    """The thread of that name that does the work, started. It does not keep the process from ending."""
    thread = threading.Thread(target=_do, args=(work, *args), name=name, daemon=True)
    thread.start()
    return thread


def _do(work: Callable[..., Any], *args: Any) -> None:
    if sys.platform == "linux":  # elsewhere a thread has no niceness of its own
        with suppress(OSError):
            mine = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, mine, os.getpriority(os.PRIO_PROCESS, mine) + NICENESS)
    work(*args)
