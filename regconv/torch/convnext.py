"""ConvNeXt in PyTorch (Liu et al. 2022, arXiv 2201.03545) and ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808).

Module names are the dotted names of the hub's checkpoints, so state dicts go across unchanged.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from regconv.configuration import ConvNextConfig, ConvNextV2Config
from regconv.layer_plan import LayerPlan, StagePlan, layer_plan, stem_plan
from regconv.outputs import BaseModelOutputWithPoolingAndNoAttention, ImageClassifierOutputWithNoAttention
from regconv.torch.activations import activation
from regconv.torch.losses import classification_loss
from regconv.torch.norms import ResponseNorm, channel_norm
from regconv.torch.pretrained import Network

AnyConvNextConfig = ConvNextConfig | ConvNextV2Config


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

    def __init__(self, plan: LayerPlan, config: AnyConvNextConfig) -> None:
        super().__init__()
        width = plan.width
        self.layer_scale = plan.layer_scale or 0.0
        self.layer_scale_parameter: nn.Parameter | None = None
        if plan.layer_scale is not None:
            self.layer_scale_parameter = nn.Parameter(torch.full((width,), plan.layer_scale))
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=plan.groups)
        self.layernorm = channel_norm(config.norm_type, width)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.act = activation(config.hidden_act)
        self.grn = ResponseNorm(4 * width) if plan.response_norm else nn.Identity()
        self.pwconv2 = nn.Linear(4 * width, width)
        self.drop_path = DropPath(plan.drop_path) if plan.drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.dwconv(x).permute(0, 2, 3, 1)  # (n, h, w, c)
        branch = self.pwconv2(self.grn(self.act(self.pwconv1(self.layernorm(branch)))))
        if self.layer_scale_parameter is not None:
            branch = self.layer_scale_parameter * branch
        return x + self.drop_path(branch.permute(0, 3, 1, 2))  # (n, c, h, w)


def _stem(config: AnyConvNextConfig) -> nn.ModuleDict:
    plan = stem_plan(config)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for index, conv in enumerate(plan):
        parts[str(index)] = nn.Conv2d(conv.width_in, conv.width, conv.kernel, conv.stride, conv.padding)
        if conv.has_activation:
            parts["activation"] = activation(config.hidden_act)
    # A single convolution has no number in its name.
    patches = parts["0"] if len(plan) == 1 else nn.Sequential(parts)
    norm = channel_norm(config.norm_type, plan[-1].width, channels_first=True)
    return nn.ModuleDict({"patch_embeddings": patches, "layernorm": norm})


def _stage(plan: StagePlan, config: AnyConvNextConfig) -> nn.ModuleDict:
    parts: dict[str, nn.Module] = {}
    if plan.has_downsampling:
        norm = channel_norm(config.norm_type, plan.width_in, channels_first=True)
        parts["downsampling_layer"] = nn.Sequential(norm, nn.Conv2d(plan.width_in, plan.width, 2, plan.stride))
    parts["layers"] = nn.Sequential(*(ConvNextLayer(layer, config) for layer in plan.layers))
    return nn.ModuleDict(parts)


class _ConvNext(Network):
    config_class: ClassVar[type[AnyConvNextConfig]] = ConvNextConfig
    base_model_prefix = "convnext"

    def reset_module(self, module: nn.Module) -> None:
        """Kernels get plain normal values of deviation initializer_range, biases 0, norms 1 and 0."""
        super().reset_module(module)
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, ConvNextLayer) and module.layer_scale_parameter is not None:
            nn.init.constant_(module.layer_scale_parameter, module.layer_scale)


class ConvNextTrunk(_ConvNext):
    """Stem and stages, which the feature extractor and the backbone share."""

    def __init__(self, config: AnyConvNextConfig) -> None:
        super().__init__(config)
        self.embeddings = _stem(config)
        self.encoder = nn.ModuleDict({"stages": nn.ModuleList([_stage(stage, config) for stage in layer_plan(config)])})

    def stage_maps(self, pixel_values: Tensor | None) -> tuple[Tensor, ...]:
        """The stem's map and every stage's, (n, c, h, w). Raises ValueError as `ConvNextModel.forward` says."""
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
        return tuple(maps)


class ConvNextModel(ConvNextTrunk):
    """The feature extractor: a map per stage and the normalised mean of the last."""

    def __init__(self, config: AnyConvNextConfig) -> None:
        super().__init__(config)
        self.layernorm = channel_norm(config.norm_type, config.hidden_sizes[-1], eps=config.layer_norm_eps)
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
        maps = self.stage_maps(pixel_values)
        wants_maps = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=maps[-1],
            pooler_output=self.layernorm(maps[-1].mean(dim=(2, 3))),
            hidden_states=maps if wants_maps else None,
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


class ConvNextForImageClassification(_ConvNext):
    """The feature extractor with a linear classifier on its pooled output; num_labels 0 hands the pooled output out."""

    base_class: ClassVar[type[ConvNextModel]] = ConvNextModel

    def __init__(self, config: AnyConvNextConfig) -> None:
        super().__init__(config)
        self.add_module(self.base_model_prefix, self.base_class(config))
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
        features = self.base_model(pixel_values, output_hidden_states, return_dict=True)
        logits = self.classifier(features.pooler_output)
        loss = None if labels is None else classification_loss(logits, labels, self.config)
        output = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=features.hidden_states)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


class ConvNextV2Model(ConvNextModel):
    """ConvNextModel of the second generation: global response normalisation in place of the layer scale."""

    config_class = ConvNextV2Config
    base_model_prefix = "convnextv2"


class ConvNextV2ForImageClassification(ConvNextForImageClassification):
    """ConvNextForImageClassification of the second generation."""

    config_class = ConvNextV2Config
    base_model_prefix = "convnextv2"
    base_class = ConvNextV2Model
