"""Any picture's pixels as 8 bit RGB.

Rules, in order: CMYK and Lab go through their colour profile; deep grey is scaled, not clipped; what is transparent shows
white. The profile of an RGB picture is *not* applied here: the published networks were trained on pixels whose profiles
nobody read, and pixels without it depend on nothing but the file. `for_display` applies it for eyes.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

_FULL_SCALES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # 8, 10, 12, 14, 16 bit
_DEEP_GREY = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` in mode RGB, without any metadata in its `info`."""
    if image.mode == "CMYK":
        rgb = _through_profile(image, _profile(image.info.get("icc_profile"), "CMYK")) or image.convert("RGB")
    elif image.mode == "LAB":
        rgb = _lab_to_rgb(image)
    elif image.mode in _DEEP_GREY:
        rgb = Image.fromarray(_grey_to_8_bit(image)).convert("RGB")
    elif image.has_transparency_data:
        rgb = _over_white(image.convert("RGBA"))
    elif image.mode == "RGB":
        rgb = image.copy() if image.readonly else image
    else:
        rgb = image.convert("RGB")
    rgb.info = {}  # Pillow would write comments and more from it into the next file
    return rgb


def for_display(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """An RGB `image` in sRGB; the same one where its profile is missing, sRGB already, or makes no sense."""
    profile = _profile(icc_profile, "RGB")
    if profile is None or "srgb" in (ImageCms.getProfileDescription(profile) or "").lower():
        return image
    return _through_profile(image, profile) or image


def _profile(data: bytes | None, space: str) -> ImageCms.ImageCmsProfile | None:
    """The profile in `data` if it can be read and is for this colour space."""
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, TypeError, ImageCms.PyCMSError):
        return None
    return profile if profile.profile.xcolor_space.strip() == space else None


def _through_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image | None:
    if profile is None:
        return None
    try:
        return ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
    except (OSError, ValueError, ImageCms.PyCMSError):  # readable, but not usable as an input profile
        return None


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.buildTransform(lab, _SRGB, "LAB", "RGB").apply(image)


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _grey_to_8_bit(image: Image.Image) -> np.ndarray:
    """uint8 (h, w): the values divided by the first full scale that holds them all.

    Scanners and medical devices write 10 to 14 bits into 16 without saying so, and floats mean 0..1 or a number of bits.
    Values that are negative or beyond 16 bit are stretched from their least to their greatest.
    """
    values = np.array(image, dtype=np.float32)
    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    scales = (1.0, *_FULL_SCALES) if image.mode == "F" else _FULL_SCALES
    full_scale = next((top for top in scales if low >= 0 and high <= top), None)
    if full_scale is None:
        values -= np.float32(low)
        full_scale = max(high - low, 1e-30)
    # In place: the largest picture allowed has 716 MB here.
    values *= np.float32(255 / full_scale)
    np.rint(values, out=values)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)
