"""The processor's steps on single NumPy images, as conformance.md section 7 has them: containers, layout, resize, rescale,
normalise. Values and dtypes follow the published processor bit for bit, its quantisation of floats included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from regconv.image_geometry import resize_and_crop

FIRST, LAST, NONE = "channels_first", "channels_last", "none"
LAYOUTS = (FIRST, LAST)

_CHANNELS = (1, 3)  # an axis of this length is taken for the channels


def image_list(images: Any, input_layout: str | None = None) -> list[Any]:
    """The single images in a PIL image, a 3-D or 4-D array or tensor, or a sequence of 3-D ones.

    Raises IndexError for an empty sequence and ValueError for anything that is no image. A 2-D array is one only where
    the layout is said to be "none".
    """
    dims = 2 if input_layout == NONE else 3
    if isinstance(images, list | tuple):
        if not images:
            raise IndexError("no images were given")
        found = list(images)
    elif _ndim(images) == dims + 1:
        found = list(images)
    else:
        found = [images]
    for image in found:
        if not isinstance(image, Image.Image) and _ndim(image) != dims:
            raise ValueError(f"expected a PIL image or an array of {dims} dimensions, got {_describe(image)}")
    return found


def to_array(image: Any) -> np.ndarray:
    """A PIL image in RGB as uint8 (h, w, 3), an array or tensor as it is. Raises ValueError for other PIL modes."""
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ValueError(
                f"a PIL image must be in mode RGB, got {image.mode}: use open_image or image.convert('RGB')"
            )
        return np.array(image)
    if hasattr(image, "detach"):  # a torch tensor that needs a gradient or lies on a device
        image = image.detach().cpu()
    return np.asarray(image)


def layout_of(image: Any, array: np.ndarray) -> str:
    """Where the channels are. An axis of 1 or 3 counts, the first before the last. Raises ValueError where neither fits."""
    if isinstance(image, Image.Image):
        return LAST
    if array.shape[0] in _CHANNELS:
        return FIRST
    if array.shape[-1] in _CHANNELS:
        return LAST
    raise ValueError(f"no axis of {array.shape} has 1 or 3 channels: say input_data_format")


def to_channels_last(array: np.ndarray, layout: str) -> np.ndarray:
    """(h, w, c), from any of the three layouts."""
    if layout == NONE:
        return array[..., None]
    return np.moveaxis(array, 0, -1) if layout == FIRST else array


def from_channels_last(array: np.ndarray, layout: str) -> np.ndarray:
    """The reverse of `to_channels_last`, contiguous."""
    if layout == NONE:
        return np.ascontiguousarray(array[..., 0])
    return np.ascontiguousarray(np.moveaxis(array, -1, 0) if layout == FIRST else array)


def resize(pixels: np.ndarray, size: int, crop_pct: float, resample: int) -> np.ndarray:
    """(size, size, c) of (h, w, c) in 1 to 4 channels: uint8, or float32 in steps of 1/255 where floats in [0, 1] came in.

    Raises ValueError for values that are neither 0..255 nor [0, 1].
    """
    is_unit = _is_unit_float(pixels)
    levels = (pixels * 255 if is_unit else pixels).astype(np.uint8)
    if levels.shape[-1] > 4:
        raise ValueError(f"{levels.shape[-1]} channels can't be resized, at most 4: use do_resize=False")
    image = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    fitted = np.array(resize_and_crop(image, size, crop_pct, resample))
    fitted = fitted.reshape(size, size, levels.shape[-1])
    return rescale(fitted, 1 / 255) if is_unit else fitted


def rescale(pixels: np.ndarray, factor: float) -> np.ndarray:
    """pixels * factor, computed in NumPy's type for the product and cast to float32."""
    return np.asarray(pixels * factor, dtype=np.float32)


def normalize(pixels: np.ndarray, mean: float | Sequence[float], std: float | Sequence[float]) -> np.ndarray:
    """(pixels - mean) / std for each channel of (h, w, c), in the pixels' own float type, integers in float32."""
    if not np.issubdtype(pixels.dtype, np.floating):
        pixels = pixels.astype(np.float32)
    channels = pixels.shape[-1]
    return (pixels - _per_channel("image_mean", mean, channels, pixels.dtype)) / _per_channel(
        "image_std", std, channels, pixels.dtype
    )


def is_rescaled(pixels: np.ndarray) -> bool:
    """True where dividing by 255 once more can't be meant: floats that lie in [0, 1] already."""
    return pixels.dtype != np.uint8 and pixels.size > 0 and pixels.min() >= 0 and pixels.max() <= 1


def _is_unit_float(pixels: np.ndarray) -> bool:
    """True for values in [0, 1] that are not all integral, False for whole numbers in 0..255."""
    if pixels.dtype == np.uint8:
        return False
    low, high = pixels.min(), pixels.max()
    if np.allclose(pixels, pixels.astype(int)):
        if low >= 0 and high <= 255:
            return False
        raise ValueError(f"whole numbers must lie in 0..255 to be resized, got {low} to {high}")
    if low >= 0 and high <= 1:
        return True
    raise ValueError(f"the image to resize contains values outside the range [0, 1], got {low} to {high}")


def _per_channel(name: str, value: float | Iterable[float], channels: int, dtype: np.dtype) -> np.ndarray:
    values = list(value) if isinstance(value, Iterable) else [value] * channels
    if len(values) != channels:
        raise ValueError(f"{name} must have one value for each of {channels} channels, got {len(values)}")
    return np.array(values, dtype=dtype)


def _ndim(image: Any) -> int | None:
    shape = getattr(image, "shape", None)
    return None if shape is None or not hasattr(image, "__array__") else len(shape)


def _describe(image: Any) -> str:
    shape = getattr(image, "shape", None)
    return type(image).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")
