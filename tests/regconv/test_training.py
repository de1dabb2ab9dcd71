"""A training run from its folder to its checkpoint: what comes out, and that it comes out again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import regconv
from regconv.torch.training import TrainingRecipe, loop, recipe_of
from tests.regconv.training_runs import COLOURS, Folders, assert_equal_weights, run, tensors

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("family", ["regnet-x", "regnet-y", "convnext"])
def test_two_colours_are_learnt_and_the_result_is_a_checkpoint_for_all(
    family: str, class_folders: Folders, recipe: Any, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    out = tmp_path / "trained"
    asked = recipe(family, epochs=12, mix=0.3)
    report = run(class_folders(), out, asked, command="the command")
    assert (report["top1"], report["top5"], report["pictures"], report["trained_on"]) == (1.0, 1.0, 4, 20)
    assert (report["classes"], report["confused"], report["failed"]) == (2, [], [])
    assert (report["command"], report["recipe"]) == ("the command", asked.as_dict())
    assert json.loads((out / "training.json").read_text()) == report
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json", "training.json",
    ]  # fmt: skip
    config = json.loads((out / "config.json").read_text())
    assert config["id2label"] == {"0": "blue sky", "1": "red brick"}
    assert "regconv_note" not in config
    name = "ConvNext" if family == "convnext" else "RegNet"
    theirs, info = getattr(transformers, name + "ForImageClassification").from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    ours = getattr(regconv, name + "ForImageClassification").from_pretrained(out)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(x).logits, theirs(x).logits, atol=1e-5)
    backbone = regconv.load_backbone(str(out), "cpu")
    picture = regconv.prepare(tmp_path / "classes" / "red brick" / "03.png", backbone.description.recipe)
    assert backbone.description.labels[int(backbone.embed(picture[None]).labels[0, 0])] == "red brick"


def test_random_weights_by_architecture_and_a_folder_to_measure_on(class_folders: Folders, tmp_path: Path) -> None:
    recipe = TrainingRecipe(architecture="regnet-x-200mf", epochs=1, size=32, batch_size=8, half=True, bf16=True)
    train, val = class_folders(4), class_folders(3, "measured")
    report = run(train, tmp_path / "out", recipe, val=val)
    assert (report["trained_on"], report["pictures"], report["val"]) == (8, 6, str(val))
    stored = tensors(tmp_path / "out")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float16}
    network = regconv.RegNetForImageClassification.from_pretrained(tmp_path / "out")
    assert network.dtype == torch.float32
    assert network.config.hidden_sizes == [24, 56, 152, 368]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    class_folders: Folders, recipe: Any, tmp_path: Path
) -> None:
    folder, asked = class_folders(), recipe("convnext", epochs=2)  # its drop path draws random numbers too
    for name in ("one", "two"):
        run(folder, tmp_path / name, asked)
    assert_equal_weights(tmp_path / "one", tmp_path / "two")
    run(folder, tmp_path / "other", TrainingRecipe(**(asked.as_dict() | {"seed": 1})))
    assert not torch.equal(
        tensors(tmp_path / "one")["classifier.weight"], tensors(tmp_path / "other")["classifier.weight"]
    )


def test_a_head_for_other_labels_is_new_and_one_for_the_same_labels_stays(
    class_folders: Folders, recipe: Any, tiny_checkpoint: Any
) -> None:
    from regconv.torch.training.start import first_network

    labels = dict(enumerate(COLOURS))
    same = tiny_checkpoint("regnet-x", id2label=labels)
    other = tiny_checkpoint("regnet-x", id2label={0: "cat", 1: "dog"})
    old = tensors(same)
    kept = first_network(recipe(start=str(same)), labels)
    assert torch.equal(kept.classifier[1].weight, old["classifier.1.weight"])
    replaced = first_network(recipe(start=str(other)), labels)
    assert not torch.equal(replaced.classifier[1].weight, tensors(other)["classifier.1.weight"])
    body = "regnet.embedder.embedder.convolution.weight"
    assert torch.equal(replaced.state_dict()[body], tensors(other)[body])
    assert replaced.config.id2label == labels
    assert replaced.training


def test_the_size_is_that_of_the_checkpoint_unless_another_is_given(tiny_checkpoint: Any) -> None:
    start = str(tiny_checkpoint("regnet-x"))
    assert recipe_of(start=start, size=None, epochs=None) == TrainingRecipe(start=start, size=64)
    assert recipe_of(start=start, size=96).size == 96
    assert recipe_of(size=None) == TrainingRecipe()


def test_the_best_measurement_is_kept_and_not_the_last(
    class_folders: Folders, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    right = iter([1, 3, 2, 0])

    def logits(self: Any, network: Any) -> torch.Tensor:
        kept.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        hits = next(right, 3)
        labels = self.held.labels.clone()
        labels[hits:] = 1 - labels[hits:]
        return torch.nn.functional.one_hot(labels, 2).float()

    monkeypatch.setattr(loop._Run, "_held_logits", logits)
    report = run(class_folders(), tmp_path / "out", recipe())
    assert (report["best_epoch"], report["top1"]) == (2, 0.75)
    stored = tensors(tmp_path / "out")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in kept[1].items())


def test_the_command(class_folders: Folders, tiny_checkpoint: Any, tmp_path: Path) -> None:
    start = str(tiny_checkpoint("regnet-x"))
    command = [sys.executable, str(ROOT / "app.py"), "train", str(class_folders()), "--out", str(tmp_path / "out")]
    command += ["--from", start, "--epochs", "2", "--size", "32", "--batch-size", "8", "--seed", "3", "--device", "cpu"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["command"].startswith("python app.py train ")
    assert (report["recipe"]["start"], report["recipe"]["seed"], report["recipe"]["size"]) == (start, 3, 32)
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert again.returncode == 1
    assert "already holds a checkpoint" in again.stderr
    assert "Traceback" not in again.stderr
