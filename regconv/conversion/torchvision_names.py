"""torchvision's RegNets and ConvNeXts: what it calls their tensors, and how its weights want their pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from regconv.configuration import AnyConfig
from regconv.conversion.from_shapes import convnext_config, regnet_config, shapes_of
from regconv.conversion.naming import LEAF, Naming, with_prefix
from regconv.errors import UnsupportedConfig

_REGNET_BLOCK = r"trunk_output\.block(?P<stage>\d+)\.block\d+-(?P<layer>\d+)\."
_LAYER = "encoder.stages.{stage}.layers.{layer}."
_CONV = r"\.(?P<part>[01])" + LEAF
REGNET = Naming(
    rules=(
        ("stem" + _CONV, "embedder.embedder.{part}.{leaf}"),
        (_REGNET_BLOCK + "proj" + _CONV, _LAYER + "shortcut.{part}.{leaf}"),
        (_REGNET_BLOCK + r"f\.a" + _CONV, _LAYER + "layer.0.{part}.{leaf}"),
        (_REGNET_BLOCK + r"f\.b" + _CONV, _LAYER + "layer.1.{part}.{leaf}"),
        (_REGNET_BLOCK + r"f\.se\.fc1" + LEAF, _LAYER + "layer.2.attention.0.{leaf}"),
        (_REGNET_BLOCK + r"f\.se\.fc2" + LEAF, _LAYER + "layer.2.attention.2.{leaf}"),
        (_REGNET_BLOCK + r"f\.c" + _CONV, _LAYER + "layer.{last}.{part}.{leaf}"),
        ("fc" + LEAF, "classifier.1.{leaf}"),
    ),
    parts={"0": "convolution", "1": "normalization"},
    first_stage=1,
)

_CONVNEXT_BLOCK = r"features\.(?P<stage>\d+)\.(?P<layer>\d+)\."
CONVNEXT = Naming(
    rules=(
        (r"features\.0\.0" + LEAF, "embeddings.patch_embeddings.{leaf}"),
        (r"features\.0\.1" + LEAF, "embeddings.layernorm.{leaf}"),
        (_CONVNEXT_BLOCK + r"block\.0" + LEAF, _LAYER + "dwconv.{leaf}"),
        (_CONVNEXT_BLOCK + r"block\.2" + LEAF, _LAYER + "layernorm.{leaf}"),
        (_CONVNEXT_BLOCK + r"block\.3" + LEAF, _LAYER + "pwconv1.{leaf}"),
        (_CONVNEXT_BLOCK + r"block\.5" + LEAF, _LAYER + "pwconv2.{leaf}"),
        (_CONVNEXT_BLOCK + "layer_scale", _LAYER + "layer_scale_parameter"),
        (r"features\.(?P<stage>\d+)" + _CONV, "encoder.stages.{stage}.downsampling_layer.{part}.{leaf}"),
        (r"classifier\.0" + LEAF, "layernorm.{leaf}"),
        (r"classifier\.2" + LEAF, "classifier.{leaf}"),
    ),
    stage_step=2,  # stem, stage 1, downsampling, stage 2, …
)

REGNETS = (
    *(f"regnet_{kind}_{size}" for kind in "xy" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    "regnet_y_128gf",
)
CONVNEXTS = ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")

_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers
# Weights -> (short side before the crop, crop, filter); by architecture where it differs.
_PREPARED = {
    "IMAGENET1K_V1": (256, 224, _BILINEAR),
    "IMAGENET1K_V2": (232, 224, _BILINEAR),
    "IMAGENET1K_SWAG_E2E_V1": (384, 384, _BICUBIC),
    "IMAGENET1K_SWAG_LINEAR_V1": (224, 224, _BICUBIC),
}
_SHORT_SIDES = {"convnext_tiny": 236, "convnext_small": 230, "convnext_base": 232, "convnext_large": 232}


def convert_torchvision(architecture: str, tensors: Mapping[str, Any]) -> tuple[AnyConfig, dict[str, Any]]:
    """The configuration and the tensors by hub names of one of torchvision's RegNets or ConvNeXts.

    architecture: as "regnet_y_400mf"; tensors: its state dict, torch's or NumPy's. Raises UnsupportedConfig for other
    architectures, WeightsMismatch for other tensors.
    """
    if architecture in REGNETS:
        named = REGNET.hub_tensors(tensors, architecture)
        config: AnyConfig = regnet_config(shapes_of(named))
    elif architecture in CONVNEXTS:
        named = CONVNEXT.hub_tensors(tensors, architecture)
        config = convnext_config(shapes_of(named))
    else:
        raise UnsupportedConfig(_refusal(architecture))
    return config, with_prefix(named, config.model_type)


def check_architecture(architecture: str) -> None:
    """Raises UnsupportedConfig, with the names that are known, for another than torchvision's RegNets and ConvNeXts."""
    if architecture not in (*REGNETS, *CONVNEXTS):
        raise UnsupportedConfig(_refusal(architecture))


def _refusal(architecture: str) -> str:
    return f"torchvision's {architecture} is not known here; these are: {', '.join((*REGNETS, *CONVNEXTS))}"


def preparation(architecture: str, weights: str) -> dict[str, Any]:
    """size, crop_pct and resample of the pictures that these weights were made with. Raises UnsupportedConfig."""
    if weights not in _PREPARED:
        raise UnsupportedConfig(
            f"torchvision's weights {weights!r} are not known here; these are: {', '.join(_PREPARED)}"
        )
    short_side, size, resample = _PREPARED[weights]
    short_side = _SHORT_SIDES.get(architecture, short_side)
    crop_pct = size / short_side
    if int(size / crop_pct) < short_side:  # the quotient of the rounded quotient may end just below
        crop_pct = math.nextafter(crop_pct, 0)
    return {"size": size, "crop_pct": crop_pct, "resample": resample}
