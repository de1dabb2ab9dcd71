"""RegNet and ConvNeXt in JAX and Flax (linen). Importing it without JAX or Flax raises FrameworkMissing."""

from regconv.errors import FrameworkMissing

try:
    import flax.linen  # noqa: F401
    import jax  # noqa: F401
except ImportError as error:
    raise FrameworkMissing("JAX/Flax", "requirements-jax.txt") from error

from regconv.flax.convnext import (
    FlaxConvNextForImageClassification,
    FlaxConvNextModel,
    FlaxConvNextV2ForImageClassification,
    FlaxConvNextV2Model,
)
from regconv.flax.outputs import register_outputs
from regconv.flax.regnet import FlaxRegNetForImageClassification, FlaxRegNetModel

__all__ = [
    "FlaxConvNextForImageClassification",
    "FlaxConvNextModel",
    "FlaxConvNextV2ForImageClassification",
    "FlaxConvNextV2Model",
    "FlaxRegNetForImageClassification",
    "FlaxRegNetModel",
]

register_outputs()
