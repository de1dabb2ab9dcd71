"""What every torch network here can do besides running: load, save, start values, recompute activations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from regconv import loading
from regconv.checkpoint import Weights
from regconv.checkpoint_reading import stored_dtype
from regconv.configuration import AnyConfig
from regconv.errors import UnsupportedConfig
from regconv.name_check import Match


class Network(loading.Pushable, nn.Module):
    """Base of the torch networks: a configuration, a checkpoint's names as module names, loading and saving.

    A new network is in training mode with start values, a loaded one in evaluation mode.
    """

    config_class: ClassVar[type[AnyConfig]]
    base_model_prefix: ClassVar[str]
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    head_prefix = "classifier."
    spare_names: ClassVar[tuple[str, ...]] = ()  # how names begin that a file or the network may have alone

    def __init__(self, config: Any) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__} needs a {self.config_class.__name__}, got {type(config).__name__}")
        self.config: Any = config
        # Older configurations say it themselves.
        self.is_gradient_checkpointing = bool(getattr(config, "gradient_checkpointing", False))

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
        """The dtype of the first parameter, as all have it unless single layers were cast."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the first parameter lies, and with it the whole network unless it was spread over devices."""
        return next(self.parameters()).device

    @classmethod
    def can_generate(cls) -> bool:
        """Whether it writes texts: what older software asks before it looks for such a network's settings."""
        return False

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
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: AnyConfig | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        use_safetensors: bool | None = None,
        from_pt: bool = False,
        from_tf: bool = False,
        from_flax: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The network of a folder or hub model, on the CPU, float32, in evaluation mode.

        Weights may be PyTorch's, TensorFlow's or Flax's; from_pt, from_tf, from_flax take those of one only.
        dtype: another one, or "auto" for the stored one. Further keywords are huggingface_hub's (revision, cache_dir,
        token, local_files_only, force_download), then fields of the configuration; those of other software are taken
        where they change nothing here (regconv.known_keywords), others raise TypeError. With
        output_loading_info: (network, {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}).
        Raises ModelNotFound, CheckpointError (damaged), WeightsMismatch (see regconv.name_check).
        """
        choices = cls.take_choices(kwargs)
        config, weights = loading.open_checkpoint(
            cls.config_class,
            pretrained_model_name_or_path,
            config=config,
            use_safetensors=use_safetensors,
            from_pt=from_pt,
            from_tf=from_tf,
            from_flax=from_flax,
            keywords=kwargs,
        )
        network, match = cls._filled(config, weights, dtype or torch_dtype, ignore_mismatched_sizes, choices)
        network.eval()
        return (network, match.loading_info()) if output_loading_info else network

    @classmethod
    def take_choices(cls, keywords: dict[str, Any]) -> dict[str, Any]:
        """What `built_for` wants to know beside the configuration; it is removed from `keywords`."""
        return {}

    @classmethod
    def built_for(cls, weights: Weights, config: Any, choices: dict[str, Any]) -> Network:
        """The network that these weights are to fill."""
        return cls(config)

    @classmethod
    def _filled(
        cls, config: Any, weights: Weights, dtype: Any, ignore_mismatched: bool, choices: dict[str, Any]
    ) -> tuple[Network, Match]:
        with torch.device("meta"):
            network = cls.built_for(weights, config, choices)
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        match = loading.match_checkpoint(
            expected,
            weights,
            cls.base_model_prefix + ".",
            cls.head_prefix,
            ignore_mismatched_sizes=ignore_mismatched,
            spare=cls.spare_names,
        )
        network.to(_wanted_dtype(dtype, config, weights))
        network.to_empty(device="cpu")
        for module in {name.rpartition(".")[0]: None for name in expected if name not in match.source}:
            network.reset_module(network.get_submodule(module))
        own = network.state_dict()
        # Tensor by tensor: the network is the only thing in memory of its own size.
        for name, tensor in loading.matched_tensors(match, weights):
            own[name].copy_(tensor)
            del tensor
        return network, match

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        save_function: Any = None,
        safe_serialization: bool = True,
        max_shard_size: int | str = "5GB",
        processor: Any = None,
        push_to_hub: bool = False,
        **push_options: Any,
    ) -> None:
        """Writes config.json, model.safetensors (or pytorch_model.bin) and the processor's file if one is given.

        Weights above max_shard_size are cut into shards with an index. Earlier weights of these kinds in the folder are
        replaced once everything is written; if that fails they stay, and CheckpointError is raised. TensorFlow's and
        Flax's own files stay in any case; only from_tf and from_flax read them then. push_to_hub: afterwards the files
        go to the hub as well, as repo_id or else the folder's name; further keywords as in `push_to_hub`.

        is_main_process=False writes nothing: for the other processes of a distributed training. state_dict: tensors to
        save in place of the network's own, of the same names and shapes (ValueError). save_function: taken for the
        sake of existing scripts, as safetensors are written without it; for pickles it can only be torch.save.
        """
        if not safe_serialization and save_function not in (None, torch.save):
            raise ValueError(
                "save_function is given, but files are written whole or not at all, by this library: leave it out"
            )
        if not is_main_process:
            return
        tensors = self.state_dict() if state_dict is None else self._checked_state(state_dict)
        loading.save_checkpoint(
            save_directory,
            self.config,
            type(self).__name__,
            next(tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()),
            tensors,
            processor=processor,
            safe_serialization=safe_serialization,
            max_shard_size=max_shard_size,
            push_to_hub=push_to_hub,
            **push_options,
        )

    def _checked_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        given = {name: tuple(tensor.shape) for name, tensor in state.items()}
        wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        if wrong:
            name = wrong[0]
            raise ValueError(
                f"state_dict has {len(wrong)} tensors that do not fit this {type(self).__name__}, among them {name}: "
                f"{given.get(name, 'none')} given, {own.get(name, 'none')} expected; give all that state_dict() has"
            )
        return {name: state[name] for name in own}


def _wanted_dtype(dtype: Any, config: Any, weights: Weights) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype or "float32"
    if name == "auto":
        name = config.dtype or stored_dtype(weights)
    found = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UnsupportedConfig(f"dtype got {name!r}, expected a floating-point dtype of torch or 'auto'")
    return found


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
