"""timm's RegNets and ConvNeXts: which of its architectures are the hub's networks, and what it calls their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from regconv.configuration import AnyConfig
from regconv.conversion.from_shapes import convnext_config, regnet_config, shapes_of
from regconv.conversion.naming import LEAF, Naming, with_prefix
from regconv.errors import UnsupportedConfig

_REGNET_BLOCK = r"s(?P<stage>\d+)\.b(?P<layer>\d+)\."
_LAYER = "encoder.stages.{stage}.layers.{layer}."
_CONV = r"\.(?P<part>conv|bn)" + LEAF
REGNET = Naming(
    rules=(
        (r"stem" + _CONV, "embedder.embedder.{part}.{leaf}"),
        (_REGNET_BLOCK + "conv1" + _CONV, _LAYER + "layer.0.{part}.{leaf}"),
        (_REGNET_BLOCK + "conv2" + _CONV, _LAYER + "layer.1.{part}.{leaf}"),
        (_REGNET_BLOCK + "conv3" + _CONV, _LAYER + "layer.{last}.{part}.{leaf}"),
        (_REGNET_BLOCK + "downsample" + _CONV, _LAYER + "shortcut.{part}.{leaf}"),
        (_REGNET_BLOCK + r"se\.fc1" + LEAF, _LAYER + "layer.2.attention.0.{leaf}"),
        (_REGNET_BLOCK + r"se\.fc2" + LEAF, _LAYER + "layer.2.attention.2.{leaf}"),
        (r"head\.fc" + LEAF, "classifier.1.{leaf}"),
    ),
    parts={"conv": "convolution", "bn": "normalization"},
    first_stage=1,
    first_layer=1,
)

_CONVNEXT_BLOCK = r"stages\.(?P<stage>\d+)\.blocks\.(?P<layer>\d+)\."
_CONVNEXT_STAGES: tuple[tuple[str, str], ...] = (
    (r"stages\.(?P<stage>\d+)\.downsample\.(?P<part>[01])" + LEAF, "encoder.stages.{stage}.downsampling_layer.{part}.{leaf}"),
    (_CONVNEXT_BLOCK + "conv_dw" + LEAF, _LAYER + "dwconv.{leaf}"),
    (_CONVNEXT_BLOCK + "norm" + LEAF, _LAYER + "layernorm.{leaf}"),
    (_CONVNEXT_BLOCK + r"mlp\.fc1" + LEAF, _LAYER + "pwconv1.{leaf}"),
    (_CONVNEXT_BLOCK + r"mlp\.fc2" + LEAF, _LAYER + "pwconv2.{leaf}"),
    (_CONVNEXT_BLOCK + r"mlp\.grn" + LEAF, _LAYER + "grn.{leaf}"),
    (_CONVNEXT_BLOCK + "gamma", _LAYER + "layer_scale_parameter"),
    (r"head\.norm" + LEAF, "layernorm.{leaf}"),
    (r"head\.fc" + LEAF, "classifier.{leaf}"),
)  # fmt: skip
# How timm numbers the stem: (convolutions, norm). An activation takes a number of its own.
_STEMS = {"patch": (("0",), "1"), "overlap": (("0", "1"), "2"), "overlap_tiered": (("0", "1"), "2"),
          "overlap_act": (("0", "2"), "3")}  # fmt: skip

REGNETS = (
    *(f"regnetx_{size}" for size in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")),
    *(f"regnety_{size}" for size in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320",
                                     "640", "1280", "2560")),
    "regnetx_004_tv", "regnety_008_tv", "regnety_080_tv",
)  # fmt: skip
# (stem_type, norm_type) where they aren't patches and layer norms.
CONVNEXTS: dict[str, tuple[str, str]] = {
    **{f"convnext_{size}": ("patch", "layer")
       for size in ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "xlarge")},
    **{f"convnext_{size}_ols": ("overlap_tiered", "layer") for size in ("atto", "femto", "pico")},
    "convnext_nano_ols": ("overlap", "layer"),
    "convnext_atto_rms": ("patch", "rms"),
    "convnext_zepto_rms": ("patch", "simple"),
    "convnext_zepto_rms_ols": ("overlap_act", "simple"),
    **{f"convnextv2_{size}": ("patch", "layer")
       for size in ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "huge")},
}  # fmt: skip
_REFUSED = {
    "convnext_tiny_hnf*": "it normalises before it takes the mean",
    "convnext_large_mlp*": "its head has a hidden layer",
    "convnext_xxlarge*": "its norms have an eps of 1e-5, which the hub's configuration can't say",
    "test_convnext*": "its norms have an eps of 1e-5, which the hub's configuration can't say",
    "regnety_040_sgn*": "it has group norms in place of batch norms",
    "regnetv_*": "its norms and activations come before the convolutions",
    "regnetz_*": "its bottlenecks are wider than its stages",
}
# What a model's own arguments may change without making another network; widths and depths are in the tensors.
_HARMLESS = {
    "num_classes", "in_chans", "depths", "dims", "conv_mlp", "drop_rate", "drop_path_rate", "ls_init_value", "use_grn",
    "head_init_scale", "zero_init_last", "stem_width", "depth", "w0", "wa", "wm", "group_size", "pretrained", "scriptable",
}  # fmt: skip


def convert_timm(model: str | Mapping[str, Any], tensors: Mapping[str, Any]) -> tuple[AnyConfig, dict[str, Any]]:
    """The configuration and the tensors by hub names of one of timm's RegNets or ConvNeXts.

    model: its name, as "convnext_atto_ols.a2_in1k" ("timm/" before and the tag are ignored), or the values of timm's
    config.json. tensors: its state dict, torch's or NumPy's; without a head the result has none.
    Raises UnsupportedConfig for an architecture that is another network, WeightsMismatch for other tensors.
    """
    name = model if isinstance(model, str) else architecture_of(model)
    name = name.removeprefix("timm/").partition(".")[0]
    if name in REGNETS:
        named = REGNET.hub_tensors(tensors, name)
        config: AnyConfig = regnet_config(shapes_of(named))
        return config, with_prefix(named, config.model_type)
    if name not in CONVNEXTS:
        raise UnsupportedConfig(_refusal(name))
    stem_type, norm_type = CONVNEXTS[name]
    named = _convnext_naming(stem_type).hub_tensors(tensors, name)
    _complete_last_norm(named)
    config = convnext_config(shapes_of(named), stem_type=stem_type, norm_type=norm_type)
    return config, with_prefix(named, config.model_type)


def architecture_of(values: Mapping[str, Any]) -> str:
    """The architecture that timm's config.json names. Raises UnsupportedConfig where it was changed, or is not there."""
    name = values.get("architecture")
    if not isinstance(name, str):
        raise UnsupportedConfig("config.json names no architecture: it is not timm's")
    changed = dict(values.get("model_args") or {})
    for pool in (changed.pop("global_pool", None), values.get("global_pool")):
        if pool not in ("avg", "", None):
            raise UnsupportedConfig(f"{name} pools by {pool!r}, the networks here take the mean")
    if unknown := sorted(set(changed) - _HARMLESS):
        raise UnsupportedConfig(f"{name} was made with {', '.join(unknown)}, which may make it another network")
    return name


