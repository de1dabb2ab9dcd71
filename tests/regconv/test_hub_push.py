"""Pushing to a hub on this machine: what arrives is what was saved, and it loads back by name."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

import regconv
from regconv import (
    CheckpointError,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    RegNetConfig,
    RegNetForImageClassification,
    RegNetModel,
)
from tests.regconv.hub_server import READER, WRITER, Hub

# huggingface_hub's own call of its HTTP library, for every large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "someone/pushed"


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(
    ("family", "kind", "saving"),
    [
        ("regnet-y", RegNetForImageClassification, {}),
        ("regnet-x", RegNetModel, {"max_shard_size": 8000}),
        ("convnext", ConvNextForImageClassification, {"safe_serialization": False}),
    ],
)
def test_a_network_comes_back_by_name(
    hub: Hub, family: str, kind: Any, saving: dict[str, Any], tiny_checkpoint: Any, tmp_path: Path
) -> None:
    network = kind.from_pretrained(tiny_checkpoint(family))
    commit = network.push_to_hub(NAME, token=WRITER, **saving)
    assert commit.commit_url.startswith(f"{hub.endpoint}/{NAME}/commit/")
    again, info = kind.from_pretrained(NAME, output_loading_info=True)
    assert same_weights(network, again)
    assert not any(info.values())
    network.save_pretrained(tmp_path / "here", **saving)
    assert hub.files(NAME) == {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert hub.messages == [f"Upload {kind.__name__}"]
    assert hub.private[NAME] is False
    posted = {token for request, token in zip(hub.requests, hub.tokens, strict=True) if request.startswith("POST")}
    assert posted == {f"Bearer {WRITER}"}


@pytest.mark.parametrize(
    ("kind", "saving", "weights"),
    [
        ("TFRegNetForImageClassification", {}, "model.safetensors"),
        ("FlaxRegNetForImageClassification", {"max_shard_size": 8000}, "model.safetensors.index.json"),
        ("FlaxRegNetForImageClassification", {"safe_serialization": False}, "flax_model.msgpack"),
    ],
)
def test_what_other_frameworks_push_comes_to_torch(
    hub: Hub, kind: str, saving: dict[str, Any], weights: str, tiny_checkpoint: Any, tmp_path: Path
) -> None:
    package, requirements = ("flax", "jax") if kind.startswith("Flax") else ("tensorflow", "tensorflow")
    pytest.importorskip(package, reason=f"needs requirements-{requirements}.txt")
    folder = tiny_checkpoint("regnet-y")
    network = getattr(regconv, kind).from_pretrained(folder)
    network.push_to_hub(NAME, token=WRITER, **saving)
    assert weights in hub.files(NAME)
    assert hub.messages == [f"Upload {kind}"]
    pushed, info = RegNetForImageClassification.from_pretrained(NAME, output_loading_info=True)
    original, arrived = RegNetForImageClassification.from_pretrained(folder).state_dict(), pushed.state_dict()
    counters = {key for key in original if key.endswith("num_batches_tracked")}  # torch's alone
    assert all(torch.equal(arrived[key], original[key]) for key in original.keys() - counters)
    assert counters.issuperset(info["missing_keys"])
    network.save_pretrained(tmp_path / "new", push_to_hub=True, repo_id="someone/saved", token=WRITER, **saving)
    assert hub.files("someone/saved").keys() == hub.files(NAME).keys()
    with pytest.raises(CheckpointError, match="may not write there"):
        network.push_to_hub(NAME, token=READER)


def test_configuration_and_processor_and_network_share_a_repository(hub: Hub, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    network = RegNetForImageClassification.from_pretrained(folder)
    ConvNextImageProcessor.from_pretrained(folder).push_to_hub(NAME, token=WRITER)
    network.config.push_to_hub(NAME, token=WRITER, commit_message="Its configuration", private=True)
    network.push_to_hub(NAME, token=WRITER)
    assert hub.files(NAME).keys() == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert hub.messages == ["Upload ConvNextImageProcessor", "Its configuration", "Upload RegNetForImageClassification"]
    assert ConvNextImageProcessor.from_pretrained(NAME).size == {"shortest_edge": 64}
    assert RegNetConfig.from_pretrained(NAME) == network.config
    assert hub.private[NAME] is False  # it was there already
    network.config.push_to_hub("someone/hidden", token=WRITER, private=True)
    assert hub.private["someone/hidden"] is True


def test_a_later_push_leaves_no_older_weights_behind(hub: Hub, tiny_checkpoint: Any) -> None:
    network = RegNetForImageClassification.from_pretrained(tiny_checkpoint("regnet-y"))
    network.push_to_hub(NAME, token=WRITER)
    (hub.folder(NAME, "main") / "README.md").write_text("a card")
    for saving in ({"max_shard_size": 8000}, {"safe_serialization": False}, {}):
        with torch.no_grad():
            network.classifier[1].bias += 1
        network.push_to_hub(NAME, token=WRITER, **saving)
        assert same_weights(network, RegNetForImageClassification.from_pretrained(NAME))
    assert hub.files(NAME).keys() == {"config.json", "model.safetensors", "README.md"}


def test_other_frameworks_files_stay_unless_they_would_be_read_instead(hub: Hub, tiny_checkpoint: Any) -> None:
    pytest.importorskip("flax", reason="needs requirements-jax.txt")
    folder = tiny_checkpoint("regnet-x", depths=[1, 1, 1])
    network = RegNetForImageClassification.from_pretrained(folder)
    network.config.push_to_hub(NAME, token=WRITER)
    older = {"tf_model.h5": b"older", "flax_model.msgpack": b"older"}
    for name, content in older.items():
        (hub.folder(NAME, "main") / name).write_bytes(content)
    network.push_to_hub(NAME, token=WRITER)
    assert hub.files(NAME).items() >= older.items()
    assert same_weights(network, RegNetForImageClassification.from_pretrained(NAME))
    flax = regconv.FlaxRegNetForImageClassification.from_pretrained(folder)
    flax.push_to_hub(NAME, token=WRITER, safe_serialization=False)
    assert hub.files(NAME).keys() == {"config.json", "flax_model.msgpack"}
    arrived = RegNetForImageClassification.from_pretrained(NAME).state_dict()
    assert torch.equal(arrived["classifier.1.weight"], network.state_dict()["classifier.1.weight"])


def test_branches_and_pull_requests(hub: Hub, tiny_checkpoint: Any) -> None:
    network = RegNetModel.from_pretrained(tiny_checkpoint("regnet-y"))
    network.push_to_hub(NAME, token=WRITER, revision="v2")
    network.push_to_hub(NAME, token=WRITER, revision="v2", commit_message="again")
    assert hub.files(NAME) == {}
    assert same_weights(network, RegNetModel.from_pretrained(NAME, revision="v2"))
    commit = network.push_to_hub(NAME, token=WRITER, create_pr=True)
    assert commit.pr_url == f"{hub.endpoint}/{NAME}/discussions/1"
    assert hub.files(NAME) == {}
    assert same_weights(network, RegNetModel.from_pretrained(NAME, revision="refs/pr/1"))


def test_saving_can_push_what_it_saved_and_nothing_else(hub: Hub, tiny_checkpoint: Any, tmp_path: Path) -> None:
    folder = tiny_checkpoint("regnet-y")
    network = RegNetForImageClassification.from_pretrained(folder)
    target = tmp_path / "pushed"
    target.mkdir()
    (target / "diary.txt").write_text("mine")
    processor = ConvNextImageProcessor.from_pretrained(folder)
    network.save_pretrained(target, push_to_hub=True, token=WRITER, processor=processor)  # the folder's name
    assert hub.files(NAME).keys() == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert (target / "model.safetensors").read_bytes() == hub.files(NAME)["model.safetensors"]
    network.config.save_pretrained(target, push_to_hub=True, repo_id="someone/config", token=WRITER)
    processor.save_pretrained(target, push_to_hub=True, repo_id="someone/processor", token=WRITER)
    assert hub.files("someone/config").keys() == {"config.json"}
    assert hub.files("someone/processor").keys() == {"preprocessor_config.json"}


@pytest.mark.parametrize("what", ["network", "config", "processor"])
def test_keywords_without_a_meaning_are_refused_before_anything_is_written(
    hub: Hub, what: str, tiny_checkpoint: Any, tmp_path: Path
) -> None:
    folder = tiny_checkpoint("regnet-y")
    network = RegNetModel.from_pretrained(folder)
    processor = ConvNextImageProcessor.from_pretrained(folder)
    saved = {"network": network, "config": network.config, "processor": processor}[what]
    with pytest.raises(TypeError, match=r"repo_id, without push_to_hub=True"):
        saved.save_pretrained(tmp_path / "new", repo_id=NAME)
    with pytest.raises(TypeError, match=r"unknown keywords: privat;"):
        saved.save_pretrained(tmp_path / "new", push_to_hub=True, privat=True)
    assert not (tmp_path / "new").exists()
    assert hub.requests == []


def test_a_stored_token_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITER)
    RegNetConfig().push_to_hub(NAME)
    assert json.loads(hub.files(NAME)["config.json"])["model_type"] == "regnet"


@pytest.mark.parametrize(
    ("repo_id", "options", "message"),
    [
        (NAME, {}, r"cannot be pushed without a token: give token=, set HF_TOKEN, or log in"),
        (NAME, {"token": False}, "cannot be pushed without a token"),
        (NAME, {"token": "hf_forged"}, "does not know the token"),
        (NAME, {"token": READER}, "may not write there: give one with write access"),
        ("no/such/name", {"token": WRITER}, "no valid repository name"),
        (NAME, {"token": WRITER, "create_pr": True, "revision": "v2"}, "create_pr=True"),
    ],
)
def test_what_cannot_be_pushed_says_why(hub: Hub, repo_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        RegNetConfig().push_to_hub(repo_id, **options)
    assert repo_id in str(caught.value)
    assert hub.messages == []


def test_a_hub_out_of_reach(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"pushed to the hub http://127\.0\.0\.1:9: it could not be reached"):
        RegNetConfig().push_to_hub(NAME, token=WRITER)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="offline mode is on: unset HF_HUB_OFFLINE"):
        RegNetConfig().push_to_hub(NAME, token=WRITER)
