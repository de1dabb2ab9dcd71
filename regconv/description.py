"""What a model is, read from its files without any framework: parts, stages, labels, preprocessing, identity."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regconv import hub
from regconv.checkpoint import PREPROCESSOR_NAME, Weights, find_weights, read_json, weights_digest
from regconv.checkpoint_reading import tensor_names
from regconv.configuration import AnyConfig, RegNetConfig, read_config
from regconv.errors import CheckpointError, UnsupportedConfig
from regconv.images import Recipe
from regconv.layer_plan import layer_plan, stem_stride

# Fields of a configuration that say how training starts or what a file is for, and never change a vector.
_WITHOUT_EFFECT = {
    "initializer_range", "drop_path_rate", "layer_scale_init_value", "image_size", "out_features", "out_indices",
}  # fmt: skip


@dataclass(frozen=True)
class StageInfo:
    """A map that the network hands out: "stem", "stage1", …; stride in pixels of the prepared picture."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class ModelDescription:
    """Everything about a model that can be known before it runs.

    parts: (name, width) of every vector that is kept of a picture; pooled: the part that a plain search uses.
    labels: empty when the checkpoint has no head. preprocessing: JSON-able and complete. space: hex sha256; vectors
    of two spaces must never be compared. note: a sentence for the page, or None.
    """

    name: str
    folder: Path
    config: AnyConfig
    recipe: Recipe
    parts: tuple[tuple[str, int], ...]
    pooled: str
    stages: tuple[StageInfo, ...]
    labels: dict[int, str]
    preprocessing: dict[str, Any]
    weights_digest: str
    space: str
    note: str | None


def describe(model: str, *, digest_cache: Path | None = None) -> ModelDescription:
    """The description of a hub model, a folder or "starter".

    A hub model that is already in the cache is taken from there without asking the hub. digest_cache: a JSON file in
    which the hash of large weight files is remembered. Raises ModelNotFound, CheckpointError, UnsupportedConfig.
    """
    folder = _folder(str(model))
    config = read_config(folder)
    if config.num_channels != 3:
        raise UnsupportedConfig(f"{folder}: num_channels is {config.num_channels}; pictures have 3")
    weights = find_weights(folder)
    recipe, preprocessing = _preprocessing(folder)
    stages = _stages(config)
    parts = tuple((stage.name, stage.channels) for stage in stages[1:])
    if not isinstance(config, RegNetConfig):
        # Its pooled vector goes through one more norm, so it is not the mean of the last map.
        parts += (("pooled", parts[-1][1]),)
    digest = weights_digest(weights, digest_cache)
    return ModelDescription(
        name=str(model),
        folder=folder,
        config=config,
        recipe=recipe,
        parts=parts,
        pooled=parts[-1][0],
        stages=stages,
        labels=dict(config.id2label) if _has_head(config, weights) else {},
        preprocessing=preprocessing,
        weights_digest=digest,
        space=_space(digest, preprocessing, config),
        note=getattr(config, "regconv_note", None),
    )


def _folder(model: str) -> Path:
    if model == hub.STARTER:
        return hub.SHIPPED_STARTER
    return hub.fetch_checkpoint(model, hub.HubOptions(prefer_cached=True), with_preprocessor=True)


def _has_head(config: AnyConfig, weights: Weights) -> bool:
    names = tensor_names(weights)
    if names is not None:
        return any(name.startswith("classifier.") for name in names)
    # A pickled file does not tell its names without being opened: config.json says which class wrote it.
    return any(name.endswith("ForImageClassification") for name in config.architectures or ())


def _stages(config: AnyConfig) -> tuple[StageInfo, ...]:
    plan = layer_plan(config)
    stride = stem_stride(config)
    stages = [StageInfo("stem", plan[0].width_in, stride)]
    for number, stage in enumerate(plan, start=1):
        stride *= stage.stride
        stages.append(StageInfo(f"stage{number}", stage.width, stride))
    return tuple(stages)


def _preprocessing(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    from regconv.image_processing import ConvNextImageProcessor

    path = hub.fetch_file(folder, PREPROCESSOR_NAME, hub.HubOptions())  # its error says how to write the file
    read_json(path)  # and this one's that it is damaged
    processor = ConvNextImageProcessor.from_pretrained(folder)
    if not processor.do_resize:
        raise UnsupportedConfig(f"{path}: do_resize is false, but pictures of many sizes must become one batch")
    size = processor.size if isinstance(processor.size, int) else processor.size.get("shortest_edge")
    if not isinstance(size, int) or size < 1:
        raise UnsupportedConfig(f"{path}: size is {processor.size}, expected {{'shortest_edge': pixels}}")
    if not isinstance(processor.resample, int) or not 0 <= processor.resample <= 5:
        raise UnsupportedConfig(f"{path}: resample is {processor.resample}, expected Pillow's number, 0 to 5")
    crop_pct = 0.875 if processor.crop_pct is None else processor.crop_pct
    if not 0 < crop_pct <= 1 and size < 384:
        raise UnsupportedConfig(f"{path}: crop_pct is {crop_pct}, expected more than 0 and at most 1")
    recipe = Recipe(size=size, crop_pct=float(crop_pct), resample=int(processor.resample))
    std = _per_channel(path, "image_std", processor.image_std) if processor.do_normalize else [1.0] * 3
    if not all(std):
        raise UnsupportedConfig(f"{path}: image_std is {std}, and nothing can be divided by 0")
    return recipe, {
        "size": size,
        "crop_pct": float(crop_pct),
        "resample": int(processor.resample),
        "rescale_factor": float(processor.rescale_factor) if processor.do_rescale else 1.0,
        "image_mean": _per_channel(path, "image_mean", processor.image_mean) if processor.do_normalize else [0.0] * 3,
        "image_std": std,
        "exif": "upright",
        "decode": recipe.as_dict(),
    }


def _per_channel(path: Path, name: str, value: Any) -> list[float]:
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(part) for part in value or ()]
    if len(values) == 1:
        values *= 3
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise CheckpointError(f"{path}: {name} is {value}, expected one number or three")
    return values


def _space(digest: str, preprocessing: dict[str, Any], config: AnyConfig) -> str:
    saved = config.to_dict()
    fields = {name: getattr(config, name) for name in config.fields if name not in _WITHOUT_EFFECT}
    fields |= {name: saved[name] for name in ("stem_type", "norm_type") if name in saved}
    identity = {"weights": digest, "preprocessing": preprocessing, "model": {"type": config.model_type, **fields}}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
