"""Camera-sized JPEGs made from smaller photographs: enlarged ones (smooth), and mosaics at native detail (as busy as can be)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

Size = tuple[int, int]
CAMERA: Size = (4000, 3000)  # 12 megapixels


def photo_paths() -> list[Path]:
    """The photographs of REGCONV_DATA, sorted. Raises SystemExit where it is not set."""
    data = os.environ.get("REGCONV_DATA")
    if not data:
        raise SystemExit("set REGCONV_DATA to the folder that holds photos/")
    return sorted(path for path in Path(data, "photos").iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))


def write_enlarged(folder: Path, paths: list[Path], long_side: int) -> list[Path]:
    """One JPEG for each path, its long side `long_side` pixels."""
    return [_write(_enlarged(path, long_side), folder / f"{long_side}-{path.stem}.jpg") for path in paths]


def write_mosaics(folder: Path, paths: list[Path], count: int, size: Size = CAMERA) -> list[Path]:
    """`count` JPEGs of `size`, each tiled with photographs at their own resolution, each starting with another one."""
    return [
        _write(_mosaic(_rotated(paths, number * 7), size), folder / f"mosaic-{number:03}.jpg")
        for number in range(count)
    ]


def _write(image: Image.Image, path: Path) -> Path:
    image.save(path, quality=90, subsampling="4:2:0")
    return path


def _enlarged(path: Path, long_side: int) -> Image.Image:
    with Image.open(path) as image:
        scale = long_side / max(image.size)
        return image.convert("RGB").resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
        )


def _mosaic(paths: Iterator[Path], size: Size) -> Image.Image:
    """Rows of photographs, each row as high as its first one."""
    canvas = Image.new("RGB", size)
    top = 0
    while top < size[1]:
        left, row = 0, 0
        while left < size[0]:
            with Image.open(next(paths)) as image:
                row = row or image.height
                canvas.paste(image.convert("RGB").crop((0, 0, image.width, row)), (left, top))
                left += image.width
        top += row
    return canvas


def _rotated(paths: list[Path], start: int) -> Iterator[Path]:
    while True:
        yield paths[start % len(paths)]
        start += 1
