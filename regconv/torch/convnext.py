"""ConvNeXt in PyTorch (Liu et al. 2022, arXiv 2201.03545).

Module names are the dotted names of the hub's checkpoints, so state dicts go across unchanged.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from regconv.configuration import ConvNextConfig
from regconv.layer_plan import LayerPlan, StagePlan, layer_plan
from regconv.outputs import BaseModelOutputWithPoolingAndNoAttention, ImageClassifierOutputWithNoAttention
from regconv.torch.activations import activation
from regconv.torch.losses import classification_loss
from regconv.torch.pretrained import Network

_EPS = 1e-6  # of every norm but the last, which has config.layer_norm_eps


class ChannelsFirstNorm(nn.LayerNorm):
    """Layer norm over the channels of (n, c, h, w), place by place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """In training, zeros for a share `rate` of the pictures and the others divided by what is kept; else its input."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = 1.0 - self.rate
        mask = torch.rand(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device).add(kept).floor()
        return x / kept * mask

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class ConvNextLayer(nn.Module):
    """One residual layer: depthwise 7x7, norm, and two linear maps over the channels of every place."""

    def __init__(self, plan: LayerPlan, config: ConvNextConfig) -> None:
        super().__init__()
        width = plan.width
        self.layer_scale_parameter: nn.Parameter | None = None
        if config.layer_scale_init_value > 0:
            self.layer_scale_parameter = nn.Parameter(torch.full((width,), float(config.layer_scale_init_value)))
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=plan.groups)
        self.layernorm = nn.LayerNorm(width, eps=_EPS)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.act = activation(config.hidden_act)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.drop_path = DropPath(plan.drop_path) if plan.drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.dwconv(x).permute(0, 2, 3, 1)  # (n, h, w, c)
        branch = self.pwconv2(self.act(self.pwconv1(self.layernorm(branch))))
        if self.layer_scale_parameter is not None:
            branch = self.layer_scale_parameter * branch
        return x + self.drop_path(branch.permute(0, 3, 1, 2))  # (n, c, h, w)


def _stage(plan: StagePlan, config: ConvNextConfig) -> nn.ModuleDict:
    parts: dict[str, nn.Module] = {}
    if plan.has_downsampling:
        norm = ChannelsFirstNorm(plan.width_in, eps=_EPS)
        parts["downsampling_layer"] = nn.Sequential(norm, nn.Conv2d(plan.width_in, plan.width, 2, plan.stride))
    parts["layers"] = nn.Sequential(*(ConvNextLayer(layer, config) for layer in plan.layers))
    return nn.ModuleDict(parts)


class _ConvNext(Network):
    config_class = ConvNextConfig
    base_model_prefix = "convnext"

    def reset_module(self, module: nn.Module) -> None:
        """Kernels get plain normal values of deviation initializer_range, biases 0, norms 1 and 0."""
        super().reset_module(module)
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, ConvNextLayer) and module.layer_scale_parameter is not None:
            nn.init.constant_(module.layer_scale_parameter, self.config.layer_scale_init_value)


class ConvNextModel(_ConvNext):
    """The feature extractor: a map per stage and the normalised mean of the last."""

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__(config)
        plan = layer_plan(config)
        width = plan[0].width_in
        patches = nn.Conv2d(config.num_channels, width, _pair(config.patch_size), _pair(config.patch_size))
        norm = ChannelsFirstNorm(width, eps=_EPS)
        self.embeddings = nn.ModuleDict({"patch_embeddings": patches, "layernorm": norm})
        self.encoder = nn.ModuleDict({"stages": nn.ModuleList([_stage(stage, config) for stage in plan])})
        self.layernorm = nn.LayerNorm(config.hidden_sizes[-1], eps=config.layer_norm_eps)
        self.initialise()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPoolingAndNoAttention | tuple[Tensor | tuple[Tensor, ...], ...]:
        """last_hidden_state (n, c, h, w), not normalised, and pooler_output (n, c); on request every map.

        pixel_values: (n, num_channels, h, w), at least 32 pixels a side with the default patch and stages. Raises
        ValueError for another number of channels and for None.
        """
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        self.check_channels(pixel_values)
        x = self.embeddings["layernorm"](self.embeddings["patch_embeddings"](pixel_values))
        maps = [x]
        for stage in cast("list[nn.ModuleDict]", self.encoder["stages"]):
            if "downsampling_layer" in stage:
                x = stage["downsampling_layer"](x)
            x = self.through(stage["layers"].children(), x)
            maps.append(x)
        wants_maps = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=x,
            pooler_output=self.layernorm(x.mean(dim=(2, 3))),
            hidden_states=tuple(maps) if wants_maps else None,
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


class ConvNextForImageClassification(_ConvNext):
    """The feature extractor with a linear classifier on its pooled output; num_labels 0 hands the pooled output out."""

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__(config)
        self.convnext = ConvNextModel(config)
        count = config.num_labels
        self.classifier = nn.Linear(config.hidden_sizes[-1], count) if count > 0 else nn.Identity()
        self.classifier.apply(self.reset_module)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> ImageClassifierOutputWithNoAttention | tuple[Tensor | tuple[Tensor, ...], ...]:
        """logits (n, num_labels), with labels the loss before them (see regconv.torch.losses), on request the maps."""
        features = self.convnext(pixel_values, output_hidden_states, return_dict=True)
        logits = self.classifier(features.pooler_output)
        loss = None if labels is None else classification_loss(logits, labels, self.config)
        output = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=features.hidden_states)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


def _pair(patch_size: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    return (patch_size, patch_size) if isinstance(patch_size, int) else (patch_size[0], patch_size[1])
