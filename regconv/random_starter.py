"""The model that needs no download: a small RegNetX with seeded random weights, written once into the user's cache.

Its labels mean nothing and say so. Its vectors do tell pictures apart, because batch norms are set by what the layers
see of drawn pictures: colours, gradients, noise of all scales, edges.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from regconv.checkpoint import CONFIG_NAME, PREPROCESSOR_NAME, write_files
from regconv.configuration import RegNetConfig
from regconv.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from regconv.torch import RegNetForImageClassification

NOTE = "Random weights: this network has not been trained, its labels mean nothing and its neighbours are rough."
_NAME = "starter-random-v1"
_SEED = 20_240_607
_LABELS = 10
_PICTURES = 48
_PICTURE_SIDE = 96
_BRANCH_STRENGTH = 0.3
_BLUR = 4.0
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # ImageNet's, as in the hub's RegNet files
_PREPROCESSOR = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": _MEAN,
    "image_processor_type": "ConvNextImageProcessor",
    "image_std": _STD,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 128},
}


def folder() -> Path:
    """The checkpoint folder, made on the first call. Raises CheckpointError when the cache cannot be written."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regconv"
    target = cache / _NAME
    if (target / CONFIG_NAME).is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{_NAME}-", dir=cache))
    except OSError as error:
        raise CheckpointError(f"no place for the starter model: {cache} cannot be written ({error})") from error
    try:
        network().save_pretrained(made)
        write_files(made, {PREPROCESSOR_NAME: (json.dumps(_PREPROCESSOR, indent=2, sort_keys=True) + "\n").encode()})
        made.chmod(0o755)
        made.replace(target)
    except OSError as error:
        # Another program may have finished the same folder meanwhile.
        if not (target / CONFIG_NAME).is_file():
            raise CheckpointError(f"the starter model could not be written to {target}: {error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def network() -> RegNetForImageClassification:
    """RegNetX-200MF with seeded weights, float32, in evaluation mode; the same on every call."""
    import torch

    from regconv.torch import RegNetForImageClassification

    config = RegNetConfig(
        hidden_sizes=[24, 56, 152, 368],
        depths=[1, 1, 4, 7],
        groups_width=8,
        layer_type="x",
        id2label={index: f"random label {index + 1}" for index in range(_LABELS)},
        regconv_note=NOTE,
    )
    generator = torch.Generator().manual_seed(_SEED)
    with torch.device("meta"):
        model = RegNetForImageClassification(config)
    model = model.to_empty(device="cpu")
    # In float64, so that the order of additions, which differs between machines, vanishes when rounded to float32.
    model.double()
    _draw_weights(model, generator)
    _settle_norms(model, _pictures(generator))
    return model.float().eval()


def _draw_weights(model: torch.nn.Module, generator: torch.Generator) -> None:
    import torch
    from torch import nn

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, fan_in**-0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        # Deep random layers magnify differences of a single grey level: a copy saved as JPEG would be a stranger. Weak
        # branches and kernels with some blur in them keep copies close (measured: see tests/regconv/test_starter.py).
        for name, module in model.named_modules():
            if name.endswith("layer.2.normalization"):
                module.weight.fill_(_BRANCH_STRENGTH)
            if name.endswith("layer.1.convolution"):
                module.weight.add_(_BLUR * module.weight.mean(dim=(2, 3), keepdim=True))


def _settle_norms(model: torch.nn.Module, pictures: Tensor) -> None:
    import torch
    from torch import nn

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of all batches, here of one
    with torch.no_grad():
        model.train()(pictures)
    for norm in norms:
        norm.momentum = 0.1


def _pictures(generator: torch.Generator) -> Tensor:
    """Normalised float64 (n, 3, side, side): noise of several scales, tinted, with a gradient and a hard edge."""
    import torch
    from torch.nn import functional as F

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    n, side = _PICTURES, _PICTURE_SIDE
    pictures = draw(n, 3, 1, 1).repeat(1, 1, side, side)
    for cells in (2, 4, 8, 16, 32, 96):
        noise = F.interpolate(draw(n, 3, cells, cells) - 0.5, size=(side, side), mode="bilinear", align_corners=False)
        pictures += noise * draw(n, 1, 1, 1) * (2.0 / cells**0.5)
    ramp = torch.linspace(-1.0, 1.0, side, dtype=torch.float64)
    across = ramp.view(1, 1, 1, -1) * (draw(n, 1, 1, 1) - 0.5) + ramp.view(1, 1, -1, 1) * (draw(n, 1, 1, 1) - 0.5)
    pictures += across * draw(n, 3, 1, 1)
    edge = (across + 0.4 * (draw(n, 1, 1, 1) - 0.5) > 0).double()
    pictures = (pictures + edge * 1.2 * (draw(n, 3, 1, 1) - 0.5)).clamp(0.0, 1.0)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (pictures - mean) / std
