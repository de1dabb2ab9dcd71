"""The starter by its name, through every door that takes a model's name, offline and with an empty cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import regconv
from regconv import ModelNotFound, RegNetModel

FOLDER = Path(regconv.__file__).parent / "starter"
LABELS = 101
DOORS = (
    "AutoConfig", "RegNetConfig", "AutoImageProcessor", "ConvNextImageProcessor",
    "AutoModel", "AutoModelForImageClassification", "AutoBackbone", "RegNetModel", "RegNetForImageClassification",
    "TFAutoModel", "TFAutoModelForImageClassification", "TFRegNetModel", "TFRegNetForImageClassification",
    "FlaxAutoModel", "FlaxAutoModelForImageClassification", "FlaxRegNetModel", "FlaxRegNetForImageClassification",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asks the hub fails."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", DOORS)
def test_every_door_opens_it(name: str) -> None:
    for start, package, requirements in (("TF", "tensorflow", "tensorflow"), ("Flax", "flax", "jax")):
        if name.startswith(start):
            pytest.importorskip(package, reason=f"needs requirements-{requirements}.txt")
    made = getattr(regconv, name).from_pretrained("starter")
    if "Processor" in name:
        assert made.to_dict() == regconv.AutoImageProcessor.from_pretrained(FOLDER).to_dict()
    else:
        config = made if "Config" in name else made.config
        assert (config.model_type, config.num_labels) == ("regnet", LABELS)


def test_a_folder_of_that_name_with_a_model_is_meant_first(tiny_checkpoint: Any, tmp_path: Path) -> None:
    (tmp_path / "starter").mkdir()  # pictures, say
    assert RegNetModel.from_pretrained("starter").config.num_labels == LABELS
    shutil.copytree(tiny_checkpoint("regnet-y"), tmp_path / "starter", dirs_exist_ok=True)
    assert RegNetModel.from_pretrained("starter").config.num_labels == 7


def test_a_path_is_never_the_name(tmp_path: Path) -> None:
    (tmp_path / "starter").mkdir()
    for path in (Path("starter"), "./starter"):
        with pytest.raises(ModelNotFound, match=r"the folder starter holds no config\.json"):
            RegNetModel.from_pretrained(path)


@pytest.mark.parametrize("look", ["describe", "AutoImageProcessor", "ConvNextImageProcessor"])
def test_a_folder_without_preprocessing_says_how_to_write_it(look: str, tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    (folder / "preprocessor_config.json").unlink()
    ask = regconv.describe if look == "describe" else getattr(regconv, look).from_pretrained
    with pytest.raises(ModelNotFound) as caught:
        ask(str(folder))
    text = str(caught.value)
    assert text.startswith(f"the folder {folder} holds no preprocessor_config.json. ")
    advice = f"ConvNextImageProcessor(size=..., crop_pct=...).save_pretrained({str(folder)!r})"
    assert advice in text
    eval("regconv." + advice.replace("size=...", "size=64").replace("crop_pct=...", "crop_pct=0.875"))  # as it says
    assert ask(str(folder)) is not None
