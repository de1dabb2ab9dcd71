"""The layers that a configuration means: per stage its widths, strides and groups, for every framework alike.

RegNet follows "Designing Network Design Spaces" (Radosavovic et al. 2020, arXiv 2003.13678), ConvNeXt "A ConvNet for
the 2020s" (Liu et al. 2022, arXiv 2201.03545), both in the shape that the hub's checkpoints have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from regconv.configuration import AnyConfig, ConvNextConfig, ConvNextV2Config, RegNetConfig
from regconv.errors import UnsupportedConfig


@dataclass(frozen=True)
class LayerPlan:
    """One residual layer. drop_path is the chance, 0 to 1, that training leaves its branch out for a picture.

    In ConvNeXt layer_scale is the start value of a factor per channel, None where there is none, and response_norm
    whether the second generation's global response normalisation follows the activation.
    """

    width_in: int
    width: int
    stride: int
    groups: int
    drop_path: float = 0.0
    layer_scale: float | None = None
    response_norm: bool = False

    @property
    def has_shortcut(self) -> bool:
        """Whether width or size change, so that the input must be projected before it is added."""
        return self.width_in != self.width or self.stride != 1

    @property
    def squeeze_width(self) -> int:
        """Channels of the squeeze in RegNetY: a quarter of the layer's input, halves rounded to even."""
        return round(self.width_in / 4)


@dataclass(frozen=True)
class StemConv:
    """One convolution of the stem: kernel and stride as (height, width), padding on every side."""

    width_in: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: int
    has_activation: bool = False


@dataclass(frozen=True)
class StagePlan:
    """One stage. Where ConvNeXt shrinks the map before the layers, width_in and stride say how."""

    width_in: int
    width: int
    stride: int
    layers: tuple[LayerPlan, ...]

    @property
    def has_downsampling(self) -> bool:
        """Whether width or size change: in ConvNeXt a norm and a convolution of their own come before the layers."""
        return self.width_in != self.width or self.stride != 1


def layer_plan(config: AnyConfig) -> tuple[StagePlan, ...]:
    """The stages of the network, in running order. Raises UnsupportedConfig where no network can be built."""
    if isinstance(config, RegNetConfig):
        return _regnet_plan(config)
    return _convnext_plan(config)


def _regnet_plan(config: RegNetConfig) -> tuple[StagePlan, ...]:
    widths = [config.embedding_size, *config.hidden_sizes]
    stages = []
    # zip: a longer list of the two is cut, as the checkpoints' own software does.
    for index, (width, depth) in enumerate(zip(config.hidden_sizes, config.depths, strict=False)):
        groups = max(1, width // config.groups_width)
        if width % groups:
            raise UnsupportedConfig(
                f"groups_width {config.groups_width} makes {groups} groups of width {width} in stage {index + 1}, "
                "which does not divide evenly: choose widths that are multiples of groups_width"
            )
        stride = 2 if index > 0 or config.downsample_in_first_stage else 1
        first = LayerPlan(widths[index], width, stride, groups)
        if config.layer_type != "x" and first.squeeze_width == 0:
            raise UnsupportedConfig(
                f"layer_type y squeezes the {first.width_in} channels before stage {index + 1} to a quarter, which "
                "leaves none: give at least 3"
            )
        rest = (LayerPlan(width, width, 1, groups),) * (depth - 1)  # a depth of 0 still has the first
        stages.append(StagePlan(widths[index], width, stride, (first, *rest)))
    if not stages:
        raise UnsupportedConfig("hidden_sizes and depths give no stage: each needs at least one number")
    return tuple(stages)


def _convnext_plan(config: ConvNextConfig | ConvNextV2Config) -> tuple[StagePlan, ...]:
    count = config.num_stages
    if count < 1 or len(config.hidden_sizes) != count or len(config.depths) < count:
        raise UnsupportedConfig(
            f"num_stages is {count}, hidden_sizes has {len(config.hidden_sizes)} and depths {len(config.depths)} "
            "entries: hidden_sizes needs exactly num_stages, depths at least as many"
        )
    # The schedule runs over all of depths, also over entries beyond num_stages.
    rates = _drop_path_rates(config.drop_path_rate, sum(config.depths))
    scale = None
    if isinstance(config, ConvNextConfig) and config.layer_scale_init_value > 0:
        scale = float(config.layer_scale_init_value)
    stages, done = [], 0
    for index, (width, depth) in enumerate(zip(config.hidden_sizes, config.depths[:count], strict=True)):
        width_in = config.hidden_sizes[max(0, index - 1)]
        layers = tuple(
            LayerPlan(width, width, 1, width, rate, scale, config.has_response_norm)
            for rate in rates[done : done + depth]
        )
        stages.append(StagePlan(width_in, width, 1 if index == 0 else 2, layers))
        done += depth
    return tuple(stages)


def _drop_path_rates(highest: float, count: int) -> list[float]:
    """From 0 to the highest in even steps, rounded exactly as torch.linspace rounds them in float32.

    Training in float64 would show the difference: the documents' networks have their rates from there.
    """
    if count < 2:
        return [0.0] * count
    end = np.float32(highest)
    step = float(end / np.float32(count - 1))
    # The second half is counted back from the end; each is rounded once, after multiplication and sum.
    exact = [step * i if i < count // 2 else float(end) - step * (count - 1 - i) for i in range(count)]
    return [float(np.float32(rate)) for rate in exact]


def stem_plan(config: AnyConfig) -> tuple[StemConv, ...]:
    """The convolutions of the stem in running order; its norm comes after the last one."""
    if isinstance(config, RegNetConfig):
        return (StemConv(config.num_channels, config.embedding_size, (3, 3), (2, 2), 1, has_activation=True),)
    width = config.hidden_sizes[0]
    if config.stem_type == "patch":
        patch = config.patch_size
        sides = (patch, patch) if isinstance(patch, int) else (patch[0], patch[1])
        return (StemConv(config.num_channels, width, sides, sides, 0),)
    between = _tiered_width(width) if config.stem_type == "overlap_tiered" else width
    has_activation = config.stem_type == "overlap_act"
    first = StemConv(config.num_channels, between, (3, 3), (2, 2), 1, has_activation)
    return first, StemConv(between, width, (3, 3), (2, 2), 1)


def _tiered_width(width: int) -> int:
    """Half the width as a multiple of 8, at least 8 and never below nine tenths of the half (timm's rule)."""
    half = width // 2
    rounded = max(8, (half + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * half else rounded


def stem_stride(config: AnyConfig) -> int:
    """How many pixels of the picture, in height, one place of the stem's map stands for."""
    return math.prod(conv.stride[0] for conv in stem_plan(config))
