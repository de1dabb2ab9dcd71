"""ConvNextImageProcessor: images in, `pixel_values` out, with every documented option; and its configuration file.

Where the documents and the published software disagree, conformance.md section 1 says what was decided: an unset data_format
keeps the input's layout, a null crop_pct means 0.875. Unknown options are refused, not swallowed.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from regconv import image_arrays as arrays
from regconv.errors import UnsupportedConfig
from regconv.hub_push import Pushable, accepted_push_options, push_saved
from regconv.image_batch import BatchFeature, batch_of
from regconv.image_geometry import DEFAULT_CROP_PCT
from regconv.known_keywords import take_hub_keywords

__all__ = ["AutoImageProcessor", "BatchFeature", "ConvNextFeatureExtractor", "ConvNextImageProcessor"]

_log = logging.getLogger(__name__)

_FILE = "preprocessor_config.json"
_TYPE, _OLD_TYPE = "image_processor_type", "feature_extractor_type"
_OPTIONS = ("do_resize", "size", "crop_pct", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean",
            "image_std")  # fmt: skip
_SIZE_KEYS = (
    {"shortest_edge"}, {"height", "width"}, {"shortest_edge", "longest_edge"}, {"longest_edge"}, {"max_height", "max_width"},
)  # fmt: skip
_MODEL_TYPES = ("regnet", "convnext", "convnextv2")

Size = dict[str, int]


class ConvNextImageProcessor(Pushable):
    """Resize, crop, rescale, normalise. Below 384 px the short side becomes size / crop_pct and the middle is cut out."""

    model_input_names = ("pixel_values",)

    def __init__(
        self,
        do_resize: bool = True,
        size: Size | int | None = None,
        crop_pct: float | None = None,
        resample: int = 2,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | Sequence[float] | None = None,
        image_std: float | Sequence[float] | None = None,
    ) -> None:
        self.do_resize, self.do_rescale, self.do_normalize = do_resize, do_rescale, do_normalize
        self.size = _size_of(384 if size is None else size)
        self.crop_pct = DEFAULT_CROP_PCT if crop_pct is None else crop_pct
        self.resample, self.rescale_factor = resample, rescale_factor
        self.image_mean = [0.5, 0.5, 0.5] if image_mean is None else image_mean
        self.image_std = [0.5, 0.5, 0.5] if image_std is None else image_std

    def __call__(self, images: Any, **options: Any) -> BatchFeature:
        """`preprocess` with its options as keywords."""
        return self.preprocess(images, **options)

    def preprocess(
        self,
        images: Any,
        do_resize: bool | None = None,
        size: Size | int | None = None,
        crop_pct: float | None = None,
        resample: int | None = None,
        do_rescale: bool | None = None,
        rescale_factor: float | None = None,
        do_normalize: bool | None = None,
        image_mean: float | Sequence[float] | None = None,
        image_std: float | Sequence[float] | None = None,
        return_tensors: str | None = None,
        data_format: str | None = arrays.FIRST,
        input_data_format: str | None = None,
    ) -> BatchFeature:
        """`pixel_values` of one image or several; an option that is None takes the processor's own value.

        A list of arrays, or for return_tensors "np", "pt", "tf" or "jax" one (n, c, h, w), (n, h, w, c) with data_format
        "channels_last". data_format None keeps the input's layout, which is inferred unless input_data_format says it.
        Raises ValueError for what is no image or no option's value.
        """
        given = (do_resize, size, crop_pct, resample, do_rescale, rescale_factor, do_normalize, image_mean, image_std)
        options = {
            name: getattr(self, name) if value is None else value for name, value in zip(_OPTIONS, given, strict=True)
        }
        _check_layout("data_format", data_format, arrays.LAYOUTS)
        _check_layout("input_data_format", input_data_format, (*arrays.LAYOUTS, arrays.NONE))
        found = arrays.image_list(images, input_data_format)
        pixels = [arrays.to_array(image) for image in found]
        # The first image decides for the batch.
        layout = input_data_format or arrays.layout_of(found[0], pixels[0])
        channels_last = [arrays.to_channels_last(image, layout) for image in pixels]
        if options["do_rescale"] and arrays.is_rescaled(channels_last[0]):
            _log.warning("The values lie in [0, 1] already and are rescaled once more; do_rescale=False leaves them.")
        done = [arrays.from_channels_last(_steps(image, **options), data_format or layout) for image in channels_last]
        return batch_of(done, return_tensors)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """The processor of a hub name, a folder, or a file; hub options and the processor's own may be given.

        The type that the file names is ignored. Raises ModelNotFound.
        """
        config = _read(pretrained_model_name_or_path, options)
        return cls.from_dict(config, **options)

    @classmethod
    def from_dict(cls, config: dict[str, Any], **options: Any) -> Self:
        """The processor that a configuration describes, with `options` in place of its own. Other keys are kept."""
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise TypeError(f"{cls.__name__} has no option {', '.join(unknown)}; it has {', '.join(_OPTIONS)}")
        known = {name: config[name] for name in _OPTIONS if name in config}
        processor = cls(**(known | options))
        for name in set(config) - set(_OPTIONS) - {_TYPE, _OLD_TYPE}:
            setattr(processor, name, config[name])
        return processor

    def to_dict(self) -> dict[str, Any]:
        """What preprocessor_config.json holds."""
        values = {name: _plain(value) for name, value in vars(self).items()}
        return dict(sorted((values | {_TYPE: "ConvNextImageProcessor"}).items()))

    def to_json_string(self) -> str:
        """The configuration as text, keys sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_json_string` into a file of this path."""
        Path(path).write_text(self.to_json_string(), encoding="utf-8")

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str]) -> Self:
        """The processor that one JSON file describes."""
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *, push_to_hub: bool = False, **push_options: Any
    ) -> list[str]:
        """The path of the file written: preprocessor_config.json in `save_directory`, which is made where it is missing.

        push_to_hub: it goes to the hub as well, as repo_id or else the folder's name; further keywords as in
        `push_to_hub`.
        """
        push_options = accepted_push_options(push_to_hub, push_options)
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        path = Path(save_directory) / _FILE
        path.write_text(self.to_json_string(), encoding="utf-8")
        if push_to_hub:
            push_saved(Path(save_directory), [_FILE], type(self).__name__, push_options)
        return [str(path)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


class ConvNextFeatureExtractor(ConvNextImageProcessor):
    """The old name of ConvNextImageProcessor."""

    def __init__(self, *args: Any, **options: Any) -> None:
        warnings.warn(
            "ConvNextFeatureExtractor is the old name of ConvNextImageProcessor and will go; use the new one.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*args, **options)


class AutoImageProcessor:
    """Picks the processor that a model's files name."""

    def __init__(self) -> None:
        raise TypeError("AutoImageProcessor is used through AutoImageProcessor.from_pretrained(model)")

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> ConvNextImageProcessor:
        """The processor for a hub name or a folder. Raises ModelNotFound, and UnsupportedConfig for another family's."""
        model, hub_options = pretrained_model_name_or_path, dict(options)
        config = _read(model, options)
        name = config.get(_TYPE) or (config.get(_OLD_TYPE) or "").replace("FeatureExtractor", "ImageProcessor")
        if not name:
            name = _name_for(_read_json(model, "config.json", hub_options).get("model_type"), model)
        # Today's transformers writes the same processor's backends as names of their own.
        if name.removesuffix("Fast").removesuffix("Pil") not in ("ConvNextImageProcessor", "ConvNextFeatureExtractor"):
            raise UnsupportedConfig(
                f"{model}: {_FILE} names {name}, expected ConvNextImageProcessor. "
                "ConvNextImageProcessor.from_pretrained reads the file by its own geometry."
            )
        return ConvNextImageProcessor.from_dict(config, **options)


def _steps(image: np.ndarray, **options: Any) -> np.ndarray:
    """One image (h, w, c) through the steps that are switched on."""
    if options["do_resize"]:
        edge = _size_of(options["size"]).get("shortest_edge")
        if edge is None:
            raise ValueError(f"size must have shortest_edge to resize by, got {options['size']}")
        image = arrays.resize(image, edge, options["crop_pct"], _resample_of(options["resample"]))
    if options["do_rescale"]:
        image = arrays.rescale(image, options["rescale_factor"])
    if options["do_normalize"]:
        image = arrays.normalize(image, options["image_mean"], options["image_std"])
    return image


def _size_of(size: Size | int) -> Size:
    """`size` as a dict; a whole number is the shortest edge."""
    if isinstance(size, dict):
        if set(size) not in _SIZE_KEYS:
            choices = " or ".join("+".join(sorted(keys)) for keys in _SIZE_KEYS)
            raise ValueError(f"size must have the keys {choices}, got {', '.join(map(str, size))}")
        return dict(size)
    if not isinstance(size, int):
        raise ValueError(f"size must be a whole number or a dict, got {size!r}")
    return {"shortest_edge": size}


def _resample_of(resample: int) -> int:
    if not isinstance(resample, int) or not 0 <= resample <= 5:
        raise ValueError(f"resample must be Pillow's number of a filter, 0 to 5, got {resample!r}")
    return int(resample)


def _check_layout(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(allowed)} or None, got {value!r}")


def _plain(value: Any) -> Any:
    """A value that JSON knows: tuples and arrays as lists, Pillow's enums as their numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bool) or not isinstance(value, int | tuple):
        return value
    return list(value) if isinstance(value, tuple) else int(value)


def _name_for(model_type: str | None, model: str | os.PathLike[str]) -> str:
    if model_type in _MODEL_TYPES:
        return "ConvNextImageProcessor"
    raise UnsupportedConfig(
        f"{model}: {_FILE} names no processor and config.json has model_type {model_type!r}, "
        f"expected {', '.join(_MODEL_TYPES)}"
    )


def _read(model: str | os.PathLike[str], options: dict[str, Any]) -> dict[str, Any]:
    if Path(model).is_file():
        take_hub_keywords(options)
        return json.loads(Path(model).read_text(encoding="utf-8"))
    return _read_json(model, _FILE, options)


def _read_json(model: str | os.PathLike[str], name: str, options: dict[str, Any]) -> dict[str, Any]:
    """A model's file; the hub's options are taken out of `options`."""
    from regconv.hub import HubOptions, fetch_file  # only here: the processor itself needs no hub

    return json.loads(fetch_file(model, name, HubOptions.take(options)).read_text(encoding="utf-8"))
