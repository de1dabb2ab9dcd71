"""What a file's EXIF says: which way is up, when and with what it was taken. Damaged EXIF says nothing and is no error."""

from __future__ import annotations

import re
from datetime import datetime

from PIL import Image

from regconv.image_geometry import Box

_ORIENTATION, _MAKE, _MODEL, _CHANGED = 0x0112, 0x010F, 0x0110, 0x0132
_EXIF_IFD, _TAKEN, _DIGITIZED = 0x8769, 0x9003, 0x9004
_CAMERA_LENGTH = 100

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8; 1 where nothing sensible is said.

    Ask after loading: Pillow turns a TIFF itself while loading it, and pillow-heif a HEIC, and both then say 1.
    """
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  Pillow's EXIF reader raises whatever the damage makes of its parser
        return 1
    return value if isinstance(value, int) and value in _TURN else 1


def is_sideways(turn: int) -> bool:
    """True where width and height change places."""
    return turn >= 5


def turned(image: Image.Image, turn: int) -> Image.Image:
    """`image` upright; itself where it already is."""
    return image.transpose(_TURN[turn]) if turn in _TURN else image


def turned_box(covered: tuple[float, float], size: tuple[int, int], turn: int) -> Box:
    """Where the top left `covered` (width, height) of the stored picture lies in the upright one of `size`."""
    width, height = covered[::-1] if is_sideways(turn) else covered
    left = size[0] - width if turn in (2, 3, 6, 7) else 0.0
    top = size[1] - height if turn in (3, 4, 7, 8) else 0.0
    return left, top, left + width, top + height


def taken_at(image: Image.Image) -> datetime | None:
    """When the photo was taken by the camera's own clock, without a time zone; None where unknown."""
    try:
        exif = image.getexif()
        inner = exif.get_ifd(_EXIF_IFD)
    except Exception:  # noqa: BLE001  see orientation
        return None
    for text in (inner.get(_TAKEN), inner.get(_DIGITIZED), exif.get(_CHANGED)):
        moment = _moment(text)
        if moment is not None:
            return moment
    return None


def _moment(text: object) -> datetime | None:
    found = re.match(r"\s*(\d{4})[:/.-](\d\d?)[:/.-](\d\d?)[ T]+(\d\d?):(\d\d?)(?::(\d\d?))?", _plain(text))
    if found is None:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:  # 0000:00:00, a 13th month, a leap second
        return None


def camera(image: Image.Image) -> str | None:
    """ "Make Model" with the make said once; None where neither is known."""
    try:
        exif = image.getexif()
        make, model = _plain(exif.get(_MAKE)), _plain(exif.get(_MODEL))
    except Exception:  # noqa: BLE001  see orientation
        return None
    # "NIKON CORPORATION" and "NIKON D80" make "NIKON D80".
    if make and model.lower().startswith(make.lower().split()[0]):
        make = ""
    return f"{make} {model}".strip()[:_CAMERA_LENGTH] or None


def _plain(value: object) -> str:
    """A tag's text on one line, up to its first NUL; empty for anything that is no text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    shown = "".join(letter if letter.isprintable() else " " for letter in value.split("\0")[0])
    return " ".join(shown.split())
