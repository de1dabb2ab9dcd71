"""What a network costs, from its configuration alone: parameters, multiply-adds and activations, nothing built.

Counted as "Designing Network Design Spaces" (arXiv 2003.13678) does: a flop is one multiplication with its addition, an
activation one element of a convolution's output. Linear layers count as the 1x1 convolutions that they are, the classifier
too. Norms, biases, pooling, activation functions and additions count no flops; of these norms and biases have parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from regconv.configuration import AnyConfig, RegNetConfig
from regconv.layer_plan import StagePlan, layer_plan, stem_plan

Size = tuple[int, int]


@dataclass(frozen=True)
class Cost:
    """Parameters, multiply-adds and activations of some layers for one picture."""

    parameters: int = 0
    flops: int = 0
    activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.flops + other.flops, self.activations + other.activations)


@dataclass(frozen=True)
class PartCost(Cost):
    """The cost of "stem", "stage1", … or "head", and the size of the map that it hands out (the head's is 1 x 1)."""

    name: str = ""
    channels: int = 0
    height: int = 1
    width: int = 1


@dataclass(frozen=True)
class Complexity(Cost):
    """The whole network's cost, and that of its parts in running order."""

    parts: tuple[PartCost, ...] = ()


def complexity(config: AnyConfig, height: int = 224, width: int = 224, head: bool = True) -> Complexity:
    """The cost of one picture of this size, in pixels; without `head` that of the bare model.

    The head is ConvNeXt's last norm, which the bare model has too, and the classifier. Raises UnsupportedConfig where
    no network can be built and ValueError for a picture that is too small for its stages.
    """
    parts = tuple(_parts(config, (height, width), head))
    whole = sum((Cost(part.parameters, part.flops, part.activations) for part in parts), Cost())
    return Complexity(whole.parameters, whole.flops, whole.activations, parts)


def _parts(config: AnyConfig, size: Size, has_classifier: bool) -> Iterator[PartCost]:
    is_regnet = isinstance(config, RegNetConfig)
    cost, channels = Cost(), config.num_channels
    for conv in stem_plan(config):
        size = _shrunk(size, conv.kernel, conv.stride, conv.padding, "the stem")
        cost += _conv(conv.width_in, conv.width, size, math.prod(conv.kernel), has_bias=not is_regnet)
        channels = conv.width
    yield _part("stem", channels, size, cost + _norm(config, channels))
    for number, stage in enumerate(layer_plan(config), start=1):
        name = f"stage {number}"
        if isinstance(config, RegNetConfig):
            cost, size = _regnet_stage(config, stage, size, name)
        else:
            cost, size = _convnext_stage(config, stage, size, name)
        channels = stage.width
        yield _part(f"stage{number}", channels, size, cost)
    cost = Cost() if is_regnet else _norm(config, channels)
    labels = config.num_labels if has_classifier else 0
    if labels > 0:
        cost += _conv(channels, labels, (1, 1), has_bias=True)
    yield _part("head", labels or channels, (1, 1), cost)


def _regnet_stage(config: RegNetConfig, stage: StagePlan, size: Size, name: str) -> tuple[Cost, Size]:
    cost = Cost()
    for layer in stage.layers:
        before, size = size, _shrunk(size, (3, 3), (layer.stride, layer.stride), 1, name)
        width, squeezed = layer.width, layer.squeeze_width
        cost += _conv(layer.width_in, width, before) + _norm(config, width)
        cost += _conv(width, width, size, 9, layer.groups) + _norm(config, width)
        cost += _conv(width, width, size) + _norm(config, width)
        if layer.has_shortcut:
            cost += _conv(layer.width_in, width, size) + _norm(config, width)
        if config.layer_type != "x":
            cost += _conv(width, squeezed, (1, 1), has_bias=True) + _conv(squeezed, width, (1, 1), has_bias=True)
    return cost, size


def _convnext_stage(config: AnyConfig, stage: StagePlan, size: Size, name: str) -> tuple[Cost, Size]:
    cost = Cost()
    if stage.has_downsampling:
        size = _shrunk(size, (2, 2), (stage.stride, stage.stride), 0, name)
        cost += _norm(config, stage.width_in) + _conv(stage.width_in, stage.width, size, 4, has_bias=True)
    for layer in stage.layers:
        width, wide = layer.width, 4 * layer.width
        cost += _conv(width, width, size, 49, layer.groups, has_bias=True) + _norm(config, width)
        cost += _conv(width, wide, size, has_bias=True) + _conv(wide, width, size, has_bias=True)
        if layer.response_norm:
            cost += Cost(parameters=2 * wide)
        if layer.layer_scale is not None:
            cost += Cost(parameters=width)
    return cost, size


def _conv(width_in: int, width: int, size: Size, places: int = 1, groups: int = 1, *, has_bias: bool = False) -> Cost:
    """A convolution that hands out a map of this size; `places` is its kernel's height times width."""
    weights = width_in // groups * width * places
    return Cost(weights + width * has_bias, weights * math.prod(size), width * math.prod(size))


def _norm(config: AnyConfig, width: int) -> Cost:
    """Scale and bias of every channel; ConvNeXt's norms without a mean have no bias either."""
    has_bias = isinstance(config, RegNetConfig) or config.norm_type == "layer"
    return Cost(parameters=width * (1 + has_bias))


def _shrunk(size: Size, kernel: Size, stride: Size, padding: int, name: str) -> Size:
    """The size after a convolution. Raises ValueError where nothing is left."""
    height, width = (
        (side + 2 * padding - places) // step + 1 for side, places, step in zip(size, kernel, stride, strict=True)
    )
    if min(*size, height, width) < 1:
        raise ValueError(
            f"the picture is too small: {name} has kernels of {kernel[0]} x {kernel[1]} and gets a map of "
            f"{size[0]} x {size[1]}"
        )
    return height, width


def _part(name: str, channels: int, size: Size, cost: Cost) -> PartCost:
    return PartCost(cost.parameters, cost.flops, cost.activations, name, channels, *size)
