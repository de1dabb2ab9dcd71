"""What every configuration has: general fields, labels, dtype; reading and writing of the hub's config.json."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from regconv import hub
from regconv.checkpoint import CONFIG_NAME, read_json, write_files
from regconv.errors import UnsupportedConfig
from regconv.hub_push import Pushable, accepted_push_options, push_saved
from regconv.known_keywords import take_network_keywords

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

_BASE_DEFAULTS: dict[str, Any] = {
    "architectures": None,
    "dtype": None,
    "output_hidden_states": False,
    "problem_type": None,
    "return_dict": True,
    "transformers_version": None,
}


class Config(Pushable):
    """Fields as attributes; unknown keywords become attributes too and are saved with the rest.

    family: how the names of the network classes begin. dtype: the name of the stored weights' dtype, as "float32";
    `torch_dtype` is the same field under its older name.
    Raises UnsupportedConfig (also a ValueError) for contradictions among the values.
    """

    model_type: ClassVar[str] = ""
    family: ClassVar[str] = ""
    fields: ClassVar[tuple[str, ...]] = ()
    # What older scripts ask of any configuration: it is no composite of several, and there is no decoder.
    is_composition: ClassVar[bool] = False
    is_encoder_decoder: ClassVar[bool] = False

    architectures: list[str] | None
    hidden_act: str | Callable[..., Any]
    hidden_sizes: list[int]
    depths: list[int]
    num_channels: int
    output_hidden_states: bool
    problem_type: str | None
    return_dict: bool
    id2label: dict[int, str]
    label2id: dict[str, int]

    def __init__(self, **kwargs: Any) -> None:
        file_type = kwargs.pop("model_type", self.model_type)
        if file_type != self.model_type:
            raise UnsupportedConfig(
                f"{type(self).__name__} got model_type {file_type!r}, expected {self.model_type!r}: "
                "use the class that belongs to this checkpoint"
            )
        older_dtype = kwargs.pop("torch_dtype", None)
        self.dtype = kwargs.pop("dtype", None) or older_dtype
        self._set_labels(kwargs.pop("num_labels", None), kwargs.pop("id2label", None), kwargs.pop("label2id", None))
        for name, default in _BASE_DEFAULTS.items():
            if name != "dtype":
                setattr(self, name, kwargs.pop(name, default))
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise UnsupportedConfig(
                f"problem_type got {self.problem_type!r}, expected one of {', '.join(PROBLEM_TYPES)} or None"
            )
        for name, value in kwargs.items():
            setattr(self, name, value)

    def _set_labels(self, num_labels: int | None, id2label: Mapping[Any, str] | None, label2id: Any) -> None:
        if id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
            if label2id is not None:
                self.label2id = dict(label2id)
            return
        if num_labels is not None and num_labels != len(id2label):
            raise UnsupportedConfig(f"num_labels is {num_labels} but id2label names {len(id2label)} labels: give one")
        self.id2label = {int(index): label for index, label in id2label.items()}
        own = {label: index for index, label in self.id2label.items()}
        self.label2id = own if label2id is None else dict(label2id)

    @property
    def num_labels(self) -> int:
        """How many labels there are; setting it names them LABEL_0, LABEL_1, …"""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if "id2label" in self.__dict__ and len(self.id2label) == count:
            return
        self.id2label = {index: f"LABEL_{index}" for index in range(count)}
        self.label2id = {label: index for index, label in self.id2label.items()}

    @property
    def dtype(self) -> str | None:
        """The name of the stored weights' dtype, as "float32"; a torch.dtype may be assigned too."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        # torch.dtype prints as "torch.float32"; the name alone is what the file holds.
        self._dtype = None if value is None else str(value).removeprefix("torch.")

    torch_dtype = dtype

    def to_dict(self) -> dict[str, Any]:
        """Every field and every extra attribute, as copies; id2label with integer keys."""
        values = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return copy.deepcopy(values) | {"model_type": self.model_type, "torch_dtype": self.dtype}

    def to_diff_dict(self) -> dict[str, Any]:
        """What the file holds: every field of the model, and of the general ones those that differ from the default."""
        values = self.to_dict()
        defaults = _BASE_DEFAULTS | {"torch_dtype": None}
        kept = {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}
        if kept["id2label"] == {0: "LABEL_0", 1: "LABEL_1"} and kept["label2id"] == {"LABEL_0": 0, "LABEL_1": 1}:
            del kept["id2label"], kept["label2id"]
        return kept

    def to_json_string(self, use_diff: bool = True) -> str:
        """The text of config.json: keys sorted, two spaces of indent. Raises UnsupportedConfig for functions."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        if callable(self.hidden_act):
            raise UnsupportedConfig("hidden_act is a function, which no file can hold: set a name before saving")
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Writes `to_json_string` into a file of this path."""
        write_files(Path(path).parent, {Path(path).name: self.to_json_string(use_diff).encode()})

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *, push_to_hub: bool = False, **push_options: Any
    ) -> None:
        """Writes config.json into the folder, which is made if it is not there; with push_to_hub to the hub as well.

        push_options: repo_id (without it the folder's name) and what `push_to_hub` takes; others raise TypeError.
        """
        push_options = accepted_push_options(push_to_hub, push_options)
        write_files(Path(save_directory), {CONFIG_NAME: self.to_json_string().encode()})
        if push_to_hub:
            push_saved(Path(save_directory), [CONFIG_NAME], type(self).__name__, push_options)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, return_unused_kwargs: bool = False, **overrides: Any) -> Any:
        """The configuration of these values, with `overrides` in place of fields of the same names.

        An override that is no field raises TypeError, or with return_unused_kwargs comes back: (config, unused).
        """
        if {"num_labels", "id2label"} <= overrides.keys() and overrides["num_labels"] != len(overrides["id2label"]):
            raise UnsupportedConfig("num_labels and id2label disagree about the number of labels: give one of them")
        config = cls(**{name: value for name, value in values.items() if not name.startswith("_")})
        # RegNet's file has no out_features, but a backbone of it has them.
        known = {*vars(config), *cls.fields, "num_labels", "dtype", "torch_dtype", "out_features", "out_indices"}
        chosen = {name: value for name, value in overrides.items() if name in known}
        unused = {name: value for name, value in overrides.items() if name not in known}
        if unused and not return_unused_kwargs:
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unused))}")
        if chosen:
            config = cls(**_with_overrides(config, chosen))
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """The configuration in a folder or of a hub model; other keywords override fields, as in `from_dict`.

        Raises ModelNotFound, and CheckpointError when config.json is damaged.
        """
        options = hub.HubOptions.take(kwargs)
        if not kwargs.get("return_unused_kwargs"):
            take_network_keywords(kwargs)
        return cls.from_dict(read_json(hub.fetch_file(pretrained_model_name_or_path, CONFIG_NAME, options)), **kwargs)

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str]) -> Self:
        """The configuration in one JSON file."""
        return cls.from_dict(read_json(Path(path)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it changes when a field is assigned

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in sorted(self.to_diff_dict().items()))})"


def _with_overrides(config: Config, chosen: dict[str, Any]) -> dict[str, Any]:
    values = config.to_dict()
    if "num_labels" in chosen and chosen["num_labels"] != len(values["id2label"]):
        del values["id2label"], values["label2id"]
    if "id2label" in chosen and "label2id" not in chosen:
        del values["label2id"]
    if "dtype" in chosen:
        del values["torch_dtype"]
    if not {"depths", "out_features", "out_indices"}.isdisjoint(chosen):
        # Each of these implies the others: what the file said about them is replaced, not compared.
        for name in ("out_features", "out_indices", "stage_names"):
            values.pop(name, None)
    return values | chosen
