"""From a file or hub name of other software to a network and its image processor."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regconv import hub
from regconv.checkpoint import CONFIG_NAME, SAFETENSORS_NAME, Weights, find_weights, read_json
from regconv.checkpoint_reading import read_tensors
from regconv.configuration import CONFIGS, AnyConfig
from regconv.conversion.facebook import convert_facebook, convert_seer
from regconv.conversion.timm_names import architecture_of, convert_timm
from regconv.conversion.torchvision_names import check_architecture, convert_torchvision, preparation
from regconv.errors import CheckpointError, ModelNotFound, UnsupportedConfig
from regconv.image_processing import ConvNextImageProcessor
from regconv.name_check import check_match, match_names

if TYPE_CHECKING:
    from torch import Tensor

_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}  # Pillow's numbers
_SQUEEZED_FROM = 384  # from this size on ConvNextImageProcessor cuts nothing off and ignores the sides' ratio
_SOURCES = "timm/<name>, torchvision/<name> or torchvision/<name>.<weights>, facebook/convnext, vissl/seer"


def load_converted(
    model: str | os.PathLike[str], architecture: str | None = None, **hub_options: Any
) -> tuple[Any, ConvNextImageProcessor]:
    """(network in evaluation mode on the CPU in float32, its image processor) from a checkpoint of other software.

    model: a hub name or folder with timm's config.json and weights, or one file of weights, for which architecture says
    what it is: timm/<name>, torchvision/<name> (its first weights) or torchvision/<name>.<weights>, facebook/convnext,
    vissl/seer. The network has a head where the checkpoint has one; its save_pretrained(folder, processor=…) makes a
    checkpoint of the hub's kind. Where the processor can't cut pictures quite as they were for training, the
    configuration's regconv_note says so. hub_options: huggingface_hub's (revision, cache_dir, token, …).
    Raises ModelNotFound, CheckpointError, UnsupportedConfig, WeightsMismatch.
    """
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"load_converted got {model!r} as model, expected a hub name, a folder of timm's, or a file of weights with "
            f"its architecture: load_converted(model) or load_converted(file, {_SOURCES})"
        )
    options = hub.HubOptions.take(hub_options)
    if hub_options:
        raise TypeError(f"load_converted takes no {', '.join(sorted(hub_options))}")
    path = Path(model).expanduser()
    if architecture is None:
        if not path.exists():
            _check_name(os.fspath(model))
        return _timm_model(model, options)
    if not path.is_file():
        raise ModelNotFound(f"{path} is no file: with an architecture, model is the one file that holds the weights")
    tensors = _read(path)
    source, _, name = architecture.partition("/")
    preparing: dict[str, Any] = {"size": 224, "crop_pct": 0.875, "resample": 3}
    if source == "timm":
        config, named = convert_timm(name, tensors)
    elif source == "torchvision":
        name, _, weights = name.partition(".")
        config, named = convert_torchvision(name, tensors)
        preparing = preparation(name, weights or _first_weights(name))
        _set_note(config, _note(source, preparing["size"], preparing["crop_pct"], "center"))
    elif architecture == "facebook/convnext":
        config, named = convert_facebook(tensors)
    elif architecture == "vissl/seer":
        config, named = convert_seer(tensors)
    else:
        raise UnsupportedConfig(f"architecture got {architecture!r}, expected {_SOURCES}")
    return _network(config, named, str(path)), _processor(preparing)


def _check_name(model: str) -> None:
    """Raises for the name of an architecture in place of a model: only timm's weights are on the hub by their names."""
    source, _, name = model.partition("/")
    if source == "torchvision":
        check_architecture(name.partition(".")[0])
    elif model not in ("facebook/convnext", "vissl/seer"):
        return
    raise ModelNotFound(
        f"{model} is an architecture, whose weights are not fetched by name: download their file, "
        f"then load_converted(file, {model!r})"
    )


