"""The torch network as it is, on the CPU or a CUDA device: in float32 the reference, in half precision a quick one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regconv.torch.norms import SimpleNorm
from regconv.torch.pretrained import Network

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class EagerEngine:
    """Calls the network operation by operation.

    On CUDA the shortened TF32 multiplication is switched off: its errors, about 1e-3, are beyond what the name float32
    promises.

    In "bfloat16" and "float16" convolutions and linear layers compute in half, but for the classifier, whose logits
    would fall into ties. The norms keep their statistics and parameters in float32, and those over channels compute in
    it. float16 ends at 65504: a network whose maps go beyond gives values that are not finite.

    The engine takes the network over: it is moved, and in half precision its kernels are rounded for good. Raises
    ValueError for another precision.
    """

    name = "eager"

    def __init__(self, network: Network, device: torch.device, precision: str = "float32") -> None:
        if precision not in _DTYPES:
            raise ValueError(f"precision got {precision!r}, expected one of {', '.join(_DTYPES)}")
        self.device, self.precision = device, precision
        self._dtype = _DTYPES[precision]
        # For the whole process and not per call: threads that switch it back and forth would undo one another.
        torch.backends.cudnn.allow_tf32 = False
        # Measured on 2 CPU cores: RegNetX-200MF 2.4 times as fast with the channels innermost, ConvNeXt tiny 1.1 times.
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self._dtype != torch.float32:
            self._halve()

    def _halve(self) -> None:
        for module in self.network.base_model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Once and for all: autocast alone would cast every kernel anew for every batch.
                module.to(self._dtype)
            elif isinstance(module, nn.LayerNorm | nn.RMSNorm | SimpleNorm):
                # As autocast does on CUDA, for some of them and not on the CPU.
                module.register_forward_pre_hook(lambda _module, given: (given[0].float(),))

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Tensors by name: stem, stage1, … (n, c, h, w); pooled (n, d); logits (n, num_labels) if there is a head.

        All float32, whatever they were computed in. pixels: normalised float32 (n, 3, h, w) on the engine's device.
        """
        is_half = self._dtype != torch.float32
        base: Any = self.network.base_model
        with torch.inference_mode():
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self._dtype, enabled=is_half):
                features = base(pixels, output_hidden_states=True, return_dict=True)
            names = ["stem", *(f"stage{number}" for number in range(1, len(features.hidden_states)))]
            tensors = {name: one.float() for name, one in zip(names, features.hidden_states, strict=True)}
            pooled = features.pooler_output.float()
            tensors["pooled"] = pooled.flatten(1)
            if base is not self.network:
                tensors["logits"] = self.network.classifier(pooled)
        return tensors

    def provenance(self) -> dict[str, str]:
        """What computed the vectors, for the record kept with them."""
        is_cuda = self.device.type == "cuda"
        return {
            "engine": self.name,
            "precision": self.precision,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(self.device) if is_cuda else "cpu",
        }
