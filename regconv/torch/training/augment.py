"""Training pictures made new each time: crops, turns, colours, erased parts, mixed pairs; a whole batch at once.

Random crops are Inception's (Szegedy et al. 2015), mixing is mixup (Zhang et al. 2018, arXiv 1710.09412) or CutMix (Yun
et al. 2019, arXiv 1905.04899). Every number is drawn from the generator that is given.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from regconv.torch.training.recipe import TrainingRecipe

_MAX_TURN = math.radians(20)
_MAX_SHEAR = 0.2
_CROP_SHAPE = math.log(4 / 3)  # width by height of crops, up and down
_COLOUR = 0.4  # how far brightness, contrast and saturation go from 1
_HUE = 0.25  # radians
_GREY_SHARE = 0.1
_GREY = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601
_ERASED = (0.02, 0.25)  # of the picture's area


def augmented(pixels: Tensor, aspects: Tensor, size: int, recipe: TrainingRecipe, generator: Generator) -> Tensor:
    """Float32 pictures (n, 3, size, size), values about 0 to 1, of squares uint8 (n, 3, side, side) and their aspects."""
    n = len(pixels)
    theta = _crops(aspects, recipe, generator)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    x = F.grid_sample(pixels.float().div_(255), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    x = _coloured(x, recipe.strength, generator)
    return _erased(x, recipe.erase, generator)


def mixed(x: Tensor, targets: Tensor, share: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pictures (n, c, h, w) and targets (n, k), in a share of calls mixed in pairs: blended, or a rectangle replaced."""
    if float(_uniform(generator)) >= share:
        return x, targets
    others = torch.randperm(len(x), generator=generator)
    if float(_uniform(generator)) < 0.5:
        kept = _beta(generator, 0.2)
        x = torch.lerp(x[others], x, kept)
    else:
        kept = _beta(generator, 1.0)
        height, width = x.shape[2:]
        top, bottom, left, right = _rectangle(height, width, (1 - kept) ** 0.5, (1 - kept) ** 0.5, generator)
        x = x.clone()
        x[:, :, top:bottom, left:right] = x[others, :, top:bottom, left:right]
        kept = 1 - (bottom - top) * (right - left) / (height * width)
    return x, torch.lerp(targets[others], targets, kept)


def _crops(aspects: Tensor, recipe: TrainingRecipe, generator: Generator) -> Tensor:
    """Affine maps (n, 2, 3) from the network's square to the stored square: crop, flip, turn and shear.

    Worked out in a picture's true shape, where x goes from -aspect to aspect and y from -1 to 1.
    """
    n = len(aspects)
    area = _uniform(generator, n, low=recipe.smallest_crop, high=1.0)
    shape = torch.exp(_uniform(generator, n, low=-_CROP_SHAPE, high=_CROP_SHAPE))
    half_width = torch.minimum((area * aspects * shape).sqrt(), aspects)
    half_height = (area * aspects / shape).sqrt().clamp(max=1.0)
    centre_x = (aspects - half_width) * _uniform(generator, n, low=-1.0, high=1.0)
    centre_y = (1 - half_height) * _uniform(generator, n, low=-1.0, high=1.0)
    flip = torch.where(_uniform(generator, n) < 0.5, -1.0, 1.0)
    # Half of the pictures keep upright: their straight lines tell classes apart.
    bent = recipe.strength * (_uniform(generator, n) < 0.5)
    turn = bent * _uniform(generator, n, low=-_MAX_TURN, high=_MAX_TURN)
    shear = bent * _uniform(generator, n, low=-_MAX_SHEAR, high=_MAX_SHEAR)
    cos, sin = turn.cos(), turn.sin()
    theta = torch.empty(n, 2, 3)
    theta[:, 0, 0] = cos * half_width * flip / aspects
    theta[:, 0, 1] = (shear * cos - sin) * half_height / aspects
    theta[:, 0, 2] = centre_x / aspects
    theta[:, 1, 0] = sin * half_width * flip
    theta[:, 1, 1] = (shear * sin + cos) * half_height
    theta[:, 1, 2] = centre_y
    return theta


def _coloured(x: Tensor, strength: float, generator: Generator) -> Tensor:
    """Other brightness, contrast, saturation and hue, some pictures in grey: one matrix and one offset a picture."""
    n = len(x)
    reach = _COLOUR * strength
    brightness, contrast, saturation = (_uniform(generator, n, 1, 1, low=1 - reach, high=1 + reach) for _ in range(3))
    saturation = torch.where(_uniform(generator, n, 1, 1) < _GREY_SHARE * min(1.0, strength), 0.0, saturation)
    angle = _uniform(generator, n, low=-_HUE * strength, high=_HUE * strength)
    matrix = brightness * contrast * (torch.lerp(_GREY.expand(3, 3), torch.eye(3), saturation) @ _turned_hue(angle))
    mean = matrix @ x.mean(dim=(2, 3)).unsqueeze(2)
    offset = mean * (1 - contrast) / contrast.clamp(min=0.1)
    return torch.baddbmm(offset, matrix, x.flatten(2)).view_as(x)


def _turned_hue(angle: Tensor) -> Tensor:
    """Matrices (n, 3, 3) that turn colours about the grey axis."""
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3**0.5
    return cos * torch.eye(3) + (1 - cos) / 3 + sin * cross


def _erased(x: Tensor, share: float, generator: Generator) -> Tensor:
    height, width = x.shape[2:]
    for row in (_uniform(generator, len(x)) < share).nonzero().flatten().tolist():
        area = float(_uniform(generator, low=_ERASED[0], high=_ERASED[1]))
        shape = math.exp(float(_uniform(generator, low=-1.0, high=1.0)))
        top, bottom, left, right = _rectangle(height, width, (area * shape) ** 0.5, (area / shape) ** 0.5, generator)
        x[row, :, top:bottom, left:right] = torch.rand(3, 1, 1, generator=generator)
    return x


def _rectangle(height: int, width: int, tall: float, wide: float, generator: Generator) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a rectangle with these shares of the sides, anywhere, cut off at the border."""
    centre_y = float(_uniform(generator)) * height
    centre_x = float(_uniform(generator)) * width
    half_y, half_x = tall * height / 2, wide * width / 2
    top, bottom = round(max(0.0, centre_y - half_y)), round(min(float(height), centre_y + half_y))
    left, right = round(max(0.0, centre_x - half_x)), round(min(float(width), centre_x + half_x))
    return top, bottom, left, right


def _beta(generator: Generator, alpha: float) -> float:
    # Gamma draws in torch take no generator, so the seed of NumPy's comes from ours.
    seed = int(torch.randint(2**31, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _uniform(generator: Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low
