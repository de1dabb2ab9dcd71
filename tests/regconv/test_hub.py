"""Models by name, against a small server on this machine that answers as the hub does."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

import regconv
from regconv import (
    ModelNotFound,
    RegNetConfig,
    RegNetForImageClassification,
    RegNetModel,
    describe,
)
from regconv.hub import fetch_checkpoint
from tests.regconv.hub_server import Hub

NAME = "someone/tiny-regnet"
OLDER_SOFTWARE = Path(__file__).parents[1] / "golden" / "older_software"
URL = "/{repo_id}/resolve/{revision}/{filename}"


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_model_is_fetched_once_and_then_taken_from_the_cache(hub: Hub, tiny_checkpoint: Any, tmp_path: Path) -> None:
    folder = tiny_checkpoint("regnet-y")
    hub.add(NAME, "main", folder)
    network = RegNetForImageClassification.from_pretrained(NAME)
    assert same_weights(network, RegNetForImageClassification.from_pretrained(folder))
    assert "GET model.safetensors" in hub.requests
    assert (tmp_path / "hub-cache").is_dir()
    hub.requests.clear()
    RegNetForImageClassification.from_pretrained(NAME)
    assert not [request for request in hub.requests if request.startswith("GET")]
    assert RegNetConfig.from_pretrained(NAME).hidden_sizes == [14, 18, 22]


def test_only_what_is_needed_is_fetched(hub: Hub, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    for other in ("tf_model.h5", "pytorch_model.bin", "README.md"):
        (folder / other).write_bytes(b"large")
    hub.add(NAME, "main", folder)
    fetch_checkpoint(NAME)
    fetched = sorted(request for request in hub.requests if request.startswith("GET"))
    assert fetched == ["GET config.json", "GET model.safetensors", "GET preprocessor_config.json"]


@pytest.mark.parametrize(
    "layout",
    [
        {"safe_serialization": False},
        {"max_shard_size": 8000},
        {"max_shard_size": 8000, "safe_serialization": False},
    ],
)
def test_pickled_and_sharded_models(hub: Hub, layout: dict[str, Any], tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    network = RegNetModel.from_pretrained(folder)
    network.save_pretrained(folder, **layout)
    hub.add(NAME, "main", folder)
    assert same_weights(network, RegNetModel.from_pretrained(NAME))


@pytest.mark.parametrize("name", ["tf-regnet-y-h5", "tf-regnet-y-sharded-h5", "flax-regnet-y-sharded-msgpack"])
def test_models_that_only_other_frameworks_saved(hub: Hub, name: str) -> None:
    hub.add(NAME, "main", OLDER_SOFTWARE / name)
    network = RegNetForImageClassification.from_pretrained(NAME)
    assert same_weights(network, RegNetForImageClassification.from_pretrained(OLDER_SOFTWARE / name))
    flag = {f"from_{name.split('-')[0]}": True}
    assert same_weights(network, RegNetForImageClassification.from_pretrained(NAME, **flag))
    with pytest.raises(ModelNotFound, match=r"but no weights of 'pt' \(model\.safetensors"):
        RegNetForImageClassification.from_pretrained(NAME, from_pt=True)


def test_one_framework_s_weights_are_fetched_beside_another_s(hub: Hub, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    for file in (OLDER_SOFTWARE / "tf-regnet-y-h5").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    hub.add(NAME, "main", folder)
    network = RegNetForImageClassification.from_pretrained(NAME, from_tf=True)
    assert same_weights(network, RegNetForImageClassification.from_pretrained(OLDER_SOFTWARE / "tf-regnet-y-h5"))
    assert "GET model.safetensors" not in hub.requests


def test_force_download_fetches_again(hub: Hub, tiny_checkpoint: Any) -> None:
    hub.add(NAME, "main", tiny_checkpoint("regnet-y"))
    RegNetModel.from_pretrained(NAME)
    hub.requests.clear()
    RegNetModel.from_pretrained(NAME)
    assert "GET model.safetensors" not in hub.requests
    RegNetModel.from_pretrained(NAME, force_download=True)
    assert "GET model.safetensors" in hub.requests
    assert "GET config.json" in hub.requests


DOORS = (
    "RegNetConfig", "AutoConfig", "ConvNextImageProcessor", "AutoImageProcessor", "RegNetModel", "AutoModel",
    "AutoBackbone", "TFRegNetModel", "TFAutoModelForImageClassification", "FlaxRegNetModel", "FlaxAutoModel",
)  # fmt: skip


@pytest.mark.parametrize("name", DOORS)
def test_every_door_takes_the_hub_s_options(hub: Hub, name: str, tiny_checkpoint: Any, tmp_path: Path) -> None:
    for start, package, requirements in (("TF", "tensorflow", "tensorflow"), ("Flax", "flax", "jax")):
        if name.startswith(start):
            pytest.importorskip(package, reason=f"needs requirements-{requirements}.txt")
    door = getattr(regconv, name)
    hub.add(NAME, "v2", tiny_checkpoint("regnet-y"))
    options = {"revision": "v2", "cache_dir": tmp_path / "elsewhere", "token": "hf_secret"}
    with pytest.raises(ModelNotFound, match="offline"):
        door.from_pretrained(NAME, **options, local_files_only=True)
    assert hub.requests == []
    assert door.from_pretrained(NAME, **options, force_download=True) is not None
    assert set(hub.tokens) == {"Bearer hf_secret"}
    hub.requests.clear()
    assert door.from_pretrained(NAME, **options, local_files_only=True) is not None
    assert hub.requests == []
    assert not (tmp_path / "hub-cache").exists()


def test_revisions_cache_folders_and_tokens_go_through(hub: Hub, tiny_checkpoint: Any, tmp_path: Path) -> None:
    hub.add(NAME, "main", tiny_checkpoint("regnet-y"))
    hub.add(NAME, "v2", tiny_checkpoint("regnet-y", num_labels=3))
    options = {"cache_dir": tmp_path / "elsewhere", "token": "hf_secret"}
    assert RegNetForImageClassification.from_pretrained(NAME, revision="v2", **options).config.num_labels == 3
    assert RegNetForImageClassification.from_pretrained(NAME, **options).config.num_labels == 7
    assert (tmp_path / "elsewhere").is_dir()
    assert not (tmp_path / "hub-cache").exists()
    assert set(hub.tokens) == {"Bearer hf_secret"}


def test_all_files_come_from_one_commit_also_when_the_model_changes_meanwhile(hub: Hub, tiny_checkpoint: Any) -> None:
    before, after = tiny_checkpoint("regnet-y"), tiny_checkpoint("regnet-y", num_labels=3)
    hub.add(NAME, "main", before)
    hub.after_config = lambda: hub.add(NAME, "main", after)
    network = RegNetForImageClassification.from_pretrained(NAME)
    assert same_weights(network, RegNetForImageClassification.from_pretrained(before))
    assert RegNetForImageClassification.from_pretrained(NAME).config.num_labels == 3


def test_offline_the_cache_serves_and_the_hub_is_left_alone(
    hub: Hub, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, "main", tiny_checkpoint("regnet-y"))
    network = RegNetModel.from_pretrained(NAME)
    hub.requests.clear()
    assert same_weights(network, RegNetModel.from_pretrained(NAME, local_files_only=True))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same_weights(network, RegNetModel.from_pretrained(NAME))
    with pytest.raises(ModelNotFound, match=r"(?s)'someone/other'.*cache .*\(offline\) was asked.*starter") as caught:
        RegNetModel.from_pretrained("someone/other")
    assert isinstance(caught.value, OSError)
    assert hub.requests == []


def test_describe_asks_the_hub_only_for_what_is_not_cached(hub: Hub, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    hub.add(NAME, "main", folder)
    first = describe(NAME)
    hub.requests.clear()
    assert describe(NAME) == first
    assert hub.requests == []
    assert first.name == NAME
    assert first.space == describe(str(folder)).space


def test_a_cache_without_the_preprocessor_is_completed(hub: Hub, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    hub.add(NAME, "main", folder)
    kept = (folder / "preprocessor_config.json").rename(folder / "later")
    fetch_checkpoint(NAME)
    with pytest.raises(ModelNotFound, match=r"preprocessor_config\.json"):
        describe(NAME)
    kept.rename(folder / "preprocessor_config.json")
    assert describe(NAME).recipe.size == 64


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("someone/unknown", {}, "it knows no such model"),
        (NAME, {"revision": "v9"}, "it knows no such revision"),
        ("no/such/folder", {}, "no valid model name"),
        ("/no/such/folder", {}, "no valid model name"),
    ],
)
def test_what_cannot_be_had_says_what_was_tried(
    hub: Hub, model: str, options: dict[str, Any], message: str, tiny_checkpoint: Any
) -> None:
    hub.add(NAME, "main", tiny_checkpoint("regnet-y"))
    with pytest.raises(ModelNotFound) as caught:
        RegNetModel.from_pretrained(model, **options)
    text = str(caught.value)
    assert message in text
    assert f"the hub {hub.endpoint} was asked" in text
    assert "there is no folder of that name" in text
    assert "--model starter" in text


def test_a_model_without_weights_or_config(hub: Hub, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    hub.add(NAME, "main", folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="but no weights"):
        RegNetModel.from_pretrained(NAME)
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"it has no config\.json"):
        RegNetModel.from_pretrained("someone/tiny-regnet", force_download=True)


@pytest.mark.parametrize("name", ["RegNetModel", "AutoModel", "AutoConfig", "AutoImageProcessor"])
def test_a_hub_that_does_not_answer(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9" + URL)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("huggingface_hub tries again, for 23 s in all"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    with pytest.raises(ModelNotFound, match=r"not in the cache and the Hugging Face hub can't be reached \(.*starter"):
        getattr(regconv, name).from_pretrained(NAME)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_hub_that_no_longer_answers_leaves_what_is_in_the_cache(
    hub: Hub, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, "main", tiny_checkpoint("regnet-y"))
    network = RegNetModel.from_pretrained(NAME)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9" + URL)
    assert same_weights(network, RegNetModel.from_pretrained(NAME))


@pytest.mark.parametrize("missing", ["model.safetensors", "preprocessor_config.json"])
def test_half_a_model_in_the_cache_and_no_hub(
    missing: str, hub: Hub, tiny_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_checkpoint("regnet-y")
    hub.add(NAME, "main", folder)
    kept = (folder / missing).rename(folder / "later")
    if missing == "model.safetensors":
        RegNetConfig.from_pretrained(NAME)
    else:
        RegNetModel.from_pretrained(NAME)
    kept.rename(folder / missing)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9" + URL)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("huggingface_hub tries again, for 23 s in all"))
    if missing == "model.safetensors":
        with pytest.raises(
            ModelNotFound, match=r"model\.safetensors is not in the cache and the Hugging Face hub can't"
        ):
            RegNetModel.from_pretrained(NAME)
    else:
        assert same_weights(RegNetModel.from_pretrained(NAME), RegNetModel.from_pretrained(folder))


def test_the_environment_is_respected(hub: Hub, tiny_checkpoint: Any, tmp_path: Path) -> None:
    hub.add(NAME, "main", tiny_checkpoint("regnet-y"))
    code = f"import json, regconv; print(json.dumps(regconv.describe({NAME!r}).space))"
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def space(offline: str) -> str:
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment | {"HF_HUB_OFFLINE": offline},
            capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False,
        )  # fmt: skip
        return json.loads(run.stdout) if run.returncode == 0 else run.stderr

    assert "(offline) was asked" in space("1")
    online = space("0")
    assert len(online) == 64
    hub.requests.clear()
    assert space("1") == online
    assert hub.requests == []
