"""What every torch network here can do besides running: load, save, start values, recompute activations."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from regconv import hub
from regconv.checkpoint import (
    CONFIG_NAME,
    PREPROCESSOR_NAME,
    Weights,
    find_weights,
    read_tensors,
    write_checkpoint,
)
from regconv.configuration import ConvNextConfig, RegNetConfig
from regconv.errors import UnsupportedConfig
from regconv.name_check import Match, check_match, match_names

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)(i?)B", re.IGNORECASE)


class Network(nn.Module):
    """Base of the torch networks: a configuration, a checkpoint's names as module names, loading and saving.

    A new network is in training mode with start values, a loaded one in evaluation mode.
    """

    config_class: ClassVar[type[RegNetConfig] | type[ConvNextConfig]]
    base_model_prefix: ClassVar[str]
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    head_prefix = "classifier."

    def __init__(self, config: Any) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__} needs a {self.config_class.__name__}, got {type(config).__name__}")
        self.config: Any = config
        self.is_gradient_checkpointing = False

    def reset_module(self, module: nn.Module) -> None:
        """Gives one module its start values; torch's own where a family does not say otherwise."""
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()

    def initialise(self) -> None:
        """Start values for every parameter and statistic."""
        self.apply(self.reset_module)

    @property
    def base_model(self) -> nn.Module:
        """The network without its head; itself when it has none."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers training could change."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """From now on training keeps no activations inside layers, and computes them again on the way back.

        Gradients and batch-norm statistics are those of plain training. The argument is accepted for the sake of
        existing scripts; anything in it but use_reentrant raises TypeError.
        """
        unknown = set(gradient_checkpointing_kwargs or {}) - {"use_reentrant"}
        if unknown:
            raise TypeError(f"gradient_checkpointing_kwargs got {sorted(unknown)}, expected use_reentrant alone")
        self._set_gradient_checkpointing(True)

    def gradient_checkpointing_disable(self) -> None:
        """Plain training again."""
        self._set_gradient_checkpointing(False)

    def _set_gradient_checkpointing(self, on: bool) -> None:
        for module in self.modules():
            if isinstance(module, Network):
                module.is_gradient_checkpointing = on

    def through(self, layers: Iterable[nn.Module], x: Tensor) -> Tensor:
        """x after all layers in turn, recomputing on the way back where that is switched on."""
        recompute = self.is_gradient_checkpointing and self.training and torch.is_grad_enabled()
        for layer in layers:
            x = _recomputed(layer, x) if recompute else layer(x)
        return x

    def check_channels(self, pixel_values: Tensor) -> None:
        """Raises ValueError unless axis 1 of pixel_values has the configured number of channels."""
        if pixel_values.shape[1] != self.config.num_channels:
            raise ValueError(
                "Make sure that the channel dimension of the pixel values match with the one set in the configuration."
            )

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        *,
        config: RegNetConfig | ConvNextConfig | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        use_safetensors: bool | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The network of a folder or hub model, on the CPU, float32, in evaluation mode.

        dtype: another one, or "auto" for the stored one. Further keywords are huggingface_hub's (revision, cache_dir,
        token, local_files_only, force_download), then fields of the configuration; others raise TypeError. With
        output_loading_info: (network, {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}).
        Raises ModelNotFound, CheckpointError (damaged), WeightsMismatch (see regconv.name_check).
        """
        folder = hub.fetch_checkpoint(model, hub.HubOptions.take(kwargs), use_safetensors=use_safetensors)
        if config is None:
            config = cls.config_class.from_pretrained(folder, **kwargs)
        elif kwargs:
            raise TypeError(f"config is given, so {', '.join(sorted(kwargs))} must be set on it")
        weights = find_weights(folder, use_safetensors)
        network, match = cls._filled(config, weights, dtype or torch_dtype, ignore_mismatched_sizes)
        network.eval()
        return (network, match.loading_info()) if output_loading_info else network

    @classmethod
    def _filled(cls, config: Any, weights: Weights, dtype: Any, ignore_mismatched: bool) -> tuple[Network, Match]:
        tensors = read_tensors(weights)
        with torch.device("meta"):
            network = cls(config)
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        match = match_names(expected, found, cls.base_model_prefix + ".", cls.head_prefix)
        check_match(match, expected, cls.head_prefix, str(weights.paths[0]), ignore_mismatched=ignore_mismatched)
        network.to(_wanted_dtype(dtype, config, tensors))
        network.to_empty(device="cpu")
        if match.missing or match.mismatched:
            network.initialise()
        # Copied, not borrowed: tensors read from safetensors are views of the file, which may be replaced meanwhile.
        network.load_state_dict({name: tensors[source] for name, source in match.source.items()}, strict=False)
        return network, match

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        safe_serialization: bool = True,
        max_shard_size: int | str = "5GB",
        processor: Any = None,
    ) -> None:
        """Writes config.json, model.safetensors (or pytorch_model.bin) and the processor's file if one is given.

        Weights above max_shard_size are cut into shards with an index. An earlier checkpoint in the folder is replaced
        once everything is written; if that fails it stays, and CheckpointError is raised.
        """
        self.config.architectures = [type(self).__name__]
        self.config.dtype = self.dtype
        files = {CONFIG_NAME: self.config.to_json_string().encode()}
        if processor is not None:
            files[PREPROCESSOR_NAME] = processor.to_json_string().encode()
        shard_bytes = _bytes(max_shard_size)
        write_checkpoint(Path(folder), files, self.state_dict(), safe=safe_serialization, shard_bytes=shard_bytes)


def _wanted_dtype(dtype: Any, config: Any, tensors: dict[str, Tensor]) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype or "float32"
    if name == "auto":
        stored = next((str(tensor.dtype) for tensor in tensors.values() if tensor.is_floating_point()), "float32")
        name = config.dtype or stored
    found = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UnsupportedConfig(f"dtype got {name!r}, expected a floating-point dtype of torch or 'auto'")
    return found


def _bytes(size: int | str) -> int:
    if isinstance(size, int):
        return size
    parts = _SIZE.fullmatch(size.strip())
    if parts is None:
        raise ValueError(f"max_shard_size got {size!r}, expected bytes or a size such as '5GB' or '200MiB'")
    power = " KMG".index(parts[2].upper() or " ")
    return int(float(parts[1]) * (1024 if parts[3] else 1000) ** power)


def _recomputed(layer: nn.Module, x: Tensor) -> Tensor:
    return checkpoint(
        layer,
        x,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(layer)),
    )


@contextlib.contextmanager
def _statistics_kept(layer: nn.Module) -> Iterator[None]:
    """Inside, batch norms count the batch in copies of their statistics: it was counted on the way forward."""
    norms = [module for module in layer.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers()]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
