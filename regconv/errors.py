"""What can go wrong in regconv, as a tree.

RegconvError
 ├─ UnreadableImage      a file is not a picture that can be read within the limits
 ├─ UnsupportedConfig    a configuration asks for something no network here has (also a ValueError)
 ├─ TrainingError        pictures or settings from which no network can be trained
 ├─ DeviceNotFound       a device was asked for that this computer or this torch does not have
 ├─ FrameworkMissing     a framework that is an optional install is not there (also an ImportError)
 ├─ WrongKerasBackend    Keras runs on something other than TensorFlow (also an ImportError)
 └─ CheckpointError      a checkpoint's files are missing, damaged or do not fit the network
     ├─ ModelNotFound    no folder and no hub model of that name could be had (also an OSError)
     └─ WeightsMismatch  tensor names or shapes differ from the network's (also a RuntimeError)
"""

from __future__ import annotations

import os


class RegconvError(Exception):
    """Base of every error that regconv raises on purpose."""


class UnreadableImage(RegconvError):
    """`path` could not be read as a picture; `reason` says why in words for a person."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str]]:
        # Exceptions cross process borders by pickle, which would call __init__ with the message alone.
        return type(self), (self.path, self.reason)


class UnsupportedConfig(RegconvError, ValueError):
    """A configuration value that no network here supports, or that contradicts another."""


class TrainingError(RegconvError):
    """Pictures, classes or settings from which no network can be trained."""


class CheckpointError(RegconvError):
    """A checkpoint's files are missing, damaged, or do not fit the network they are meant for."""


class ModelNotFound(CheckpointError, OSError):
    """No folder and no hub model of that name could be had."""


class WeightsMismatch(CheckpointError, RuntimeError):
    """A file's tensors differ from the network's in name or shape; the message lists them with + and -."""


class DeviceNotFound(RegconvError):
    """A device was asked for that this computer, or the torch installed on it, does not have."""


class FrameworkMissing(RegconvError, ImportError):
    """`framework` ("TensorFlow" or "JAX/Flax") is not installed; the message names the requirements file that has it."""

    def __init__(self, framework: str, requirements: str) -> None:
        super().__init__(
            f"{framework} is not installed: it is an optional part. pip install -r {requirements} brings it"
        )
        self.framework = framework


class WrongKerasBackend(RegconvError, ImportError):
    """Keras runs on `backend`, where the TensorFlow networks need TensorFlow."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"Keras runs on {backend!r} (KERAS_BACKEND or keras.json says so), expected 'tensorflow': "
            "set KERAS_BACKEND=tensorflow before the first import of keras"
        )
        self.backend = backend
