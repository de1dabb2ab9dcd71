"""Backbones: the maps of chosen stages, for detection and segmentation networks that are built on top of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from regconv.checkpoint import Weights
from regconv.checkpoint_reading import shapes
from regconv.configuration import AnyConfig, ConvNextV2Config
from regconv.errors import UnsupportedConfig
from regconv.layer_plan import layer_plan
from regconv.outputs import BackboneOutput
from regconv.torch.convnext import ConvNextTrunk
from regconv.torch.norms import ChannelsFirstNorm
from regconv.torch.pretrained import Network
from regconv.torch.regnet import RegNetTrunk

_NORMS = "hidden_states_norms."


class StageMaps(Network):
    """Before a trunk in the list of bases: hands out the maps of config.out_features.

    stage_names: "stem", "stage1", …; out_features and out_indices: the chosen ones; num_features: the widths of all;
    channels: of the chosen ones; out_feature_channels: of all by name. Later changes of the configuration change
    nothing here. Raises UnsupportedConfig for a chosen stage that is not built.
    """

    spare_names: ClassVar[tuple[str, ...]] = ("classifier.", "layernorm.", _NORMS)
    backbone_type = "transformers"  # its word for a backbone that is not timm's
    stage_maps: Callable[[Tensor | None], tuple[Tensor, ...]]  # the trunk's

    def __init__(self, config: AnyConfig, *, stage_norms: bool = False) -> None:
        """stage_norms: every chosen map goes through a layer norm of its own, as transformers always has it."""
        super().__init__(config)
        plan = layer_plan(config)
        self.num_features = [plan[0].width_in, *(stage.width for stage in plan)]
        self.stage_names = config.stage_names[: len(self.num_features)]
        self.out_feature_channels = dict(zip(self.stage_names, self.num_features, strict=True))
        self.out_features, self.out_indices = config.out_features, config.out_indices
        missing = [name for name in self.out_features if name not in self.out_feature_channels]
        if missing:
            raise UnsupportedConfig(f"out_features got {missing}, but the network has only {self.stage_names}")
        self.channels = [self.out_feature_channels[name] for name in self.out_features]
        if stage_norms:
            norms = {name: ChannelsFirstNorm(self.out_feature_channels[name], eps=1e-6) for name in self.out_features}
            self.hidden_states_norms = nn.ModuleDict(norms)
        self.initialise()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, return_dict: bool | None = None
    ) -> BackboneOutput | tuple[tuple[Tensor, ...], ...]:
        """feature_maps, one (n, c, h, w) per chosen stage; on request hidden_states, every map as it left its stage.

        pixel_values: (n, num_channels, h, w). Raises ValueError for another number of channels.
        """
        maps = self.stage_maps(pixel_values)
        named = dict(zip(self.stage_names, maps, strict=True))
        features = tuple(named[name] for name in self.out_features)
        if self.has_stage_norms:
            norms = self.hidden_states_norms.children()
            features = tuple(norm(feature) for norm, feature in zip(norms, features, strict=True))
        wants_maps = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BackboneOutput(feature_maps=features, hidden_states=maps if wants_maps else None)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    @property
    def has_stage_norms(self) -> bool:
        """Whether every chosen map goes through a layer norm of its own."""
        return "hidden_states_norms" in self._modules

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, stage_norms: bool | None = None, **kwargs: Any
    ) -> Any:
        """The backbone of a folder or hub model, also of a classifier's; other keywords as every network here takes.

        stage_norms None: norms of the chosen maps exist exactly if the files have them, so no map goes through an
        untrained one. True asks for them anyway: what the files lack has start values and is among the missing_keys.
        """
        return super().from_pretrained(pretrained_model_name_or_path, stage_norms=stage_norms, **kwargs)

    @classmethod
    def take_choices(cls, keywords: dict[str, Any]) -> dict[str, Any]:
        return {"stage_norms": keywords.pop("stage_norms", None)}

    @classmethod
    def built_for(cls, weights: Weights, config: Any, choices: dict[str, Any]) -> Network:
        wanted = choices["stage_norms"]
        if wanted is None:
            there = {
                name.removeprefix(_NORMS).rpartition(".")[0] for name in shapes(weights) if name.startswith(_NORMS)
            }
            wanted = bool(there)
            if there and not there.issuperset(config.out_features):
                raise UnsupportedConfig(
                    f"{weights.paths[0]} has norms for {sorted(there)} alone, but out_features is "
                    f"{config.out_features}: choose among them, or say stage_norms=False (none) or True (new ones)"
                )
        return cls(config, stage_norms=wanted)


class RegNetBackbone(StageMaps, RegNetTrunk):
    """The maps of a RegNet's chosen stages."""


class ConvNextBackbone(StageMaps, ConvNextTrunk):
    """The maps of a ConvNeXt's chosen stages."""


class ConvNextV2Backbone(ConvNextBackbone):
    """The maps of a ConvNeXt V2's chosen stages."""

    config_class = ConvNextV2Config
    base_model_prefix = "convnextv2"
