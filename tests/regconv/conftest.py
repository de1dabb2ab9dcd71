"""Of this room alone: a hub on this machine; pictures and recipes to train with; and one thread, because these networks
are tiny and threads that wait for one another cost more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.regconv.hub_server import Hub, serving


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The hub of this test, at its own address, with an empty cache and nobody logged in."""
    from huggingface_hub import constants

    with serving(Hub(tmp_path / "hub")) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(variable, raising=False)
        yield served


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """(pictures a class) -> a folder with two classes of coloured noise."""

    from tests.regconv.training_runs import COLOURS

    def make(count: int = 12, name: str = "classes") -> Path:
        random = np.random.default_rng(0)
        for label, colour in COLOURS.items():
            (tmp_path / name / label).mkdir(parents=True)
            for number in range(count):
                noise = random.normal(colour, 25, (40, 48 + 2 * number, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noise).save(tmp_path / name / label / f"{number:02}.png")
        return tmp_path / name

    return make


@pytest.fixture
def recipe(tiny_checkpoint: Any) -> Callable[..., Any]:
    """(family, **changes) -> a short recipe that starts from a tiny checkpoint."""

    def make(family: str = "regnet-y", **changes: Any) -> Any:
        from regconv.torch.training import TrainingRecipe

        values = {"epochs": 4, "size": 32, "batch_size": 8, "learning_rate": 2e-3, "val_share": 0.2}
        return TrainingRecipe(**({"start": str(tiny_checkpoint(family))} | values | changes))

    return make
