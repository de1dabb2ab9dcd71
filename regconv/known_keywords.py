"""Keywords that scripts for the hub's older software give to from_pretrained and save_pretrained beyond our own.

Those that change nothing here are taken out; the rest is refused, with what to do instead. The names are those that
transformers 4.37 takes in its three frameworks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ANY = object()
_ONE_DEVICE = (
    "a network is loaded whole into this computer's memory: leave it out and move the network afterwards (.to(device))"
)
_NOT_QUANTISED = "weights are not quantised here: leave it out; dtype= takes half precision"
_NO_ATTENTION = "these networks have no attention: leave it out"
_BY_ITSELF = "names in the files are found by themselves: leave it out"

# Keyword -> the values that change nothing here (or any), and what to do instead of another.
_Known = dict[str, tuple[Any, str]]
_HUB: _Known = {
    "mirror": (_ANY, ""),
    "proxies": ((None, {}), "huggingface_hub takes them from the environment: set HTTPS_PROXY"),
    "resume_download": (_ANY, ""),
    "trust_remote_code": ((None, False), "code from a model's repository is never run here: leave it out"),
}
_NETWORK: _Known = {
    "_fast_init": (_ANY, ""),
    "adapter_kwargs": ((None, {}), "there are no adapters here: leave it out"),
    "attn_implementation": ((None, "eager"), _NO_ATTENTION),
    "device_map": ((None, "cpu", {"": "cpu"}), _ONE_DEVICE),
    "load_in_4bit": ((None, False), _NOT_QUANTISED),
    "load_in_8bit": ((None, False), _NOT_QUANTISED),
    "load_weight_prefix": ((None, ""), _BY_ITSELF),
    "low_cpu_mem_usage": (_ANY, ""),
    "max_memory": ((None, {}), _ONE_DEVICE),
    "offload_folder": ((None,), _ONE_DEVICE),
    "offload_state_dict": ((None, False), _ONE_DEVICE),
    "quantization_config": ((None,), _NOT_QUANTISED),
    "return_unused_kwargs": (
        (None, False),
        "it is an option of configurations: AutoConfig.from_pretrained(model, return_unused_kwargs=True, ...) gives "
        "(config, unused), and from_pretrained(model, config=config) takes the first",
    ),
    "state_dict": (
        (None,),
        "weights come from the model's files: make the network from its configuration, then fill it "
        "(torch: network.load_state_dict(state_dict))",
    ),
    "tf_to_pt_weight_rename": ((None,), _BY_ITSELF),
    "use_flash_attention_2": ((None, False), _NO_ATTENTION),
    "variant": (
        (None, ""),
        "it asks for files of other names: put such a file into a folder as model.safetensors, beside config.json, and "
        "give the folder; dtype= takes half precision",
    ),
}
_SAVING: _Known = {
    "save_function": ((None,), "files are written by this library, whole or not at all: leave it out"),
    "save_peft_format": (_ANY, ""),
    "saved_model": ((None, False), "network.export(folder) writes a SavedModel"),
    "signatures": ((None,), "network.export(folder) writes a SavedModel with its signature"),
    "state_dict": ((None,), "the network's own weights are saved: assign them first (Flax: give params=)"),
    "tags": ((None, []), "no model card is written here: leave it out"),
    "use_temp_dir": (_ANY, ""),
    "variant": ((None, ""), "files have the hub's plain names: leave it out and rename model.safetensors yourself"),
    "version": (_ANY, ""),
}


def take_hub_keywords(keywords: dict[str, Any]) -> None:
    """Removes from keywords of from_pretrained what concerns the hub and changes nothing; use_auth_token becomes token.

    Raises TypeError for values that ask for something else, ValueError for two different tokens.
    """
    _take(keywords, _HUB, "from_pretrained")
    _rename_token(keywords, "from_pretrained")


def take_network_keywords(keywords: dict[str, Any]) -> None:
    """Removes from keywords of from_pretrained what concerns loading weights and changes nothing; else TypeError."""
    _take(keywords, _NETWORK, "from_pretrained")


def take_saving_keywords(keywords: dict[str, Any]) -> None:
    """The same for keywords of save_pretrained, tokens included."""
    _take(keywords, _SAVING, "save_pretrained")
    _rename_token(keywords, "save_pretrained")


def _take(keywords: dict[str, Any], known: Mapping[str, tuple[Any, str]], function: str) -> None:
    for name in sorted(keywords.keys() & known.keys()):
        harmless, instead = known[name]
        value = keywords.pop(name)
        if harmless is not _ANY and not any(type(value) is type(one) and value == one for one in harmless):
            raise TypeError(f"{function} got {name}={_short(value)}: {instead}")


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | bool | int) else f"a {type(value).__name__}"
    return text if len(text) < 60 else text[:56] + "...'"


def _rename_token(keywords: dict[str, Any], function: str) -> None:
    older = keywords.pop("use_auth_token", None)
    if older is None:
        return
    if keywords.get("token") not in (None, older):
        raise ValueError(f"{function} got both token and use_auth_token, its older name: give token alone")
    keywords["token"] = older
