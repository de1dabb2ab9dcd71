"""What the tests of training runs share: a run to its report, the weights that it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from regconv.checkpoint import find_weights
from regconv.checkpoint_reading import read_tensors
from regconv.torch.training import TrainingRecipe, train_folder

COLOURS = {"blue sky": (40, 60, 200), "red brick": (190, 50, 40)}
Folders = Callable[..., Path]


def run(folder: Path, out: Path, recipe: TrainingRecipe, **options: Any) -> dict[str, Any]:
    """The report."""
    *_, last = train_folder(folder, out, recipe, device="cpu", **options)
    assert last.report is not None
    return last.report


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return dict(read_tensors(find_weights(folder)))


def assert_equal_weights(one: Path, other: Path) -> None:
    expected = tensors(other)
    found = tensors(one)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
