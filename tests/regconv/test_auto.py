"""Doors that read model_type."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

import regconv
from regconv import AutoBackbone, AutoModel, AutoModelForImageClassification, UnsupportedConfig, auto

FAMILIES = ["regnet-x", "convnext", "convnextv2"]
DOORS = {"Model": AutoModel, "ForImageClassification": AutoModelForImageClassification, "Backbone": AutoBackbone}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ending", DOORS)
def test_the_class_is_the_familys(family: str, ending: str, tiny_checkpoint: Any, tiny_config: Any) -> None:
    door = DOORS[ending]
    folder = tiny_checkpoint(family)
    expected = getattr(regconv, tiny_config(family).family + ending)
    network = door.from_pretrained(folder)
    assert type(network) is expected
    assert not network.training
    again, info = door.from_pretrained(folder, output_loading_info=True, hidden_act="tanh", local_files_only=True)
    assert again.config.hidden_act == "tanh"
    assert info["missing_keys"] == []
    given = door.from_pretrained(folder, config=network.config)
    assert given.config is network.config
    new = door.from_config(network.config)
    assert type(new) is expected
    assert new.training


def test_backbones_take_their_options(tiny_checkpoint: Any) -> None:
    network = AutoBackbone.from_pretrained(tiny_checkpoint("convnext"), out_features=["stage2"], stage_norms=True)
    assert network.out_features == ["stage2"]
    assert network.has_stage_norms
    assert AutoBackbone.from_config(network.config, stage_norms=True).has_stage_norms


def test_other_models_are_refused_with_a_list(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    with pytest.raises(
        UnsupportedConfig, match="model_type is 'resnet', this library has regnet, convnext, convnextv2"
    ):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(
        UnsupportedConfig, match=r"AutoModel got a dict with model_type None.*regnet, convnext, convnextv2"
    ):
        AutoModel.from_config({"model_type": "regnet"})
    with pytest.raises(TypeError, match=r"used through AutoBackbone\.from_pretrained"):
        AutoBackbone()


@pytest.mark.parametrize("framework", ["tensorflow", "flax"])
def test_other_frameworks_have_the_same_doors(framework: str, tiny_config: Any) -> None:
    pytest.importorskip(framework, reason=f"needs requirements-{'jax' if framework == 'flax' else framework}.txt")
    start = {"tensorflow": "TF", "flax": "Flax"}[framework]
    room = importlib.import_module(f"regconv.{framework}")
    for ending in ("Model", "ForImageClassification"):
        door = getattr(auto, f"{start}Auto{'Model' if ending == 'Model' else 'ModelForImageClassification'}")
        for family in FAMILIES:
            config = tiny_config(family)
            assert door.class_for(config) is getattr(room, start + config.family + ending)


def test_doors_load_no_framework_before_they_are_used() -> None:
    import subprocess
    import sys

    code = (
        "import sys, regconv; regconv.AutoModel, regconv.TFAutoModel, regconv.FlaxAutoModel; "
        "assert not {'torch', 'jax', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
