"""Shared by every room: tiny configurations, lively weights, tiny checkpoints in the hub's layout."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regconv.configuration import CONFIGS, AnyConfig

TINY: dict[str, dict[str, Any]] = {
    "regnet-x": {"embedding_size": 8, "hidden_sizes": [16, 24, 40], "depths": [1, 2, 1], "groups_width": 8, "layer_type": "x"},
    "regnet-y": {"embedding_size": 10, "hidden_sizes": [14, 18, 22], "depths": [1, 2, 1], "groups_width": 9, "layer_type": "y"},
    "convnext": {"hidden_sizes": [8, 12, 20], "depths": [1, 2, 1], "num_stages": 3, "drop_path_rate": 0.2},
    "convnextv2": {"hidden_sizes": [8, 12, 20], "depths": [1, 2, 1], "num_stages": 3, "drop_path_rate": 0.2},
}  # fmt: skip
PREPROCESSOR: dict[str, Any] = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "ConvNextImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 64},
}


def _complete_torchvision() -> None:
    """Names the operators that torchvision's own library would bring: it does not load beside a torch for the CPU.

    Without them torchvision cannot be imported, and so neither can timm, nor transformers where torchvision is there.
    """
    import torch

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)


_KEPT: list[Any] = []  # a library's operators go with it
if importlib.util.find_spec("torchvision"):
    _complete_torchvision()


# A shell that puts the tests in the background lets them ignore Ctrl-C, and every process that they start with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _tiny_config(family: str, **changes: Any) -> AnyConfig:
    kind = CONFIGS[family.split("-")[0]]
    labels = {} if "id2label" in changes else {"num_labels": 7}
    return kind(**(labels | TINY[family] | changes))


def _lively_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights under which every part of a network shows: a fresh network's layer scale of 1e-6 hides nearly all.

    Norms' scales, layer scales and variances 0.5 to 1.5, kernels by He's rule, nothing zero.
    """
    random = np.random.default_rng(seed)

    def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("num_batches_tracked"):
            return np.array(3, np.int64)
        if name.endswith(("running_mean", "bias")):
            drawn = random.normal(0.0, 0.3, shape)
        elif len(shape) <= 1 or name.endswith("grn.weight"):
            drawn = random.uniform(0.5, 1.5, shape)
        else:
            drawn = random.normal(0.0, (2.0 / np.prod(shape[1:])) ** 0.5, shape)
        return np.asarray(drawn, np.float32)

    return {name: values(name, tuple(shape)) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., AnyConfig]:
    """(family, **changes) -> a small configuration; families: regnet-x, regnet-y, convnext, convnextv2."""
    return _tiny_config


@pytest.fixture(scope="session")
def lively_tensors() -> Callable[..., dict[str, np.ndarray]]:
    """(name -> shape, seed) -> name -> array; see _lively_tensors."""
    return _lively_tensors


@pytest.fixture(scope="session")
def enlivened() -> Callable[..., Any]:
    """(torch network, seed) -> the same network with lively weights, in evaluation mode."""

    def enliven(network: Any, seed: int = 0) -> Any:
        import torch

        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        tensors = {name: torch.from_numpy(array) for name, array in _lively_tensors(shapes, seed).items()}
        network.load_state_dict(tensors)
        return network.eval()

    return enliven


@pytest.fixture
def tiny_checkpoint(tmp_path: Path, enlivened: Callable[..., Any]) -> Callable[..., Path]:
    """(family, head=True, preprocessor={}, **config changes) -> a folder in the hub's layout with lively weights."""
    made = iter(range(1_000_000))

    def make(family: str, *, head: bool = True, preprocessor: dict[str, Any] | None = None, **changes: Any) -> Path:
        from regconv import torch as networks

        config = _tiny_config(family, **changes)
        name = config.family + ("ForImageClassification" if head else "Model")
        folder = tmp_path / f"{family}-{next(made)}"
        enlivened(getattr(networks, name)(config)).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | (preprocessor or {})))
        return folder

    return make
