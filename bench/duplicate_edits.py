"""Edits of photographs, by name: what bench/duplicates.py hides among other photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

ORIENTATION = 0x0112
TURN = Image.Transpose
Edit = Callable[[Image.Image], Image.Image]


def crop(share: float) -> Edit:
    """Keeps this share of either side, a third of the way from the left and two from the top."""

    def cut(image: Image.Image) -> Image.Image:
        width, height = (int(side * share) for side in image.size)
        left, top = (image.width - width) // 3, 2 * (image.height - height) // 3
        return image.crop((left, top, left + width, top + height))

    return cut


def resize(factor: float) -> Edit:
    """Smaller by averaging, larger by cubic interpolation."""

    def scale(image: Image.Image) -> Image.Image:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return image.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)

    return scale


def watermark(image: Image.Image) -> Image.Image:
    """White words in the lower half."""
    image = image.copy()
    font = ImageFont.load_default(max(image.size) // 14)
    place = image.width // 10, image.height * 8 // 10
    ImageDraw.Draw(image).text(place, "SAMPLE 2026", fill=(255, 255, 255), font=font)
    return image


def grey(image: Image.Image) -> Image.Image:
    """Grey, saved as RGB."""
    return image.convert("L").convert("RGB")


def same(image: Image.Image) -> Image.Image:
    """As it is: only saved otherwise."""
    return image


def turned(turn: Image.Transpose) -> Edit:
    """Turned or mirrored."""
    return lambda image: image.transpose(turn)


# name -> (what is done to the pixels, ending, options of saving)
EDITS: dict[str, tuple[Edit, str, dict]] = {
    "saved again, q95": (same, ".jpg", {"quality": 95}),
    "saved again, q75": (same, ".jpg", {"quality": 75}),
    "saved again, q50": (same, ".jpg", {"quality": 50}),
    "as PNG": (same, ".png", {}),
    "as WebP q80": (same, ".webp", {"quality": 80}),
    "lying, EXIF says so": (turned(TURN.ROTATE_90), ".jpg", {"quality": 95, "orientation": 6}),
    "half the size": (resize(0.5), ".jpg", {}),
    "twice the size": (resize(2), ".jpg", {}),
    "mirrored": (ImageOps.mirror, ".jpg", {}),
    "upside down, mirrored": (ImageOps.flip, ".jpg", {}),
    "turned by 90": (turned(TURN.ROTATE_90), ".jpg", {}),
    "turned by 180": (turned(TURN.ROTATE_180), ".jpg", {}),
    "turned by 270": (turned(TURN.ROTATE_270), ".jpg", {}),
    "grey": (grey, ".jpg", {}),
    "grey, mirrored, half": (lambda image: ImageOps.mirror(grey(resize(0.5)(image))), ".jpg", {}),
    "brighter by 1.3": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), ".jpg", {}),
    "contrast by 1.4": (lambda image: ImageEnhance.Contrast(image).enhance(1.4), ".jpg", {}),
    "cropped to 90 % a side": (crop(0.9), ".jpg", {}),
    "cropped to 80 % a side": (crop(0.8), ".jpg", {}),
    "cropped to 60 % a side": (crop(0.6), ".jpg", {}),
    "cropped to 80 %, mirrored": (lambda image: ImageOps.mirror(crop(0.8)(image)), ".jpg", {}),
    "tilted by 3": (lambda image: image.rotate(3, Image.Resampling.BICUBIC), ".jpg", {}),
    "border of 5 %": (lambda image: ImageOps.expand(image, max(image.size) // 20, (255, 255, 255)), ".jpg", {}),
    "watermark": (watermark, ".jpg", {}),
}


def save_edited(photo: Path, name: str, target: Path) -> Path:
    """Write the edit of a photograph beside `target`, which gets the edit's ending; where it is."""
    edit, ending, options = EDITS[name]
    options = {"quality": 90} | options if ending == ".jpg" else dict(options)
    if (orientation := options.pop("orientation", None)) is not None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    path = target.with_name(target.name + ending)
    with Image.open(photo) as opened:
        edit(opened.convert("RGB")).save(path, **options)
    return path
