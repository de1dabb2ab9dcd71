"""A configuration read off the names and shapes of a network's tensors: depths, widths, groups and the head's labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from regconv.configuration import ConvNextConfig, ConvNextV2Config, RegNetConfig
from regconv.errors import UnsupportedConfig, WeightsMismatch

Shapes = Mapping[str, tuple[int, ...]]
_LAYER = re.compile(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.")


def shapes_of(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def regnet_config(shapes: Shapes, **fields: Any) -> RegNetConfig:
    """The RegNet whose tensors have these hub names (without "regnet.") and shapes; `fields` are set as they are.

    Raises UnsupportedConfig where the group widths fit no configuration, WeightsMismatch where tensors are missing.
    """
    depths = _depths(shapes)
    embedding_size, num_channels = _shape(shapes, "embedder.embedder.convolution.weight")[:2]
    grouped = [
        _shape(shapes, f"encoder.stages.{stage}.layers.0.layer.1.convolution.weight") for stage in range(len(depths))
    ]
    widths, group_widths = [shape[0] for shape in grouped], [shape[1] for shape in grouped]
    groups_width = max(group_widths)  # a narrower stage is one group of its own width
    for width, own in zip(widths, group_widths, strict=True):
        if max(1, width // groups_width) != width // own:
            raise UnsupportedConfig(
                f"stages of widths {widths} have groups of {group_widths}: no one groups_width fits"
            )
    return RegNetConfig(
        num_channels=num_channels,
        embedding_size=embedding_size,
        hidden_sizes=widths,
        depths=depths,
        groups_width=groups_width,
        layer_type="y" if any(".attention." in name for name in shapes) else "x",
        **(_labels(shapes, "classifier.1.weight") | fields),
    )


def convnext_config(shapes: Shapes, **fields: Any) -> ConvNextConfig | ConvNextV2Config:
    """The same for ConvNeXt and ConvNeXt V2, told apart by the response norm; the eps of other software is 1e-6."""
    depths = _depths(shapes)
    widths = [_shape(shapes, f"encoder.stages.{stage}.layers.0.dwconv.weight")[0] for stage in range(len(depths))]
    layer_scale: dict[str, Any] = {}
    kind: type[ConvNextConfig] | type[ConvNextV2Config] = ConvNextV2Config
    if not any(".grn." in name for name in shapes):
        kind = ConvNextConfig
        if not any(name.endswith("layer_scale_parameter") for name in shapes):
            layer_scale["layer_scale_init_value"] = 0.0
    patches = shapes.get("embeddings.patch_embeddings.weight")
    first = patches or _shape(shapes, "embeddings.patch_embeddings.0.weight")
    if patches:
        fields["patch_size"] = first[2] if first[2] == first[3] else first[2:]
    return kind(
        num_channels=first[1],
        num_stages=len(depths),
        hidden_sizes=widths,
        depths=depths,
        **({"layer_norm_eps": 1e-6} | layer_scale | _labels(shapes, "classifier.weight") | fields),
    )


def _depths(shapes: Shapes) -> list[int]:
    found = {(int(match[1]), int(match[2])) for name in shapes if (match := _LAYER.match(name))}
    depths = [
        sum(stage == number for stage, _ in found) for number in range(1 + max((s for s, _ in found), default=-1))
    ]
    if not depths or not all(depths):
        raise WeightsMismatch(f"the tensors make stages of {depths} layers: each stage needs one at least")
    return depths


def _labels(shapes: Shapes, classifier: str) -> dict[str, Any]:
    return {"num_labels": shapes[classifier][0]} if classifier in shapes else {}


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise WeightsMismatch(f"there is no tensor for {name}: is this a checkpoint of the whole network?")
    return shapes[name]
