"""`why` and `channels` as commands: the documents, the words, the pictures written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import app

Run = Any


@pytest.fixture
def run(library_folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """(arguments, expect=0, at=the indexed library) -> (stdout, stderr) of a command."""

    def run_one(*arguments: str | Path, expect: int = 0, at: Path = library_folder) -> tuple[str, str]:
        code = app.main([*map(str, arguments), "--library", str(at), "--device", "cpu"])
        out, err = capfd.readouterr()
        assert code == expect, err
        return out, err

    return run_one


def document(run: Run, *arguments: str | Path, **options: Any) -> dict[str, Any]:
    return json.loads(run(*arguments, "--json", **options)[0])


def test_why_gives_numbers_that_sum_and_a_picture_for_each_part(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    found = document(run, "why", photo_folder / "coffee.jpg", photo_folder / "rocket.jpg", "--out", out)
    assert found["part"] == "stage4"
    assert found["stored_cosine"] == pytest.approx(found["cosine"], abs=1e-3)
    assert [part["part"] for part in found["maps"]] == ["stage1", "stage2", "stage3", "stage4"]
    assert found["cosine"] == found["maps"][-1]["cosine"]
    for part in found["maps"]:
        for name, constant, shape in zip(("first", "second"), part["constants"], part["cells"], strict=True):
            assert np.shape(part[name]) == tuple(shape)
            assert np.sum(part[name]) + constant == pytest.approx(part["cosine"], abs=1e-5)
        (row, column), share = part["matches"][0]["cell"], part["matches"][0]["share"]
        assert share == pytest.approx(np.max(part["first"]), abs=1e-9)
        assert part["first"][row][column] == pytest.approx(share, abs=1e-9)
    assert found["pictures"] == [str(out / f"stage{number}.png") for number in (1, 2, 3, 4)]
    for picture in found["pictures"]:
        with Image.open(picture) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")


def test_why_of_one_cell_of_one_part_in_words(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    arguments = (photo_folder / "coffee.jpg", photo_folder / "coffee-again.jpg", "--out", tmp_path)
    out, _ = run("why", *arguments, "--part", "stage3", "--cell", "4,2")
    assert out.startswith("stage3   0.9")
    assert "  (as stored 0.9" in out
    assert "  4,2 adds +0." in out
    assert {path.name for path in tmp_path.iterdir()} == {"stage3.png", "stage3-cell-4-2.png"}


def test_why_without_a_library_needs_a_model_alone(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    arguments = ("why", photo_folder / "coffee.jpg", photo_folder / "moon.jpg", "--out", tmp_path, "--model", "starter")
    found = document(run, *arguments, "--part", "stage4", at=tmp_path / "none")
    assert found["stored_cosine"] is None
    assert not (tmp_path / "none").exists()


def test_why_refuses_what_it_cannot_explain(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    cat, out = photo_folder / "chelsea.jpg", tmp_path / "out"
    for words, arguments, code in (
        ("no part 'pooled' in this network. It has stage1", (cat, cat, "--part", "pooled"), 1),
        ("no cell 9,9 in stage4", (cat, cat, "--cell", "9,9"), 1),
        ("the file ends early", (cat, photo_folder / "broken.jpg"), 1),
        ("'middle' is no cell", (cat, cat, "--cell", "middle"), 2),
        ("Missing argument", (cat,), 2),
    ):
        _, err = run("why", *arguments, "--out", out, expect=code)
        assert words in err
    assert not out.exists()


def test_channels_of_a_picture_and_photos_of_a_channel(run: Run, photo_folder: Path) -> None:
    moon = photo_folder / "moon.jpg"
    strongest = document(run, "channels", moon, "--by", "unusual", "-k", "3")
    assert (strongest["stage"], strongest["path"], len(strongest["channels"])) == ("stage4", str(moon), 3)
    assert strongest["channels"][0]["higher_than"] == 1.0
    channel = strongest["channels"][0]["channel"]
    found = document(run, "channels", "--channel", str(channel), "-k", "4")
    assert (found["stage"], found["channel"], len(found["photos"])) == ("stage4", channel, 4)
    assert found["photos"][0]["path"] == str(moon)
    assert found["photos"][0]["value"] == pytest.approx(strongest["channels"][0]["value"], rel=1e-3)
    values = [photo["value"] for photo in found["photos"]]
    assert values == sorted(values, reverse=True)
    text, _ = run("channels", "--channel", str(channel), "--stage", "stage4", "-k", "1")
    assert text.splitlines()[0] == f"Channel {channel} of stage4:"
    assert text.rstrip().endswith("moon.jpg")
    text, _ = run("channels", moon, "--stage", "stage1", "-k", "2")
    assert text.splitlines()[0].endswith("moon.jpg, stage1:")
    assert text.count("of other photos") == 2


def test_channels_within_a_filter_that_no_photo_meets(run: Run, tmp_path: Path) -> None:
    assert document(run, "channels", "--channel", "0", "--folder", tmp_path)["photos"] == []
    text, _ = run("channels", "--channel", "0", "--folder", tmp_path)
    assert text.startswith("No photo was found: the library has none with folder")


def test_channels_refuses_what_makes_no_sense(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    moon = photo_folder / "moon.jpg"
    for words, arguments, code in (
        ("one of the two", (), 2),
        ("one of the two", (moon, "--channel", "3"), 2),
        ("they go with --channel", (moon, "--folder", tmp_path), 2),
        ("it goes with IMAGE", ("--channel", "3", "--by", "value"), 2),
        ("It has channels 0 to 95.", ("--stage", "stage2", "--channel", "96"), 1),
        ("It has stage1, stage2, stage3, stage4.", (moon, "--stage", "stem"), 1),
        ("the file ends early", (photo_folder / "broken.jpg",), 1),
    ):
        _, err = run("channels", *arguments, expect=code)
        assert words in err, arguments


def test_channels_of_a_library_that_is_empty_or_not_there(
    run: Run, empty_library: Any, photo_folder: Path, tmp_path: Path
) -> None:
    folder = empty_library.folder
    text, _ = run("channels", "--channel", "0", at=folder)
    assert "the library is empty" in text
    strongest = document(run, "channels", photo_folder / "moon.jpg", at=folder)
    assert {one["higher_than"] for one in strongest["channels"]} == {None}
    _, err = run("channels", "--channel", "0", at=tmp_path / "none", expect=1)
    assert "no library" in err