def _timm_model(model: str | os.PathLike[str], options: hub.HubOptions) -> tuple[Any, ConvNextImageProcessor]:
    path = Path(model).expanduser()
    if path.is_file():
        path = path.parent
        model = path
        if not (path / CONFIG_NAME).is_file():
            raise UnsupportedConfig(f"{path} has no config.json of timm's: say which architecture it is, as {_SOURCES}")
    folder = hub.fetch_checkpoint(model, options)
    values = read_json(folder / CONFIG_NAME)
    if "architecture" not in values and (known := CONFIGS.get(str(values.get("model_type")))):
        raise UnsupportedConfig(
            f"{folder} needs no conversion: its config.json is of model_type {known.model_type!r}, which "
            f"{known.family}Model.from_pretrained and {known.family}ForImageClassification.from_pretrained read as it is"
        )
    architecture_of(values)
    weights = find_weights(folder)
    config, named = convert_timm(values, dict(read_tensors(weights)))
    _take_labels(config, values)
    processor, note = _timm_processor(values)
    _set_note(config, note)
    return _network(config, named, str(weights.paths[0])), processor


def _set_note(config: Any, note: str | None) -> None:
    if note is not None:
        config.regconv_note = note


def _take_labels(config: AnyConfig, values: Mapping[str, Any]) -> None:
    names, texts = values.get("label_names"), values.get("label_descriptions") or {}
    if isinstance(names, list) and len(names) == config.num_labels:
        config.id2label = {index: str(texts.get(name, name)) for index, name in enumerate(names)}
        config.label2id = {label: index for index, label in config.id2label.items()}


def _timm_processor(values: Mapping[str, Any]) -> tuple[ConvNextImageProcessor, str | None]:
    """The processor of timm's config.json, and a sentence where it does not do quite the same."""
    given = values.get("pretrained_cfg") or values  # older files have it all on one level
    size = (given.get("input_size") or (3, 224, 224))[-2:]
    if size[0] != size[1]:
        raise UnsupportedConfig(f"timm's config.json has input_size {list(size)}: pictures here become squares")
    interpolation = given.get("interpolation", "bicubic")
    if interpolation not in _FILTERS:
        raise UnsupportedConfig(
            f"timm's config.json has interpolation {interpolation!r}, expected one of {list(_FILTERS)}"
        )
    crop_pct, crop_mode = given.get("crop_pct") or 0.875, given.get("crop_mode") or "center"
    side = int(size[0])
    note = _note("timm", side, crop_pct, crop_mode)
    processor = _processor(
        {"size": side, "crop_pct": crop_pct, "resample": _FILTERS[interpolation]}
        | {f"image_{name}": list(given[name]) for name in ("mean", "std") if given.get(name)}
    )
    return processor, note


def _note(source: str, side: int, crop_pct: float, crop_mode: str) -> str | None:
    """A sentence where ConvNextImageProcessor does something else than the source to pictures that aren't square."""
    is_squeezed = crop_mode == "squash" and int(side / crop_pct) == side
    if is_squeezed == (side >= _SQUEEZED_FROM) and crop_mode in ("center", "squash"):
        return None
    here = "squeezed into the square" if side >= _SQUEEZED_FROM else "cut to their middle"
    return f"{source} prepares pictures for this model with crop_mode {crop_mode}, crop_pct {crop_pct}; here they are {here}"


def _processor(options: dict[str, Any]) -> ConvNextImageProcessor:
    return ConvNextImageProcessor(**({"image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD} | options))


def _first_weights(name: str) -> str:
    return "IMAGENET1K_SWAG_E2E_V1" if name == "regnet_y_128gf" else "IMAGENET1K_V1"


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == Path(SAFETENSORS_NAME).suffix:
        return dict(read_tensors(Weights((path,))))
    import torch

    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise CheckpointError(f"{path} is damaged, or holds something other than tensors; it is not opened") from error
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{path} holds a {type(values).__name__}, expected a mapping of names to tensors")
    return dict(values)


def _network(config: AnyConfig, named: dict[str, Tensor], where: str) -> Any:
    import torch

    from regconv import torch as networks

    has_head = any(name.startswith("classifier.") for name in named)
    kind = getattr(networks, config.family + ("ForImageClassification" if has_head else "Model"))
    with torch.device("meta"):
        network = kind(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in named.items()}
    match = match_names(expected, found, kind.base_model_prefix + ".", kind.head_prefix)
    check_match(match, expected, kind.head_prefix, where, ignore_mismatched=False)
    network.to_empty(device="cpu")
    for module in {name.rpartition(".")[0]: None for name in match.missing}:
        network.reset_module(network.get_submodule(module))
    own = network.state_dict()
    for name, source in match.source.items():
        own[name].copy_(named[source])
    return network.eval()
