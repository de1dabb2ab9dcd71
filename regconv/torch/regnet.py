"""RegNetX and RegNetY in PyTorch (Radosavovic et al. 2020, arXiv 2003.13678).

Module names are the dotted names of the hub's checkpoints, so state dicts go across unchanged.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

from regconv.configuration import RegNetConfig
from regconv.errors import UnsupportedConfig
from regconv.layer_plan import LayerPlan, layer_plan
from regconv.outputs import BaseModelOutputWithPoolingAndNoAttention, ImageClassifierOutputWithNoAttention
from regconv.torch.activations import activation
from regconv.torch.losses import classification_loss
from regconv.torch.pretrained import Network


def conv_norm(
    width_in: int, width: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    """Convolution without bias, batch norm, and `act` where there is one."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    padding = kernel // 2
    parts["convolution"] = nn.Conv2d(width_in, width, kernel, stride, padding, groups=groups, bias=False)
    parts["normalization"] = nn.BatchNorm2d(width)
    if act is not None:
        parts["activation"] = act
    return nn.Sequential(parts)


class SqueezeExcite(nn.Module):
    """Every channel scaled by 0 to 1, from the means of all channels (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, width: int, squeeze_width: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv2d(width, squeeze_width, 1), nn.ReLU(), nn.Conv2d(squeeze_width, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x.mean(dim=(2, 3), keepdim=True))


class RegNetLayer(nn.Module):
    """One residual bottleneck: 1x1, grouped 3x3, in Y squeeze-and-excitation, 1x1; then the sum's activation."""

    def __init__(self, plan: LayerPlan, config: RegNetConfig) -> None:
        super().__init__()
        width = plan.width
        self.shortcut = conv_norm(plan.width_in, width, 1, plan.stride) if plan.has_shortcut else nn.Identity()
        inside = [
            conv_norm(plan.width_in, width, 1, act=activation(config.hidden_act)),
            conv_norm(width, width, 3, plan.stride, plan.groups, activation(config.hidden_act)),
            # Any layer_type but "x", which only assignment can bring, means Y: as the hub's software has it.
            *([] if config.layer_type == "x" else [SqueezeExcite(width, plan.squeeze_width)]),
            conv_norm(width, width, 1),
        ]
        self.layer = nn.Sequential(*inside)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.layer(x) + self.shortcut(x))


class _RegNet(Network):
    config_class = RegNetConfig
    base_model_prefix = "regnet"

    def reset_module(self, module: nn.Module) -> None:
        """Convolutions get normal values of variance 2 / (outputs x kernel area); all else torch's own values."""
        super().reset_module(module)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class RegNetTrunk(_RegNet):
    """Stem and stages, which the feature extractor and the backbone share."""

    def __init__(self, config: RegNetConfig) -> None:
        super().__init__(config)
        stem = conv_norm(config.num_channels, config.embedding_size, 3, 2, act=activation(config.hidden_act))
        self.embedder = nn.ModuleDict({"embedder": stem})
        stages = [
            nn.ModuleDict({"layers": nn.Sequential(*(RegNetLayer(layer, config) for layer in stage.layers))})
            for stage in layer_plan(config)
        ]
        self.encoder = nn.ModuleDict({"stages": nn.ModuleList(stages)})

    def stage_maps(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """The stem's map and every stage's, (n, c, h, w). Raises ValueError for another number of channels."""
        self.check_channels(pixel_values)
        x = self.embedder["embedder"](pixel_values)
        maps = [x]
        for stage in cast("list[nn.ModuleDict]", self.encoder["stages"]):
            x = self.through(stage["layers"].children(), x)
            maps.append(x)
        return tuple(maps)


class RegNetModel(RegNetTrunk):
    """The feature extractor: a map per stage and their mean at the end."""

    def __init__(self, config: RegNetConfig) -> None:
        super().__init__(config)
        self.pooler = nn.AdaptiveAvgPool2d((1, 1))
        self.initialise()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, return_dict: bool | None = None
    ) -> BaseModelOutputWithPoolingAndNoAttention | tuple[Tensor | tuple[Tensor, ...], ...]:
        """last_hidden_state (n, c, h, w) and pooler_output (n, c, 1, 1); on request the stem's and every stage's map.

        pixel_values: (n, num_channels, h, w). Raises ValueError for another number of channels.
        """
        maps = self.stage_maps(pixel_values)
        wants_maps = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=maps[-1],
            pooler_output=self.pooler(maps[-1]),
            hidden_states=maps if wants_maps else None,
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


class RegNetForImageClassification(_RegNet):
    """The feature extractor with a linear classifier on its pooled output; num_labels 0 hands the pooled output out."""

    def __init__(self, config: RegNetConfig) -> None:
        super().__init__(config)
        if len(config.hidden_sizes) > len(config.depths):
            raise UnsupportedConfig(
                f"hidden_sizes {config.hidden_sizes} is longer than depths {config.depths}: "
                "the classifier would not fit the last stage that is built"
            )
        self.regnet = RegNetModel(config)
        count = config.num_labels
        linear = nn.Linear(config.hidden_sizes[-1], count) if count > 0 else nn.Identity()
        self.classifier = nn.Sequential(nn.Flatten(), linear)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> ImageClassifierOutputWithNoAttention | tuple[Tensor | tuple[Tensor, ...], ...]:
        """logits (n, num_labels), with labels the loss before them (see regconv.torch.losses), on request the maps."""
        features = self.regnet(pixel_values, output_hidden_states, return_dict=True)
        logits = self.classifier(features.pooler_output)
        loss = None if labels is None else classification_loss(logits, labels, self.config)
        output = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=features.hidden_states)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()
