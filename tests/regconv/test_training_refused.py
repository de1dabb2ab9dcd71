"""What no training run is started with, and what it says when it cannot go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regconv.errors import TrainingError, UnsupportedConfig
from regconv.torch.training import TrainingRecipe
from tests.regconv.training_runs import Folders, run


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

    @pytest.mark.parametrize(
        "change", [{"architecture": "vgg"}, {"epochs": 0}, {"size": 8}, {"batch_size": 1}, {"val_share": 1.0}]
    )
    def test_settings_without_sense(self, change: dict[str, Any]) -> None:
        with pytest.raises(UnsupportedConfig):
            TrainingRecipe(**change)


def test_a_run_that_diverges_says_so(class_folders: Folders, recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step .*lower --lr"):
        run(class_folders(), tmp_path / "out", recipe("convnext", learning_rate=1e30, epochs=20))
