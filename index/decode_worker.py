"""What runs inside a decoding process: one file in, one result out. Light to import, as every worker does so.

A worker is thrown away when it hangs, crashes or wants too much memory; nothing here needs to be cleaned up after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from regconv.errors import UnreadableImage
from regconv.image_colours import for_display
from regconv.images import Limits, Picture, Recipe, draft_size, open_picture, prepared, read_file

THUMBNAIL_PX = 384  # long side
_THUMBNAIL_QUALITY = 80
_JPEG_LARGEST_PX = 65_500  # a side longer than this does not fit into the format
OUT_OF_MEMORY = "needs more memory to decode than one picture is allowed"


@dataclass(frozen=True)
class DecodeTask:
    """A file to decode, unless the digest of its bytes is in `known`."""

    path: str
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture and its facts; size, mtime_ns and digest (blake2b, 32 bytes in hex) belong to the bytes that were decoded.

    `width` and `height` are the upright original's, `picture` is uint8 (size, size, 3), `thumbnail` a JPEG in sRGB.
    """

    task: DecodeTask
    digest: str
    size: int
    mtime_ns: int
    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    picture: np.ndarray
    thumbnail: bytes


@dataclass(frozen=True)
class Known:
    """The file's bytes are known already; nothing was decoded."""

    task: DecodeTask
    digest: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Failure:
    """A file that gives no picture, and why in words; the stamp where the bytes could be read."""

    path: str
    reason: str
    size: int | None = None
    mtime_ns: int | None = None


def decode_file(task: DecodeTask, recipe: Recipe, limits: Limits) -> Decoded | Known | Failure:
    """The file's bytes read once, hashed, and decoded once for both the network's picture and the thumbnail."""
    size = mtime_ns = None
    try:
        file = read_file(task.path, limits)
        size, mtime_ns = file.size, file.mtime_ns
        digest = hashlib.blake2b(file.data, digest_size=32).hexdigest()
        sender = DecodeTask(task.path)  # `known` need not travel back
        if digest in task.known:
            return Known(sender, digest, size, mtime_ns)
        opened = open_picture(file.data, limits=limits, at_least=draft_size(recipe), name=task.path)
        facts = opened.width, opened.height, opened.format, opened.taken_at, opened.camera
        return Decoded(sender, digest, size, mtime_ns, *facts, prepared(opened, recipe), thumbnail(opened))
    except UnreadableImage as error:
        return Failure(task.path, error.reason, size, mtime_ns)
    except MemoryError:
        return Failure(task.path, OUT_OF_MEMORY, size, mtime_ns)


def view_file(path: str, limits: Limits, max_side: int | None, quality: int) -> bytes | Failure:
    """The photo itself as an upright JPEG in sRGB that carries nothing but pixels."""
    try:
        opened = open_picture(path, limits=limits)
        longest = min(max_side or _JPEG_LARGEST_PX, _JPEG_LARGEST_PX)
        return _jpeg(_at_most(for_display(opened.image, opened.icc_profile), longest), quality)
    except UnreadableImage as error:
        return Failure(path, error.reason)
    except MemoryError:
        return Failure(path, OUT_OF_MEMORY)


def thumbnail(picture: Picture) -> bytes:
    """A small JPEG of the whole picture, its long side at most THUMBNAIL_PX, without metadata."""
    small = _at_most(picture.image, THUMBNAIL_PX)
    return _jpeg(for_display(small, picture.icc_profile), _THUMBNAIL_QUALITY)


def _at_most(image: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def start_worker(memory_mb: int) -> None:
    """Make this process one that decodes: quiet on Ctrl-C, gone with its parent, limited in memory, single-threaded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to every process; the parent decides
    _end_with_parent()
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # codecs write to stderr, and the terminal is the parent's progress bar
    # One picture per process is the parallelism; a codec's own threads would only add their stacks to the limit.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 1
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    _limit_memory(memory_mb)


def _end_with_parent() -> None:
    """However the parent ends: by a thread that waits for its end of a pipe to close, and by a signal of the same pipe.

    The signal's default action ends a worker that is stuck in a decoder and lets no Python thread run. (The kernel's
    signal at a parent's death would not do: the parent there is the server that forks, and its children keep that alive.)
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    threading.Thread(target=_exit_after, args=(parent,), name="end with parent", daemon=True).start()
    with contextlib.suppress(ImportError, AttributeError, OSError):  # no fcntl, no O_ASYNC, not on this kind of pipe
        import fcntl

        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _limit_memory(memory_mb: int) -> None:
    """Address space beyond what an idle worker has; without effect where the platform knows no such limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        with open("/proc/self/statm") as statm:
            idle = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        idle = 1 << 30
    limit = idle + (memory_mb << 20)
    with contextlib.suppress(OSError, ValueError):  # macOS knows the name but refuses
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
