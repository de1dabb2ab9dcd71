"""The configurations of RegNet and ConvNeXt: the fields of the hub's config.json, checked.

A network is never described twice: `regconv.layer_plan` derives its layers from these objects, and each framework
translates that plan. Nothing here imports a framework.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from regconv import hub
from regconv.checkpoint import CONFIG_NAME, read_json
from regconv.configuration_base import PROBLEM_TYPES, Config
from regconv.design_space import Design
from regconv.errors import UnsupportedConfig
from regconv.known_keywords import take_network_keywords
from regconv.stage_choice import StageChoice

__all__ = [
    "CONFIGS", "PROBLEM_TYPES", "AnyConfig", "AutoConfig", "Config", "ConvNextConfig", "ConvNextV2Config", "RegNetConfig",
    "read_config",
]  # fmt: skip


class RegNetConfig(StageChoice, Config):
    """A RegNet: layer_type "x" or "y" (with squeeze and excitation), one width, depth and shared group width per stage.

    downsample_in_first_stage is honoured from JSON and keyword; without it the total stride is 16 in place of 32.
    out_features and out_indices choose a backbone's maps (see StageChoice); the file holds them only where they are
    not the last stage, since no other software knows them for RegNet.
    """

    model_type = "regnet"
    family = "RegNet"
    layer_types = ("x", "y")
    fields = (
        "num_channels", "embedding_size", "hidden_sizes", "depths", "groups_width", "layer_type", "hidden_act",
        "downsample_in_first_stage",
    )  # fmt: skip

    def __init__(
        self,
        num_channels: int = 3,
        embedding_size: int = 32,
        hidden_sizes: list[int] | tuple[int, ...] = (128, 192, 512, 1088),
        depths: list[int] | tuple[int, ...] = (2, 6, 12, 2),
        groups_width: int = 64,
        layer_type: str = "y",
        hidden_act: str | Callable[..., Any] = "relu",
        downsample_in_first_stage: bool = True,
        out_features: list[str] | None = None,
        out_indices: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("stage_names", None)  # derived
        super().__init__(**kwargs)
        if layer_type not in self.layer_types:
            raise UnsupportedConfig(f"layer_type={layer_type} is not one of {','.join(self.layer_types)}")
        self.num_channels = num_channels
        self.embedding_size = embedding_size
        self.hidden_sizes = list(hidden_sizes)
        self.depths = list(depths)
        self.groups_width = groups_width
        self.layer_type = layer_type
        self.hidden_act = hidden_act
        self.downsample_in_first_stage = downsample_in_first_stage
        self.stage_names = stage_names(min(len(self.hidden_sizes), len(self.depths)))
        self.choose_stages(out_features, out_indices)

    @classmethod
    def from_design_space(
        cls, depth: int, w_0: int, w_a: float, w_m: float, group_width: int, se: bool = True, **kwargs: Any
    ) -> Self:
        """The configuration of one point of the design space (see regconv.design_space); further keywords are fields.

        se: whether the layers squeeze and excite (RegNetY) or not (RegNetX). Raises UnsupportedConfig for numbers that
        make no network, and for what this configuration can't say: another bottleneck or squeeze ratio than 1 and 1/4.
        """
        for name, only in (("bottleneck_ratio", 1), ("se_ratio", 0.25)):
            if kwargs.pop(name, only) != only:
                raise UnsupportedConfig(f"{name} must be {only}: RegNetConfig has no field for another")
        design = Design(depth, w_0, w_a, w_m, group_width)
        fields: dict[str, Any] = {"groups_width": design.group_width, "layer_type": "y" if se else "x"}
        fields["hidden_sizes"], fields["depths"] = design.stages()
        if twice := fields.keys() & kwargs.keys():
            raise UnsupportedConfig(f"{', '.join(sorted(twice))}: the design decides that, it can't be given as well")
        return cls(**fields, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        del values["stage_names"]
        if self.out_features != self.stage_names[-1:]:
            values |= {"out_features": self.out_features, "out_indices": self.out_indices}
        return values


class _ConvNextFields(StageChoice, Config):
    """What both generations of ConvNeXt have; see ConvNextConfig."""

    has_response_norm: ClassVar[bool]
    stem_type: str
    norm_type: str
    # Ours beyond the documents, for timm's small networks; the file holds them only where they are not these.
    _extensions: ClassVar[dict[str, tuple[str, ...]]] = {
        "stem_type": ("patch", "overlap", "overlap_tiered", "overlap_act"),
        "norm_type": ("layer", "rms", "simple"),
    }

    def __init__(
        self,
        num_channels: int = 3,
        patch_size: int | tuple[int, int] | list[int] = 4,
        num_stages: int = 4,
        hidden_sizes: list[int] | tuple[int, ...] | None = None,
        depths: list[int] | tuple[int, ...] | None = None,
        hidden_act: str | Callable[..., Any] = "gelu",
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        drop_path_rate: float = 0.0,
        image_size: int = 224,
        out_features: list[str] | None = None,
        out_indices: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("stage_names", None)  # derived from depths
        for name, choices in self._extensions.items():
            value = kwargs.pop(name, choices[0])
            if value not in choices:
                raise UnsupportedConfig(f"{name} got {value!r}, expected one of {', '.join(choices)}")
            setattr(self, name, value)
        super().__init__(**kwargs)
        self.num_channels = num_channels
        self.patch_size = patch_size
        self.num_stages = num_stages
        self.hidden_sizes = list((96, 192, 384, 768) if hidden_sizes is None else hidden_sizes)
        self.depths = list((3, 3, 9, 3) if depths is None else depths)
        self.hidden_act = hidden_act
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.drop_path_rate = drop_path_rate
        self.image_size = image_size
        self.stage_names = stage_names(len(self.depths))
        self.choose_stages(out_features, out_indices)

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict() | {"out_features": self.out_features, "out_indices": self.out_indices}
        return {
            name: value
            for name, value in values.items()
            if name not in self._extensions or value != self._extensions[name][0]
        }


class ConvNextConfig(_ConvNextFields):
    """A ConvNeXt: patches, then stages of depthwise 7x7 layers.

    layer_norm_eps belongs to the last norm alone, every other one has 1e-6. initializer_range is the standard
    deviation of a plain normal distribution. image_size is kept for the file's sake: any size of at least 32 works.
    out_features and out_indices choose a backbone's maps (see StageChoice).

    stem_type and norm_type are for timm's small networks, which no other software reads from config.json. stem_type
    "overlap": two 3x3 convolutions of stride 2 in place of the patches, in "overlap_tiered" the first of half the
    width, in "overlap_act" with the activation between them. norm_type "rms": no mean is taken away and no bias added;
    "simple": the same, but divided by the deviation around the mean.
    """

    model_type = "convnext"
    family = "ConvNext"
    has_response_norm = False
    fields = (
        "num_channels", "patch_size", "num_stages", "hidden_sizes", "depths", "hidden_act", "initializer_range",
        "layer_norm_eps", "layer_scale_init_value", "drop_path_rate", "image_size", "out_features", "out_indices",
    )  # fmt: skip

    def __init__(
        self,
        num_channels: int = 3,
        patch_size: int | tuple[int, int] | list[int] = 4,
        num_stages: int = 4,
        hidden_sizes: list[int] | tuple[int, ...] | None = None,
        depths: list[int] | tuple[int, ...] | None = None,
        hidden_act: str | Callable[..., Any] = "gelu",
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        layer_scale_init_value: float = 1e-6,
        drop_path_rate: float = 0.0,
        image_size: int = 224,
        out_features: list[str] | None = None,
        out_indices: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.layer_scale_init_value = layer_scale_init_value
        super().__init__(
            num_channels, patch_size, num_stages, hidden_sizes, depths, hidden_act, initializer_range, layer_norm_eps,
            drop_path_rate, image_size, out_features, out_indices, **kwargs,
        )  # fmt: skip


class ConvNextV2Config(_ConvNextFields):
    """A ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808): global response normalisation in place of the layer scale.

    Its fields are ConvNextConfig's without layer_scale_init_value.
    """

    model_type = "convnextv2"
    family = "ConvNextV2"
    has_response_norm = True
    fields = tuple(name for name in ConvNextConfig.fields if name != "layer_scale_init_value")


def stage_names(count: int) -> list[str]:
    """ "stem" and "stage1" to "stage<count>"."""
    return ["stem", *(f"stage{index}" for index in range(1, count + 1))]


AnyConfig = RegNetConfig | ConvNextConfig | ConvNextV2Config
CONFIGS: dict[str, type[RegNetConfig] | type[ConvNextConfig] | type[ConvNextV2Config]] = {
    kind.model_type: kind for kind in (RegNetConfig, ConvNextConfig, ConvNextV2Config)
}


def read_config(folder: Path) -> AnyConfig:
    """The configuration of a checkpoint folder, in the class that its model_type names.

    Raises CheckpointError (no or damaged config.json) and UnsupportedConfig (a model type that is not here).
    """
    return AutoConfig.from_pretrained(folder)


class AutoConfig:
    """Picks the configuration class that a model's model_type names."""

    def __init__(self) -> None:
        raise TypeError("AutoConfig is used through AutoConfig.from_pretrained(model)")

    @staticmethod
    def for_model(model_type: str, **kwargs: Any) -> AnyConfig:
        """A new configuration of this model type. Raises UnsupportedConfig for one that is not here."""
        return _class_of(model_type, "AutoConfig.for_model")(**kwargs)

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """The configuration in a folder or of a hub model; keywords as in `RegNetConfig.from_pretrained`.

        Raises ModelNotFound, CheckpointError (damaged) and UnsupportedConfig (a model type that is not here).
        """
        options = hub.HubOptions.take(kwargs)
        if not kwargs.get("return_unused_kwargs"):
            take_network_keywords(kwargs)
        path = hub.fetch_file(pretrained_model_name_or_path, CONFIG_NAME, options)
        values = read_json(path)
        return _class_of(values.get("model_type"), str(path)).from_dict(values, **kwargs)


def _class_of(model_type: Any, where: str) -> type[RegNetConfig] | type[ConvNextConfig] | type[ConvNextV2Config]:
    if model_type not in CONFIGS:
        raise UnsupportedConfig(f"{where}: model_type is {model_type!r}, this library has {', '.join(CONFIGS)}")
    return CONFIGS[model_type]
