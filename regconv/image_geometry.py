"""Where the processor's pixels come from: the one place for its resize and crop geometry (conformance.md section 7).

From 384 px on a picture is squeezed to a square; below, its short side becomes int(size / crop_pct) and the middle square
is cut out.
"""

from __future__ import annotations

from PIL import Image

SQUEEZED_FROM = 384  # sizes from here on ignore the aspect ratio and are never cropped
DEFAULT_CROP_PCT = 224 / 256

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

# A resized picture beyond this is never made whole: only its middle is (a 1 x 100,000 strip would need gigapixels).
_LARGEST_RESIZED_PX = 1 << 24


def resized_size(height: int, width: int, size: int, crop_pct: float) -> tuple[int, int]:
    """(height, width) after resizing and before cropping, both at least 1. Raises ValueError for nonsense."""
    if size < 1 or not crop_pct > 0:
        raise ValueError(f"size and crop_pct must be above 0, got {size} and {crop_pct}")
    if size >= SQUEEZED_FROM:
        return size, size
    edge = max(1, int(size / crop_pct))
    if width <= height:
        return max(1, int(edge * height / width)), edge
    return edge, max(1, int(edge * width / height))


def crop_offsets(height: int, width: int, size: int) -> tuple[int, int]:
    """(top, left) of the middle square; negative where the picture is smaller and zeros are put around it."""
    # Floor on both sides of zero: surplus and padding put their smaller half first.
    top, left = (height - size) // 2 if height >= size else -((size - height) // 2), 0
    left = (width - size) // 2 if width >= size else -((size - width) // 2)
    return top, left


def resize_and_crop(
    image: Image.Image,
    size: int,
    crop_pct: float,
    resample: int,
    original: tuple[int, int] | None = None,
    box: Box | None = None,
) -> Image.Image:
    """`image` as (size, size), in its own mode.

    `original` is the (width, height) that the geometry is computed from and `box` the part of `image` that it covers;
    both differ from the image's own only where a JPEG was decoded at reduced scale.
    """
    width, height = original or image.size
    new_height, new_width = resized_size(height, width, size, crop_pct)
    if size < SQUEEZED_FROM and new_height * new_width > _LARGEST_RESIZED_PX:
        return _resize_middle(image, size, (new_width, new_height), resample, box)
    resized = image.resize((new_width, new_height), Image.Resampling(resample), box=box)
    if size >= SQUEEZED_FROM:
        return resized
    top, left = crop_offsets(new_height, new_width, size)
    return resized.crop((left, top, left + size, top + size))


def _resize_middle(
    image: Image.Image, size: int, resized: tuple[int, int], resample: int, box: Box | None
) -> Image.Image:
    """The crop of a picture too long to be resized whole, within a grey level of doing so."""
    left, top, right, bottom = box or (0.0, 0.0, *map(float, image.size))
    across, down = min(size, resized[0]), min(size, resized[1])
    x, y = (resized[0] - across) // 2, (resized[1] - down) // 2
    per_x, per_y = (right - left) / resized[0], (bottom - top) / resized[1]
    part = (left + x * per_x, top + y * per_y, left + (x + across) * per_x, top + (y + down) * per_y)
    middle = image.resize((across, down), Image.Resampling(resample), box=part)
    top_pad, left_pad = crop_offsets(down, across, size)
    return middle.crop((left_pad, top_pad, left_pad + size, top_pad + size))
