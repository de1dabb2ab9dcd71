"""Training runs that are cut off: what a kill costs, what a full disk leaves, which state is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from regconv.errors import CheckpointError, TrainingError
from regconv.torch.training import TrainingRecipe, train_folder
from tests.regconv.training_runs import Folders, assert_equal_weights, run

ROOT = Path(__file__).resolve().parents[2]


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


def test_the_state_of_another_run(class_folders: Folders, tmp_path: Path, recipe: Any) -> None:
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
