"""How the C library of a server that runs for weeks keeps memory that was given back."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

ARENAS = 2
_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def share_arenas() -> bool:
    """Let all threads take memory from the same few arenas; whether the C library can. To be called before threads are made.

    glibc gives each of a server's threads an arena of its own, up to eight for a core, none of which uses what lies free in
    another: under load more than half of what malloc held was such (bench/RESULTS.md, "Fifty at once").
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # a C library without it
            return ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS) == 1
    return False
