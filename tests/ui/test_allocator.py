from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Eight threads at a time that hold memory; then how many heaps malloc has, on stderr.
SCRIPT = """
import ctypes, os, threading
from ui.allocator import share_arenas
if {shared}:
    assert share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
ready = threading.Barrier(8)
def hold():
    ready.wait()
    libc.malloc(100_000)
    ready.wait()
threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(2, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
@pytest.mark.parametrize("shared", [True, False])
def test_threads_share_two_arenas(shared: bool) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(shared=shared)], cwd=root, capture_output=True, text=True, check=True
    )
    heaps = len(re.findall(r"<heap nr=", run.stderr))
    assert heaps == 2 if shared else heaps > 2
