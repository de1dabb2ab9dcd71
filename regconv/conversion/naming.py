"""Names of other software to the hub's, by rules; tensors that only differ in empty axes take the hub's shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from regconv.errors import WeightsMismatch

LEAF = r"\.(?P<leaf>\w+)"
_MOST_LISTED = 8


@dataclass(frozen=True)
class Naming:
    """How one software names a family's tensors.

    rules: (pattern of a whole name, template of the hub's without the family's first part). Groups of the pattern may
    be stage, layer (numbers, which become the hub's), part (translated where `parts` has it) and leaf (kept). In templates {last}
    is the number of a RegNet layer's last convolution. Their first stage and layer have the numbers first_stage and
    first_layer here; every stage_step numbers make one stage.
    """

    rules: tuple[tuple[str, str], ...]
    parts: Mapping[str, str] = field(default_factory=dict)
    first_stage: int = 0
    stage_step: int = 1
    first_layer: int = 0

    def hub_name(self, name: str, last: int) -> str | None:
        """The hub's name of a tensor; None where no rule fits."""
        for pattern, template in self.rules:
            found = re.fullmatch(pattern, name)
            if found is None:
                continue
            groups = found.groupdict()
            values = {
                "stage": (int(groups.get("stage") or self.first_stage) - self.first_stage) // self.stage_step,
                "layer": int(groups.get("layer") or self.first_layer) - self.first_layer,
                "part": self.parts.get(groups.get("part") or "", groups.get("part")),
                "leaf": groups.get("leaf") or "",
            }
            return template.format(last=last, **values)
        return None

    def hub_tensors(self, tensors: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Hub name without the family's first part -> tensor (torch's or NumPy's).

        Raises WeightsMismatch, which lists names that no rule knows.
        """
        last = 3 if any(".se." in name for name in tensors) else 2
        named = {name: self.hub_name(name, last) for name in tensors}
        unknown = [name for name, hub_name in named.items() if hub_name is None]
        if unknown or len(set(named.values())) < len(named):
            more = f" and {len(unknown) - _MOST_LISTED} more" if len(unknown) > _MOST_LISTED else ""
            raise WeightsMismatch(
                f"{where} has tensors that are not this network's: {', '.join(unknown[:_MOST_LISTED])}{more}. "
                "Is it the architecture that was named?"
            )
        return {hub_name: _in_hub_shape(hub_name, tensors[name]) for name, hub_name in named.items() if hub_name}


def _in_hub_shape(name: str, tensor: Any) -> Any:
    if name.endswith(("pwconv1.weight", "pwconv2.weight")):
        return tensor.reshape(tuple(tensor.shape[:2]))  # from (out, in, 1, 1), where a 1x1 convolution does the work
    if name.endswith((".grn.weight", ".grn.bias")):
        return tensor.reshape(1, 1, 1, -1)
    return tensor.reshape(-1) if name.endswith("layer_scale_parameter") else tensor


def with_prefix(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors under the names of a classification checkpoint: all but the head's begin with the prefix."""
    return {name if name.startswith("classifier.") else f"{prefix}.{name}": t for name, t in tensors.items()}
