"""The reference engine: the torch network as it is, in float32, on the CPU or a CUDA device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regconv.torch.pretrained import Network


class EagerEngine:
    """Calls the network operation by operation.

    On CUDA the shortened TF32 multiplication is switched off: its errors, about 1e-3, are beyond what the name float32
    promises.
    """

    name = "eager"
    precision = "float32"

    def __init__(self, network: Network, device: torch.device) -> None:
        self.device = device
        # For the whole process and not per call: threads that switch it back and forth would undo one another.
        torch.backends.cudnn.allow_tf32 = False
        # Measured on 2 CPU cores: RegNetX-200MF 2.4 times as fast with the channels innermost, ConvNeXt tiny 1.1 times.
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Tensors by name: stem, stage1, … (n, c, h, w); pooled (n, d); logits (n, num_labels) if there is a head.

        pixels: normalised float32 (n, 3, h, w) on the engine's device.
        """
        with torch.inference_mode():
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            base: Any = self.network.base_model
            features = base(pixels, output_hidden_states=True, return_dict=True)
            names = ["stem", *(f"stage{number}" for number in range(1, len(features.hidden_states)))]
            tensors = dict(zip(names, features.hidden_states, strict=True))
            tensors["pooled"] = features.pooler_output.flatten(1)
            if base is not self.network:
                tensors["logits"] = self.network.classifier(features.pooler_output)
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
