"""Which files are pictures: told from the first bytes, with the file's ending only as a second opinion.

The formats are those that can be decoded safely inside this process. Formats whose decoder starts another program (EPS)
or that have no signature (TGA) are left out on purpose.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import IO

from PIL import Image, ImageFile

HEAD_BYTES = 32  # what `format_of` needs to see

# fmt: off
ENDINGS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ico",
    ".heic", ".heics", ".heif", ".hif", ".avif", ".avifs", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx",
})
# fmt: on

_PLUGINS = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "ICO": "PIL.IcoImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
    "JPEG2000": "PIL.Jpeg2KImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "HEIF": "pillow_heif",
}

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),  # a bare codestream
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def looks_like_image(name: str, head: bytes) -> bool:
    """True where the first bytes (32 are enough) are a known picture's, or the name ends like one."""
    return os.path.splitext(name)[1].lower() in ENDINGS or format_of(head) is not None


def format_of(head: bytes) -> str | None:
    """Pillow's name of the format that starts with these bytes, or None."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_media_format(head)
    return _weakly_signed_format(head)


def _iso_media_format(head: bytes) -> str | None:
    """HEIF or AVIF by the brands that fit into `head`; None for films and anything else in the same container."""
    major = head[8:12]
    compatible = {head[i : i + 4] for i in range(16, min(len(head), int.from_bytes(head[:4], "big")), 4)}
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major in _HEIF_BRANDS:
        # mif1 and msf1 name the container only; the compatible brands say which codec is inside.
        return "AVIF" if major in (b"mif1", b"msf1") and compatible & _AVIF_BRANDS else "HEIF"
    return None


def _weakly_signed_format(head: bytes) -> str | None:
    """BMP, ICO or PPM, whose signatures are two to four bytes: their headers' fixed fields must fit too."""
    if head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "BMP"
    # An icon: type 1, at least one entry, and the entry's reserved byte.
    if head[:4] == b"\0\0\1\0" and len(head) >= 22 and 0 < int.from_bytes(head[4:6], "little") < 256 and head[9] == 0:
        return "ICO"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n" and len(head) > 6:
        rest = head[3:].lstrip()
        return "PPM" if rest[:1].isdigit() or rest[:1] == b"#" else None
    return None


def decoder_of(name: str) -> Callable[[IO[bytes], str | bytes], ImageFile.ImageFile]:
    """The function that opens a binary file (and its name) of this format, its plugin loaded on first use.

    Going to the plugin directly, not through PIL.Image.open, keeps the choice of format and the pixel limit ours:
    Pillow's own limit is a global of the process that belongs to the caller.
    """
    plugin = importlib.import_module(_PLUGINS[name])
    if name == "HEIF":
        plugin.register_heif_opener()
    return Image.OPEN[name][0]
