"""A training run from its folder to its checkpoint: what comes out, what is refused, what a kill costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import regconv
from regconv.checkpoint import find_weights
from regconv.checkpoint_reading import read_tensors
from regconv.errors import CheckpointError, TrainingError, UnsupportedConfig
from regconv.torch.training import TrainingRecipe, loop, recipe_of, train_folder

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {"blue sky": (40, 60, 200), "red brick": (190, 50, 40)}
Folders = Callable[..., Path]


@pytest.fixture
def class_folders(tmp_path: Path) -> Folders:
    """(pictures a class) -> a folder with two classes of coloured noise."""

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
def recipe(tiny_checkpoint: Any) -> Callable[..., TrainingRecipe]:
    """(family, **changes) -> a short recipe that starts from a tiny checkpoint."""

    def make(family: str = "regnet-y", **changes: Any) -> TrainingRecipe:
        values = {"epochs": 4, "size": 32, "batch_size": 8, "learning_rate": 2e-3, "val_share": 0.2}
        return TrainingRecipe(**({"start": str(tiny_checkpoint(family))} | values | changes))

    return make


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


KILLED = """
import sys, torch
torch.set_num_threads(1)
from regconv.torch.training import TrainingRecipe, train_folder
recipe = TrainingRecipe(**eval(sys.argv[3]))
for progress in train_folder(sys.argv[1], sys.argv[2], recipe, device="cpu", save_every_s=0):
    if progress.epoch:
        print(progress.done, flush=True)
