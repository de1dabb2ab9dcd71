"""What the networks hand out: ordered mappings whose values are also attributes and, by position, tuple entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


class Output(dict[str, Any]):
    """Named values in the order of `fields`, without those that are None.

    out["logits"], out.logits and out[0] are the same; slices give tuples. A missing key raises KeyError, a missing
    attribute is None. A name that is no field raises TypeError.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **named: Any) -> None:
        given = {**dict(values), **named}
        for name in given:
            self._check(name)
        super().__init__((name, given[name]) for name in self.fields if given.get(name) is not None)

    def _check(self, name: str) -> None:
        if name not in self.fields:
            raise TypeError(f"{type(self).__name__} has no field {name!r}, only {', '.join(self.fields)}")

    def to_tuple(self) -> tuple[Any, ...]:
        """The present values in order."""
        return tuple(self.values())

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setitem__(self, name: str, value: Any) -> None:
        self._check(name)
        merged = {**self, name: value}
        self.clear()
        # Through dict itself, and anew: a value that was None before must not end up behind the later fields.
        super().update((field, merged[field]) for field in self.fields if merged.get(field) is not None)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __reduce__(self) -> tuple[type[Output], tuple[dict[str, Any]]]:
        return type(self), (dict(self),)


class BaseModelOutputWithPoolingAndNoAttention(Output):
    """last_hidden_state (n, c, h, w); pooler_output; hidden_states: the stem's map, then one per stage."""

    fields = ("last_hidden_state", "pooler_output", "hidden_states")


class ImageClassifierOutputWithNoAttention(Output):
    """loss (); logits (n, num_labels); hidden_states as above."""

    fields = ("loss", "logits", "hidden_states")


class FlaxBaseModelOutputWithPoolingAndNoAttention(BaseModelOutputWithPoolingAndNoAttention):
    """last_hidden_state (n, c, h, w); pooler_output; hidden_states, all as JAX arrays."""


class FlaxImageClassifierOutputWithNoAttention(Output):
    """logits (n, num_labels); hidden_states as above; Flax models compute no loss."""

    fields = ("logits", "hidden_states")


class BackboneOutput(Output):
    """feature_maps: one (n, c, h, w) per chosen stage; hidden_states as above; attentions: always None."""

    fields = ("feature_maps", "hidden_states", "attentions")


class TFBaseModelOutputWithPoolingAndNoAttention(BaseModelOutputWithPoolingAndNoAttention):
    """last_hidden_state (n, c, h, w); pooler_output; hidden_states, all as TensorFlow tensors."""


class TFBaseModelOutputWithPooling(Output):
    """The same; attentions: always None."""

    fields = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")


class TFSequenceClassifierOutput(Output):
    """loss (n,), one for every picture; logits (n, num_labels); hidden_states as above; attentions: always None."""

    fields = ("loss", "logits", "hidden_states", "attentions")
