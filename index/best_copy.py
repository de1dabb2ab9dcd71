"""Which of several copies to keep, and why in words. Pure but for `detail_of`, which is asked only where sizes differ."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence

import numpy as np
from PIL import Image

from index.fingerprint import GREY
from storage.fingerprints import Copy

LOSSLESS = frozenset(("PNG", "BMP", "TIFF", "PPM", "TGA", "SGI", "PCX", "QOI", "DIB"))
SAME_AREA = 1.05  # sizes closer than this are taken for the same
ENLARGED = 1.15  # a picture whose detail needs no more than this times the other's long side has nothing more to show
SAME_BYTES = 1.1  # bytes a pixel closer than this are taken for the same: two encoders differ by as much
PATCH = 512  # pixels a side in the middle of the picture, of which the detail is measured
# A picture was only enlarged where the mean power above a share of the highest frequency, beside that of the octave below it
# and divided by the share, is under FADED and, for larger shares, FADING more for each. (Of 213 photographs 4 were under it, of as
# many enlarged to twice 209.) Above a share of 0.7 nothing tells.
FADED, FADING, FROM = 0.03, 0.22, 0.35
SHARES = tuple(float(share) for share in np.arange(0.25, 0.71, 0.05))

Detail = Callable[[Copy], int | None]


def best_copy(
    copies: Sequence[Copy], cropped: Collection[int], detail: Detail, turned: Collection[int] = ()
) -> tuple[Copy, str]:
    """(the copy to keep, why it rather than the others).

    `cropped` names contents that show less of a picture than others, `turned` those that lie otherwise than most. `detail` says
    how many pixels a copy's long side would need for what it shows, None where nobody can tell.
    """
    best, *others = sorted(copies, key=_order)  # of two that are as good, the first stays
    for other in others:
        if _reason(other, best, (cropped, turned), detail) is not None:
            best = other
    reasons = []
    for other in copies:
        if other is not best:
            reasons.append(_reason(best, other, (cropped, turned), detail) or _tie(best, other))
    return best, "; ".join(dict.fromkeys(reasons)) or "the only one"


def sharpest(copies: Sequence[Copy]) -> tuple[Copy, str]:
    """The same of a burst, whose pictures differ in little but how well they came out."""
    best = max(copies, key=lambda copy: copy.sharpness or 0.0)
    return best, "the sharpest of the burst"


def detail_px(jpeg: bytes) -> int:
    """How many pixels along its long side a picture would need for all the detail that it has.

    What was enlarged has hardly anything above the highest frequency of the picture that it was made from.
    """
    with Image.open(io.BytesIO(jpeg)) as opened:
        width, height = opened.size
        left, top = max(0, (width - PATCH) // 2), max(0, (height - PATCH) // 2)
        patch = opened.convert("L").crop((left, top, min(width, left + PATCH), min(height, top + PATCH)))
    pixels = np.asarray(patch, np.float32)
    window = np.hanning(pixels.shape[0])[:, None] * np.hanning(pixels.shape[1])
    power = np.abs(np.fft.rfft2((pixels - pixels.mean()) * window)) ** 2
    # 1 is the highest frequency along an axis; the corners beyond it count as it.
    down = np.abs(np.fft.fftfreq(pixels.shape[0])) * 2
    across = np.fft.rfftfreq(pixels.shape[1]) * 2
    radius = np.maximum(down[:, None], across)
    for share in SHARES:
        above, octave = power[radius > share], power[(radius > share / 2) & (radius <= share)]
        faded = FADED + FADING * max(0.0, share - FROM)
        if above.size and octave.size and above.mean() < faded * share * octave.mean():
            return round(share * max(width, height))
    return max(width, height)


def _reason(one: Copy, other: Copy, worse_ones: tuple[Collection[int], Collection[int]], detail: Detail) -> str | None:
    """Why the first is better, None where it is not."""
    cropped, turned = worse_ones
    for better, worse, words in (
        (_is_grey(other) and not _is_grey(one), _is_grey(one) and not _is_grey(other), "in colour"),
        (other.content_id in cropped, one.content_id in cropped, "shows the whole picture"),
        (other.content_id in turned, one.content_id in turned, "lies as most of them do"),
    ):
        if better != worse:
            return words if better else None
    size = _by_size(one, other, detail)
    if size is not None:
        return size or None
    for better, worse, words in (
        (_has_exif(one), _has_exif(other), "keeps its EXIF data"),
        (one.format in LOSSLESS, other.format in LOSSLESS, f"lossless ({one.format})"),
        (
            one.format == other.format and _bytes_a_pixel(one) > SAME_BYTES * _bytes_a_pixel(other),
            one.format == other.format and _bytes_a_pixel(other) > SAME_BYTES * _bytes_a_pixel(one),
            "less compressed",
        ),
    ):
        if better != worse:
            return words if better else None
    return None


def _by_size(one: Copy, other: Copy, detail: Detail) -> str | None:
    """Why the first is better by its size, "" where the other is, None where it says nothing."""
    areas = one.width * one.height, other.width * other.height
    if max(areas) <= SAME_AREA * min(areas):
        return None
    large, small = (one, other) if areas[0] > areas[1] else (other, one)
    # A blurred original has no more detail than a reduced copy either; what the camera wrote of it tells the two apart.
    if not (_has_exif(large) and not _has_exif(small)):
        shown = detail(large)
        if shown is not None and shown <= ENLARGED * max(small.width, small.height):
            return "" if one is large else "as sharp as the larger one, which is enlarged"
    return f"more pixels ({one.width} x {one.height})" if one is large else ""


def _tie(best: Copy, other: Copy) -> str:
    if best.mtime_ns != other.mtime_ns:
        return "the older file" if best.mtime_ns < other.mtime_ns else "as good as the others"
    return "the shorter path" if len(best.path) < len(other.path) else "the first by name"


def _order(copy: Copy) -> tuple[int, int, str]:
    return copy.mtime_ns, len(copy.path), copy.path


def _bytes_a_pixel(copy: Copy) -> float:
    return copy.bytes / (copy.width * copy.height)


def _is_grey(copy: Copy) -> bool:
    return copy.colour is not None and copy.colour < GREY


def _has_exif(copy: Copy) -> bool:
    return copy.taken_at is not None or copy.camera is not None
