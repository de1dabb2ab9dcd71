"""A point of RegNet's design space, as `models --design` takes it: read, built into a configuration, counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from regconv.complexity import PartCost, complexity
from regconv.configuration import RegNetConfig
from regconv.design_space import PUBLISHED_DESIGNS, Design
from regconv.layer_plan import layer_plan

_NUMBERS = ("depth", "w_0", "w_a", "w_m", "group_width")
_LABELS = 1000  # of the head that is counted: ImageNet's, as in the published figures


@dataclass(frozen=True)
class Asked:
    """What was asked for. name: of a published network, or None; has_head: whether its checkpoint has a classifier."""

    name: str | None
    design: Design
    se: bool
    has_head: bool = True

    def config(self) -> RegNetConfig:
        """The network's configuration, with ImageNet's number of labels."""
        return RegNetConfig.from_design_space(**asdict(self.design), se=self.se, num_labels=_LABELS)


def read_design(text: str) -> Asked:
    """ "depth=22,w_0=96,…[,se=false]" or the name of a published RegNet.

    Raises ValueError for what can't be read and UnsupportedConfig for numbers that make no network.
    """
    if "=" not in text:
        return _published(text)
    given = dict(_pair(part) for part in text.split(","))
    missing = [name for name in _NUMBERS if name not in given]
    if missing or len(given) != text.count(",") + 1:
        problem = f"{', '.join(missing)} is missing" if missing else "a name is there twice"
        raise ValueError(
            f"{problem}: a design is {','.join(f'{name}=…' for name in _NUMBERS)} and, as you like, se=false"
        )
    se = given.pop("se", True)
    return Asked(None, Design(**given), bool(se))


def _published(text: str) -> Asked:
    name = text.strip().removeprefix("facebook/")
    bare = name.removesuffix("-in1k")
    if bare not in PUBLISHED_DESIGNS or (name != bare and not bare.endswith("-seer")):
        raise ValueError(f"{text!r} is no published RegNet: there are {', '.join(PUBLISHED_DESIGNS)}")
    return Asked(name, PUBLISHED_DESIGNS[bare], bare.startswith("regnet-y"), has_head=not name.endswith("-seer"))


def _pair(part: str) -> tuple[str, Any]:
    name, _, value = (word.strip() for word in part.partition("="))
    if name == "se":
        if value.lower() not in ("true", "false"):
            raise ValueError(f"se got {value!r}, expected true or false")
        return name, value.lower() == "true"
    if name not in _NUMBERS:
        raise ValueError(f"{name!r} is no number of a design: it has {', '.join(_NUMBERS)} and se")
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"{name} got {value!r}, expected a number") from None


def design_document(asked: Asked, size: int) -> dict[str, Any]:
    """Configuration, costs of a picture of `size` x `size` pixels in all and by part, and the widths of every block.

    Raises UnsupportedConfig where no network can be built.
    """
    config = asked.config()
    plan = layer_plan(config)
    cost = complexity(config, size, size, head=asked.has_head)
    # As a person writes them: 96 and 31.41, not 96.0.
    numbers = {name: int(value) if value == int(value) else value for name, value in asdict(asked.design).items()}
    config_fields = ("hidden_sizes", "depths", "groups_width", "layer_type", "embedding_size")
    parts = [_part(part) for part in cost.parts if part.parameters]
    for part, stage in zip(parts[1:], plan, strict=False):
        part |= {"depth": len(stage.layers), "groups": stage.layers[0].groups}
    return {
        "name": asked.name,
        "design": numbers | {"se": asked.se},
        "config": {name: getattr(config, name) for name in config_fields},
        "size": size,
        "labels": _LABELS if asked.has_head else 0,
        "parameters": cost.parameters,
        "flops": cost.flops,
        "activations": cost.activations,
        "parts": parts,
        "blocks": {
            "linear": [round(width, 4) for width in asked.design.linear_widths()],
            "quantised": asked.design.block_widths(),
            "built": [stage.width for stage in plan for _ in stage.layers],
        },
    }


def _part(part: PartCost) -> dict[str, Any]:
    return {"name": part.name} | {name: value for name, value in asdict(part).items() if name != "name"}
