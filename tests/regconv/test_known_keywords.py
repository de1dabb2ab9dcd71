"""Keywords of the hub's older software: what changes nothing is taken at every door, the rest is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import regconv
from regconv import hub
from regconv.known_keywords import take_network_keywords

DOORS = {
    "": ("RegNetForImageClassification", "RegNetBackbone", "AutoModelForImageClassification", "AutoBackbone"),
    "tensorflow": ("TFRegNetForImageClassification", "TFAutoModel"),
    "flax": ("FlaxRegNetForImageClassification", "FlaxAutoModel"),
}
CONFIGS = ("RegNetConfig", "AutoConfig")
PROCESSORS = ("ConvNextImageProcessor", "AutoImageProcessor")
HARMLESS_OF_THE_HUB = {
    "mirror": "x", "proxies": None, "resume_download": True, "trust_remote_code": False, "use_auth_token": None,
}  # fmt: skip
HARMLESS = HARMLESS_OF_THE_HUB | {
    "low_cpu_mem_usage": True, "device_map": None, "variant": None, "state_dict": None, "_fast_init": False,
    "load_in_8bit": False, "attn_implementation": "eager", "quantization_config": None, "max_memory": None,
    "offload_folder": None,
}  # fmt: skip


def doors() -> list[Any]:
    found = []
    for framework, names in DOORS.items():
        marks = [] if not framework else [pytest.mark.skipif(not installed(framework), reason=f"needs {framework}")]
        found += [pytest.param(name, marks=marks, id=name) for name in names]
    return found


def installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


@pytest.mark.parametrize("door", doors())
def test_what_changes_nothing_is_taken_and_the_rest_refused(tiny_checkpoint: Callable[..., Path], door: str) -> None:
    folder, kind = tiny_checkpoint("regnet-x", depths=[1, 1, 1]), getattr(regconv, door)
    config = kind.from_pretrained(folder, **HARMLESS).config
    assert not HARMLESS.keys() & vars(config).keys()
    with pytest.raises(TypeError, match=r"from_pretrained got device_map='auto': .*\.to\(device\)"):
        kind.from_pretrained(folder, device_map="auto")
    with pytest.raises(TypeError, match="return_unused_kwargs=True: it is an option of configurations: AutoConfig"):
        kind.from_pretrained(folder, return_unused_kwargs=True, num_labels=7)
    with pytest.raises(TypeError, match="has no field low_cpu_memory_usage"):
        kind.from_pretrained(folder, low_cpu_memory_usage=True)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trust_remote_code": True}, "from_pretrained got trust_remote_code=True: code from a model's repository"),
        ({"proxies": {"https": "a"}}, "from_pretrained got proxies=a dict: .* set HTTPS_PROXY"),
        ({"variant": "fp16"}, "got variant='fp16': it asks for files of other names: put such a file into a folder as"),
        ({"state_dict": {}}, "got state_dict=a dict: weights come from the model's files: .*load_state_dict"),
        ({"load_in_8bit": True}, "got load_in_8bit=True: weights are not quantised here"),
        ({"max_memory": {0: "1GB"}}, "got max_memory=a dict: a network is loaded whole"),
        ({"attn_implementation": "sdpa"}, "got attn_implementation='sdpa': these networks have no attention"),
        ({"device_map": 0}, "got device_map=0: a network is loaded whole"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    tiny_checkpoint: Callable[..., Path], keywords: dict[str, Any], message: str
) -> None:
    folder = tiny_checkpoint("regnet-x")
    for kind in (regconv.RegNetModel, regconv.AutoModel, regconv.RegNetConfig, regconv.AutoConfig):
        with pytest.raises(TypeError, match=message):
            kind.from_pretrained(folder, **keywords)


def test_configurations_hand_back_what_is_the_networks(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint("regnet-x")
    for name in CONFIGS:
        kind = getattr(regconv, name)
        assert kind.from_pretrained(folder, **HARMLESS) == kind.from_pretrained(folder)
        config, unused = kind.from_pretrained(
            folder, return_unused_kwargs=True, device_map="auto", resume_download=True
        )
        assert (config.model_type, unused) == ("regnet", {"device_map": "auto"})


def test_processors_take_what_concerns_the_hub(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint("regnet-x")
    for name in PROCESSORS:
        assert getattr(regconv, name).from_pretrained(folder, **HARMLESS_OF_THE_HUB).size == {"shortest_edge": 64}
        with pytest.raises(TypeError, match="trust_remote_code=True"):
            getattr(regconv, name).from_pretrained(folder, trust_remote_code=True)
    file = folder / "preprocessor_config.json"
    assert regconv.ConvNextImageProcessor.from_pretrained(file, resume_download=True).size == {"shortest_edge": 64}


def test_the_older_name_of_the_token() -> None:
    keywords: dict[str, Any] = {"use_auth_token": "hf_x", "depths": [1]}
    assert hub.HubOptions.take(keywords).token == "hf_x"
    assert keywords == {"depths": [1]}
    assert hub.HubOptions.take({"use_auth_token": True, "token": True}).token is True
    with pytest.raises(ValueError, match="both token and use_auth_token, its older name: give token alone"):
        hub.HubOptions.take({"use_auth_token": "hf_x", "token": "hf_y"})


def test_true_is_not_taken_for_one() -> None:
    with pytest.raises(TypeError, match="load_in_4bit=0"):
        take_network_keywords({"load_in_4bit": 0})


SAVING = {
    "save_peft_format": True, "tags": None, "token": None, "use_auth_token": None, "use_temp_dir": True,
    "variant": None, "create_pr": False, "private": None, "repo_id": None, "version": 1,
}  # fmt: skip


@pytest.mark.parametrize("framework", DOORS)
def test_saving_takes_what_changes_nothing(tiny_config: Callable[..., Any], tmp_path: Path, framework: str) -> None:
    if framework:
        pytest.importorskip(framework)
    network = getattr(regconv, DOORS[framework][0])(tiny_config("regnet-x", depths=[1, 1, 1]))
    network.save_pretrained(tmp_path / "other", is_main_process=False)
    assert not (tmp_path / "other").exists()
    network.save_pretrained(tmp_path / "main", is_main_process=True, **SAVING)
    assert sorted(path.name for path in (tmp_path / "main").iterdir()) == ["config.json", "model.safetensors"]
    with pytest.raises(TypeError, match="save_pretrained got variant='fp16': files have the hub's plain names"):
        network.save_pretrained(tmp_path / "other", variant="fp16")
    with pytest.raises(TypeError, match=r"save_pretrained got saved_model=True: network\.export"):
        network.save_pretrained(tmp_path / "other", saved_model=True)
    with pytest.raises(TypeError, match="unknown keywords: max_shard; with push_to_hub=True it also has commit_desc"):
        network.save_pretrained(tmp_path / "other", max_shard=1)
    with pytest.raises(TypeError, match="save_pretrained got token, without push_to_hub=True"):
        network.save_pretrained(tmp_path / "other", token="hf_x")
    if framework:
        with pytest.raises(TypeError, match="state_dict=a dict: the network's own weights are saved"):
            network.save_pretrained(tmp_path / "other", state_dict={})
    assert not (tmp_path / "other").exists()


def test_configurations_and_processors_take_what_changes_nothing(
    tiny_config: Callable[..., Any], tmp_path: Path
) -> None:
    tiny_config("regnet-x").save_pretrained(tmp_path, **SAVING)
    regconv.ConvNextImageProcessor().save_pretrained(tmp_path, **SAVING)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_state_dict_is_saved_in_place_of_the_networks_own(tiny_config: Callable[..., Any], tmp_path: Path) -> None:
    network = regconv.RegNetModel(tiny_config("regnet-x"))
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in network.state_dict().items()
    }
    name = "embedder.embedder.convolution.weight"
    state[name] = torch.ones_like(state[name])
    network.save_pretrained(tmp_path, state_dict=state, save_function=print)  # never called for safetensors
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[name], state[name]) for name in state)
    assert regconv.RegNetModel.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    kept = (tmp_path / "model.safetensors").read_bytes()
    for changed, message in (
        ({"new": torch.ones(2)}, r"1 tensors that do not fit this RegNetModel, among them new: \(2,\) given, none exp"),
        ({name: torch.ones(2)}, r"weight: \(2,\) given, \(8, 3, 3, 3\) expected"),
    ):
        with pytest.raises(ValueError, match=message):
            network.save_pretrained(tmp_path, state_dict=state | changed)
    with pytest.raises(ValueError, match="none given"):
        network.save_pretrained(tmp_path, state_dict={})
    with pytest.raises(ValueError, match="save_function is given, but files are written whole"):
        network.save_pretrained(tmp_path, safe_serialization=False, save_function=print)
    assert (tmp_path / "model.safetensors").read_bytes() == kept
