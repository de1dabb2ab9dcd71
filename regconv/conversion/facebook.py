"""The checkpoints of the networks' authors: facebookresearch's ConvNeXt and ConvNeXt-V2 files, and VISSL's SEER."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from regconv.configuration import AnyConfig, RegNetConfig
from regconv.conversion.from_shapes import convnext_config, regnet_config, shapes_of
from regconv.conversion.naming import LEAF, Naming, with_prefix

_CONVNEXT_BLOCK = r"stages\.(?P<stage>\d+)\.(?P<layer>\d+)\."
_LAYER = "encoder.stages.{stage}.layers.{layer}."
CONVNEXT = Naming(
    rules=(
        (r"downsample_layers\.0\.0" + LEAF, "embeddings.patch_embeddings.{leaf}"),
        (r"downsample_layers\.0\.1" + LEAF, "embeddings.layernorm.{leaf}"),
        (r"downsample_layers\.(?P<stage>\d+)\.(?P<part>[01])" + LEAF, "encoder.stages.{stage}.downsampling_layer.{part}.{leaf}"),
        (_CONVNEXT_BLOCK + r"grn\.gamma", _LAYER + "grn.weight"),
        (_CONVNEXT_BLOCK + r"grn\.beta", _LAYER + "grn.bias"),
        (_CONVNEXT_BLOCK + "gamma", _LAYER + "layer_scale_parameter"),
        (_CONVNEXT_BLOCK + "dwconv" + LEAF, _LAYER + "dwconv.{leaf}"),
        (_CONVNEXT_BLOCK + "norm" + LEAF, _LAYER + "layernorm.{leaf}"),
        (_CONVNEXT_BLOCK + "pwconv1" + LEAF, _LAYER + "pwconv1.{leaf}"),
        (_CONVNEXT_BLOCK + "pwconv2" + LEAF, _LAYER + "pwconv2.{leaf}"),
        ("norm" + LEAF, "layernorm.{leaf}"),
        ("head" + LEAF, "classifier.{leaf}"),
    ),
)  # fmt: skip

_REGNET_BLOCK = r"_feature_blocks\.res(?P<stage>\d+)\.block\d+-(?P<layer>\d+)\."
_CONV = r"\.(?P<part>[01])" + LEAF
SEER = Naming(
    rules=(
        (r"_feature_blocks\.conv1\.stem" + _CONV, "embedder.embedder.{part}.{leaf}"),
        (_REGNET_BLOCK + "proj" + LEAF, _LAYER + "shortcut.convolution.{leaf}"),
        (_REGNET_BLOCK + "bn" + LEAF, _LAYER + "shortcut.normalization.{leaf}"),
        (_REGNET_BLOCK + r"f\.a" + _CONV, _LAYER + "layer.0.{part}.{leaf}"),
        (_REGNET_BLOCK + r"f\.b" + _CONV, _LAYER + "layer.1.{part}.{leaf}"),
        (_REGNET_BLOCK + r"f\.se\.excitation\.0" + LEAF, _LAYER + "layer.2.attention.0.{leaf}"),
        (_REGNET_BLOCK + r"f\.se\.excitation\.2" + LEAF, _LAYER + "layer.2.attention.2.{leaf}"),
        (_REGNET_BLOCK + r"f\.c" + LEAF, _LAYER + "layer.{last}.convolution.{leaf}"),
        (_REGNET_BLOCK + r"f\.final_bn" + LEAF, _LAYER + "layer.{last}.normalization.{leaf}"),
        (r"0\.clf\.0" + LEAF, "classifier.1.{leaf}"),
    ),
    parts={"0": "convolution", "1": "normalization"},
    first_stage=2,
)


def convert_facebook(checkpoint: Mapping[str, Any]) -> tuple[AnyConfig, dict[str, Any]]:
    """The configuration and the tensors by hub names of a facebookresearch ConvNeXt or ConvNeXt-V2.

    checkpoint: the state dict, or the mapping that holds it as "model", as the published files do. Which generation
    it is, depths and widths are read off the tensors. Raises WeightsMismatch for other tensors.
    """
    tensors = checkpoint.get("model", checkpoint)
    named = CONVNEXT.hub_tensors(tensors, "the checkpoint")
    config = convnext_config(shapes_of(named))
    return config, with_prefix(named, config.model_type)


def convert_seer(checkpoint: Mapping[str, Any]) -> tuple[RegNetConfig, dict[str, Any]]:
    """The configuration and the tensors by hub names of a SEER RegNetY from VISSL.

    checkpoint: the trunk's state dict, with the head's tensors (0.clf.0.*) where there is one, or the nested mapping
    of the published files. Projection heads of the pretraining are left out. Raises WeightsMismatch for other tensors.
    """
    model = checkpoint.get("classy_state_dict", checkpoint)
    model = model.get("base_model", model)
    model = model.get("model", model)
    if "trunk" in model:
        model = {**model["trunk"], **model.get("heads", {})}
    # The largest one is cut into parts that run on different devices: their names are one component more.
    tensors = {
        re.sub(r"\.block\d+-part\d+", "", name): tensor
        for name, tensor in model.items()
        if name.startswith(("_feature_blocks.", "0.clf.0."))
    }
    named = SEER.hub_tensors(tensors, "the checkpoint")
    config = regnet_config(shapes_of(named))
    return config, with_prefix(named, config.model_type)