"""


def test_a_killed_run_goes_on_and_ends_as_the_undisturbed_one(
    class_folders: Folders, recipe: Any, tmp_path: Path
) -> None:
    folder, asked = class_folders(), recipe("convnext", epochs=6)  # 2 steps an epoch
    run(folder, tmp_path / "undisturbed", asked)
    command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "killed"), repr(asked.as_dict())]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "5":  # in the middle of an epoch
            assert process.poll() is None
        process.kill()
    assert (tmp_path / "killed" / "training-state.pt").is_file()
    (tmp_path / "killed" / ".model.safetensors.1.partial").write_bytes(b"a kill while saving leaves such a file")
    steps = [progress.done for progress in train_folder(folder, tmp_path / "killed", asked, device="cpu")]
    assert 5 < steps[24] <= 9  # after the 24 files that are read again; some steps may run before the signal arrives
    assert_equal_weights(tmp_path / "killed", tmp_path / "undisturbed")
    assert len(list((tmp_path / "killed").iterdir())) == 4
    reports = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("killed", "undisturbed")]
    for report in reports:
        del report["seconds"], report["checkpoint"]
    assert reports[0] == reports[1]


def test_several_threads_also_go_on_bit_for_bit(class_folders: Folders, recipe: Any, tmp_path: Path) -> None:
    folder, asked = class_folders(24), recipe(batch_size=32, epochs=3)
    torch.set_num_threads(2)
    try:
        run(folder, tmp_path / "undisturbed", asked)
        stopped = train_folder(folder, tmp_path / "stopped", asked, device="cpu", save_every_s=0)
        while next(stopped).epoch < 2:
            pass
        stopped.close()  # type: ignore[attr-defined]
        assert torch.get_num_threads() == 2
        run(folder, tmp_path / "stopped", asked)
    finally:
        torch.set_num_threads(1)
    assert_equal_weights(tmp_path / "stopped", tmp_path / "undisturbed")


class TestRefused:
    def check(self, folder: Path, tmp_path: Path, recipe: Any, match: str, **options: Any) -> None:
        with pytest.raises(TrainingError, match=match):
            run(folder, tmp_path / "out", recipe(epochs=1), **options)
        assert not (tmp_path / "out").exists()

    def test_no_folder_no_classes_one_class(self, tmp_path: Path, recipe: Any) -> None:
        self.check(tmp_path / "nowhere", tmp_path, recipe, "nowhere is not a folder")
        (tmp_path / "empty").mkdir()
        self.check(tmp_path / "empty", tmp_path, recipe, "has no class folders")
        (tmp_path / "empty" / "cats").mkdir()
        self.check(tmp_path / "empty", tmp_path, recipe, r"has one class folder \(cats\): training needs two")

    def test_an_empty_class(self, class_folders: Folders, tmp_path: Path, recipe: Any) -> None:
        folder = class_folders(4)
        (folder / "void").mkdir()
        (folder / "void" / "notes.txt").write_text("no picture")
        self.check(folder, tmp_path, recipe, "class folder .*void has no pictures")

    def test_a_class_of_one_picture(self, class_folders: Folders, tmp_path: Path, recipe: Any) -> None:
        self.check(class_folders(1), tmp_path, recipe, "class blue sky has one picture")

    def test_a_class_of_which_nothing_can_be_read(self, class_folders: Folders, tmp_path: Path, recipe: Any) -> None:
        folder = class_folders(4)
        for path in (folder / "red brick").iterdir():
            path.write_bytes(path.read_bytes()[:40])
        self.check(folder, tmp_path, recipe, "no picture could be read of: red brick; the first failure: .*png")

    def test_classes_to_measure_that_were_not_trained(
        self, class_folders: Folders, tmp_path: Path, recipe: Any
    ) -> None:
        val = class_folders(2, "measured")
        (val / "green grass").mkdir()
        self.check(class_folders(4), tmp_path, recipe, "that the training folder has not: green grass", val=val)

    def test_a_picture_that_cannot_be_read_is_reported(
        self, class_folders: Folders, tmp_path: Path, recipe: Any
    ) -> None:
        folder = class_folders()
        (folder / "red brick" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        report = run(folder, tmp_path / "out", recipe(epochs=1))
        assert [Path(failure["path"]).name for failure in report["failed"]] == ["broken.png"]
        assert report["failed"][0]["reason"]
        assert report["trained_on"] + report["pictures"] == 24

    def test_an_earlier_checkpoint_is_not_overwritten(
        self, class_folders: Folders, tiny_checkpoint: Any, recipe: Any
    ) -> None:
        earlier = tiny_checkpoint("regnet-x")
        before = {path.name: path.read_bytes() for path in earlier.iterdir()}
        with pytest.raises(TrainingError, match="already holds a checkpoint"):
            run(class_folders(4), earlier, recipe(epochs=1))
        assert {path.name: path.read_bytes() for path in earlier.iterdir()} == before

    def test_the_state_of_another_run(self, class_folders: Folders, tmp_path: Path, recipe: Any) -> None:
        folder, asked = class_folders(), recipe()
        stopped = train_folder(folder, tmp_path / "out", asked, device="cpu", save_every_s=0)
        while next(stopped).epoch < 1:
            pass
        stopped.close()  # type: ignore[attr-defined]
        with pytest.raises(TrainingError, match="state of a run with other pictures, options or threads"):
            run(folder, tmp_path / "out", TrainingRecipe(**(asked.as_dict() | {"epochs": 5})))
        (tmp_path / "out" / "training-state.pt").write_bytes(b"rubbish")
        with pytest.raises(CheckpointError, match="is damaged, remove it to start again"):
            run(folder, tmp_path / "out", asked)

    @pytest.mark.parametrize(
        "change", [{"architecture": "vgg"}, {"epochs": 0}, {"size": 8}, {"batch_size": 1}, {"val_share": 1.0}]
    )
    def test_settings_without_sense(self, change: dict[str, Any]) -> None:
        with pytest.raises(UnsupportedConfig):
            TrainingRecipe(**change)


def test_a_full_disk_ends_the_run_and_what_was_saved_stays(
    class_folders: Folders, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked, out = class_folders(), recipe(), tmp_path / "out"
    steps = train_folder(folder, out, asked, device="cpu", save_every_s=0)
    while next(steps).epoch < 2:
        pass
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "training-state.pt"} <= kept.keys()

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(CheckpointError, match="No space left on device"):
            list(steps)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept
    run(folder, out, asked)
    run(folder, tmp_path / "undisturbed", asked)
    assert_equal_weights(out, tmp_path / "undisturbed")


def test_a_run_that_diverges_says_so(class_folders: Folders, recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step .*lower --lr"):
        run(class_folders(), tmp_path / "out", recipe("convnext", learning_rate=1e30, epochs=20))


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
