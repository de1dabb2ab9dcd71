"""Checkpoints of other software as the hub's: names are translated, no value is computed, and the software isn't needed.

The functions give (configuration, tensors by hub names); `load_converted` goes from a file or hub name to a network.
"""

from regconv.conversion.facebook import convert_facebook, convert_seer
from regconv.conversion.files import load_converted
from regconv.conversion.timm_names import convert_timm
from regconv.conversion.torchvision_names import convert_torchvision

__all__ = ["convert_facebook", "convert_seer", "convert_timm", "convert_torchvision", "load_converted"]