def _refusal(name: str) -> str:
    reason = next((reason for pattern, reason in _REFUSED.items() if fnmatch(name, pattern)), None)
    if reason is not None:
        return f"timm's {name} is another network than the hub's: {reason}"
    return f"timm's {name} is not known here; these are: {', '.join((*REGNETS, *CONVNEXTS))}"


def _convnext_naming(stem_type: str) -> Naming:
    convs, norm = _STEMS[stem_type]
    numbers = [""] if len(convs) == 1 else [f".{index}" for index in range(len(convs))]
    stem = [
        (rf"stem\.{conv}" + LEAF, "embeddings.patch_embeddings" + number + ".{leaf}")
        for conv, number in zip(convs, numbers, strict=True)
    ]
    return Naming((*stem, (rf"stem\.{norm}" + LEAF, "embeddings.layernorm.{leaf}"), *_CONVNEXT_STAGES))


def _complete_last_norm(named: dict[str, Any]) -> None:
    """Checkpoints of masked pretraining have no last norm: as in timm it then has its start values."""
    if any(name.startswith(("layernorm.", "classifier.")) for name in named):
        return
    widths = [tensor for name, tensor in named.items() if name.endswith("pwconv2.bias")]
    if widths:
        zeros = widths[-1] * 0
        named["layernorm.weight"] = zeros + 1
        if "embeddings.layernorm.bias" in named:
            named["layernorm.bias"] = zeros
