"""RegNet and ConvNeXt in TensorFlow, as Keras models. Importing it without TensorFlow raises FrameworkMissing."""

from regconv.errors import FrameworkMissing, WrongKerasBackend

try:
    import keras
    import tensorflow  # noqa: F401
except ImportError as error:
    raise FrameworkMissing("TensorFlow", "requirements-tensorflow.txt") from error

if keras.config.backend() != "tensorflow":
    raise WrongKerasBackend(keras.config.backend())

from regconv.tensorflow.convnext import (
    TFConvNextForImageClassification,
    TFConvNextModel,
    TFConvNextV2ForImageClassification,
    TFConvNextV2Model,
)
from regconv.tensorflow.outputs import register_outputs
from regconv.tensorflow.regnet import TFRegNetForImageClassification, TFRegNetModel

__all__ = [
    "TFConvNextForImageClassification",
    "TFConvNextModel",
    "TFConvNextV2ForImageClassification",
    "TFConvNextV2Model",
    "TFRegNetForImageClassification",
    "TFRegNetModel",
]

register_outputs()
