"""The networks in PyTorch; names are those of the hub's checkpoints."""

from regconv.torch.convnext import ConvNextForImageClassification, ConvNextModel
from regconv.torch.regnet import RegNetForImageClassification, RegNetModel

__all__ = ["ConvNextForImageClassification", "ConvNextModel", "RegNetForImageClassification", "RegNetModel"]
