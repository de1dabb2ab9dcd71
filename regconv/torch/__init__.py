"""The networks in PyTorch; names are those of the hub's checkpoints."""

from regconv.torch.backbones import ConvNextBackbone, ConvNextV2Backbone, RegNetBackbone
from regconv.torch.convnext import (
    ConvNextForImageClassification,
    ConvNextModel,
    ConvNextV2ForImageClassification,
    ConvNextV2Model,
)
from regconv.torch.outputs import register_outputs
from regconv.torch.regnet import RegNetForImageClassification, RegNetModel

__all__ = [
    "ConvNextBackbone", "ConvNextForImageClassification", "ConvNextModel",
    "ConvNextV2Backbone", "ConvNextV2ForImageClassification", "ConvNextV2Model",
    "RegNetBackbone", "RegNetForImageClassification", "RegNetModel",
]  # fmt: skip

register_outputs()
