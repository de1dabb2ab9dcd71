"""Doors that read model_type: AutoModel and its like pick the class that a model's configuration names.

All from one table; a framework is loaded when one of its doors is used.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, ClassVar

from regconv import hub
from regconv.configuration import CONFIGS, AutoConfig
from regconv.errors import UnsupportedConfig

__all__ = [
    "AutoBackbone", "AutoModel", "AutoModelForImageClassification", "FlaxAutoModel",
    "FlaxAutoModelForImageClassification", "TFAutoModel", "TFAutoModelForImageClassification",
]  # fmt: skip


class Door:
    """Picks a class of `room`: its name is `start`, the family's name and `ending`, as TFRegNetModel."""

    room: ClassVar[str]
    start: ClassVar[str] = ""
    ending: ClassVar[str]

    def __init__(self) -> None:
        name = type(self).__name__
        raise TypeError(f"{name} is used through {name}.from_pretrained(model) or {name}.from_config(config)")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """The network of a folder or hub model; keywords as the class that is picked takes them.

        Raises ModelNotFound, CheckpointError (damaged), UnsupportedConfig (a model type that is not here).
        """
        config = kwargs.get("config")
        if config is None:
            # Only looked at: the class reads it again, with the keywords that are fields.
            config = AutoConfig.from_pretrained(
                pretrained_model_name_or_path, **vars(hub.HubOptions.take(dict(kwargs)))
            )
        return cls.class_for(config).from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_config(cls, config: Any, **kwargs: Any) -> Any:
        """A new network of this configuration, with start values. Raises UnsupportedConfig."""
        return cls.class_for(config)(config, **kwargs)

    @classmethod
    def class_for(cls, config: Any) -> Any:
        """The class for a configuration. Raises UnsupportedConfig, and FrameworkMissing without its framework."""
        model_type = getattr(config, "model_type", None)
        if model_type not in CONFIGS:
            raise UnsupportedConfig(
                f"{cls.__name__} got a {type(config).__name__} with model_type {model_type!r}, "
                f"this library has {', '.join(CONFIGS)}"
            )
        return getattr(importlib.import_module(cls.room), cls.start + CONFIGS[model_type].family + cls.ending)


def _door(name: str, room: str, start: str, ending: str) -> type[Door]:
    text = f"Picks the {start}…{ending} of {room} that a model's model_type names."
    return type(
        name, (Door,), {"__doc__": text, "__module__": __name__, "room": room, "start": start, "ending": ending}
    )


AutoModel = _door("AutoModel", "regconv.torch", "", "Model")
AutoModelForImageClassification = _door(
    "AutoModelForImageClassification", "regconv.torch", "", "ForImageClassification"
)
AutoBackbone = _door("AutoBackbone", "regconv.torch", "", "Backbone")
TFAutoModel = _door("TFAutoModel", "regconv.tensorflow", "TF", "Model")
TFAutoModelForImageClassification = _door(
    "TFAutoModelForImageClassification", "regconv.tensorflow", "TF", "ForImageClassification"
)
FlaxAutoModel = _door("FlaxAutoModel", "regconv.flax", "Flax", "Model")
FlaxAutoModelForImageClassification = _door(
    "FlaxAutoModelForImageClassification", "regconv.flax", "Flax", "ForImageClassification"
)
