"""RegNet and ConvNeXt for pictures: pixels in, features out.

Names are loaded when they are first asked for, so that reading a configuration or preparing pictures costs no
framework's start-up time.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "regconv.auto": (
        "AutoBackbone", "AutoModel", "AutoModelForImageClassification", "FlaxAutoModel",
        "FlaxAutoModelForImageClassification", "TFAutoModel", "TFAutoModelForImageClassification",
    ),
    "regconv.backbone": (
        "Backbone", "Features", "ModelDescription", "Parts", "StageInfo", "describe", "load_backbone",
    ),
    "regconv.configuration": ("AutoConfig", "ConvNextConfig", "ConvNextV2Config", "RegNetConfig"),
    "regconv.conversion": (
        "convert_facebook", "convert_seer", "convert_timm", "convert_torchvision", "load_converted",
    ),
    "regconv.errors": (
        "CheckpointError", "DeviceNotFound", "FrameworkMissing", "ModelNotFound", "RegconvError", "UnreadableImage",
        "UnsupportedConfig", "WeightsMismatch", "WrongKerasBackend",
    ),
    "regconv.flax": (
        "FlaxConvNextForImageClassification", "FlaxConvNextModel", "FlaxConvNextV2ForImageClassification",
        "FlaxConvNextV2Model", "FlaxRegNetForImageClassification", "FlaxRegNetModel",
    ),
    "regconv.image_processing": ("AutoImageProcessor", "ConvNextFeatureExtractor", "ConvNextImageProcessor"),
    "regconv.images": ("Recipe", "open_image", "prepare"),
    "regconv.outputs": (
        "BackboneOutput", "BaseModelOutputWithPoolingAndNoAttention", "FlaxBaseModelOutputWithPoolingAndNoAttention",
        "FlaxImageClassifierOutputWithNoAttention", "ImageClassifierOutputWithNoAttention",
        "TFBaseModelOutputWithPooling", "TFBaseModelOutputWithPoolingAndNoAttention", "TFSequenceClassifierOutput",
    ),
    "regconv.tensorflow": (
        "TFConvNextForImageClassification", "TFConvNextModel", "TFConvNextV2ForImageClassification",
        "TFConvNextV2Model", "TFRegNetForImageClassification", "TFRegNetModel",
    ),
    "regconv.torch": (
        "ConvNextBackbone", "ConvNextForImageClassification", "ConvNextModel",
        "ConvNextV2Backbone", "ConvNextV2ForImageClassification", "ConvNextV2Model",
        "RegNetBackbone", "RegNetForImageClassification", "RegNetModel",
    ),
}  # fmt: skip
_HOME = {name: place for place, names in _PLACES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'regconv' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
