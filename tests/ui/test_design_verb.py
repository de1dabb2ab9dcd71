"""`models --design`: what it reads, the document, the words, the picture, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import app
from regconv.complexity import complexity
from regconv.configuration import RegNetConfig
from regconv.design_space import PUBLISHED_DESIGNS, Design
from ui.verbs.designs import read_design

NUMBERS = "depth=21,w_0=80,w_a=42.63,w_m=2.66,group_width=24"


def models(*arguments: str) -> Result:
    return CliRunner().invoke(app.cli, ["models", *arguments], obj=app.Console(), standalone_mode=False)


def document(*arguments: str) -> dict:
    result = models(*arguments, "--json")
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def test_numbers_in_any_order_and_names_with_or_without_their_owner() -> None:
    expected = Design(21, 80, 42.63, 2.66, 24)
    assert read_design(NUMBERS).design == expected == PUBLISHED_DESIGNS["regnet-y-032"]
    turned = read_design("se=False, group_width=24 ,w_m=2.66,w_a=42.63,w_0=80,depth=21")
    assert (turned.design, turned.se, turned.name) == (expected, False, None)
    named = read_design("facebook/regnet-x-002")
    assert (named.name, named.se, named.has_head) == ("regnet-x-002", False, True)
    assert not read_design("regnet-y-10b-seer").has_head
    assert read_design("regnet-y-10b-seer-in1k").has_head


def test_the_document_is_the_configuration_and_its_costs() -> None:
    found = document("--design", NUMBERS, "--size", "96")
    config = RegNetConfig.from_design_space(21, 80, 42.63, 2.66, 24, num_labels=1000)
    cost = complexity(config, 96, 96)
    assert found["config"] == {
        "hidden_sizes": [72, 216, 576, 1512], "depths": [2, 5, 13, 1], "groups_width": 24, "layer_type": "y",
        "embedding_size": 32,
    }  # fmt: skip
    assert (found["parameters"], found["flops"], found["activations"]) == (19436338, cost.flops, cost.activations)
    assert (found["name"], found["size"], found["labels"], found["picture"]) == (None, 96, 1000, None)
    assert [part["name"] for part in found["parts"]] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert [part.get("groups") for part in found["parts"]] == [None, 3, 9, 24, 63, None]
    assert found["parts"][1] == {
        "name": "stage1", "parameters": cost.parts[1].parameters, "flops": cost.parts[1].flops,
        "activations": cost.parts[1].activations, "channels": 72, "height": 24, "width": 24, "depth": 2, "groups": 3,
    }  # fmt: skip
    for name in ("parameters", "flops", "activations"):
        assert sum(part[name] for part in found["parts"]) == found[name]
    assert found["blocks"]["linear"][:2] == [80, 122.63]
    assert found["blocks"]["quantised"][:3] == [80, 80, 216]
    assert found["blocks"]["built"] == [72] * 2 + [216] * 5 + [576] * 13 + [1512]


@pytest.mark.parametrize(
    ("name", "parameters", "labels"),
    [
        ("regnet-x-002", 2684792, 1000),
        ("regnet-y-040", 20646656, 1000),
        ("regnet-y-320-seer", 141333770, 0),
        ("facebook/regnet-y-320-seer-in1k", 145046770, 1000),
    ],
)
def test_published_networks_cost_what_their_checkpoints_hold(name: str, parameters: int, labels: int) -> None:
    found = document("--design", name)
    assert (found["parameters"], found["labels"]) == (parameters, labels)
    assert ("head" in [part["name"] for part in found["parts"]]) == (labels > 0)


def test_the_words_are_a_table_and_a_bar_for_every_block() -> None:
    lines = models("--design", "regnet-y-040").stdout.splitlines()
    assert lines[:3] == [
        "regnet-y-040:",
        "depth 22, w_0 96, w_a 31.41, w_m 2.24, group_width 64, se true",
        "hidden_sizes [128, 192, 512, 1088], depths [2, 6, 12, 2], groups_width 64, layer_type y, embedding_size 32",
    ]
    table = {line.split("  ")[0]: line.split() for line in lines[4:12]}
    assert table["stage4"] == ["stage4", "2", "1088", "17", "7", "x", "7", "6,806,928", "372,774,912", "535,696"]
    assert table["all"] == ["all", "22", "20,646,656", "3,973,288,448", "12,287,200"]
    assert len({len(line) for line in lines[4:12]}) == 1, "the columns end in one place"
    bars = lines[-22:]
    assert [line.split()[-1] for line in bars] == ["128"] * 2 + ["192"] * 6 + ["512"] * 12 + ["1088"] * 2
    assert [line.split()[0] for line in bars if line.startswith("stage")] == ["stage1", "stage2", "stage3", "stage4"]
    assert all(line.count("|") == 1 for line in bars)
    # The line's places rise evenly; in the last block of stage 3 it has left the bar behind.
    places = [line.index("|") for line in bars]
    assert places == sorted(places)
    assert "# " in bars[19]
    assert models("--design", "regnet-y-040").stdout.isascii(), "a terminal of any encoding can show it"


def test_the_picture_shows_steps_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "widths.png"
    result = models("--design", NUMBERS, "--out", str(path))
    assert f"The widths are drawn in {path}." in result.stdout
    assert "|" not in result.stdout
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (960, 576))
        colours = {colour: count for count, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert colours[(0x1F, 0x56, 0x73)] > 1000, "the widths as steps"
    assert colours[(0xB5, 0x48, 0x2A)] > 500, "the line"
    assert colours[(0xEE, 0xF3, 0xF6)] > 50_000, "bands of every other stage"
    assert document("--design", NUMBERS, "--out", str(path))["picture"] == str(path)


@pytest.mark.parametrize(
    "numbers",
    ["depth=1,w_0=8,w_a=0,w_m=2,group_width=8", "depth=60,w_0=48,w_a=20,w_m=1.12,group_width=16,se=false"],
)
def test_one_block_and_many_stages_are_drawn_too(numbers: str, tmp_path: Path) -> None:
    found = document("--design", numbers, "--out", str(tmp_path / "widths.PNG"))
    with Image.open(found["picture"]) as picture:
        assert picture.size == (960, 576)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--design", "regnet-z-040"], "'regnet-z-040' is no published RegNet: there are regnet-x-002"),
        (["--design", "facebook/convnext-tiny-224"], "is no published RegNet"),
        (["--design", "regnet-y-040-in1k"], "is no published RegNet"),
        (["--design", ""], "'' is no published RegNet"),
        (["--design", "depth=21"], "w_0, w_a, w_m, group_width is missing"),
        (["--design", f"{NUMBERS},depth=3"], "a name is there twice"),
        (["--design", f"{NUMBERS},se=maybe"], "se got 'maybe', expected true or false"),
        (["--design", f"{NUMBERS},width=3"], "'width' is no number of a design"),
        (["--design", f"{NUMBERS},"], "'' is no number of a design"),
        (["--design", NUMBERS.replace("80", "eighty")], "w_0 got 'eighty', expected a number"),
        (["--design", NUMBERS.replace("80", "81")], "w_0 got 81, expected a multiple of 8"),
        (["--design", NUMBERS.replace("2.66", "1")], "w_m got 1.0, expected more than 1"),
        (["--design", NUMBERS.replace("21", "21.5")], "depth got 21.5, expected a whole number"),
        (["--design", NUMBERS.replace("42.63", "nan")], "w_a got nan"),
        (["--design", NUMBERS, "--size", "0"], "range"),
        (["--design", NUMBERS, "--out", "widths.jpg"], "expected the name of a .png file"),
        (["--size", "224"], "--size and --out belong to --design"),
        (["--out", "widths.png"], "--size and --out belong to --design"),
    ],
)
def test_what_can_not_be_read_is_said_in_a_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["models", *arguments]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


def test_a_picture_that_can_not_be_written_is_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert app.main(["models", "--design", NUMBERS, "--out", str(tmp_path / "file" / "widths.png")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert "fault in RegConv" not in error


def test_nothing_heavy_is_loaded_for_the_words() -> None:
    code = (
        "import sys, app; app.main(['models', '--design', 'regnet-x-002']); "
        "print(*({'torch', 'jax', 'tensorflow', 'matplotlib', 'gradio'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(app.__file__).parent, capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == []
    assert "regnet-x-002" in done.stdout
