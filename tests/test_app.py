"""The real program in a subprocess: exit codes, JSON, messages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import app as program
from index.library import Library
from index.sample import make_sample
from index.search import example_of_file, find_similar

ROOT = Path(__file__).resolve().parent.parent
App = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample library's pictures."""
    folder = tmp_path_factory.mktemp("sample")
    assert make_sample(folder) == len([path for path in folder.iterdir() if path.suffix != ".txt"]) == 154
    return folder


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """Runs a command on a library of its own, offline, with an empty cache."""
    home = tmp_path_factory.mktemp("home")

    def run(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "XDG_CACHE_HOME": str(home / "cache"),
            "HF_HOME": str(home / "hub"),
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=home, env=environment, timeout=300, check=False
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def indexed(app: App, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the sample, and one unreadable file."""
    (sample / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    library = tmp_path_factory.mktemp("indexed") / "library"
    report = json.loads(app("index", sample, "--library", library, "--model", "starter", "--json").stdout)
    assert {name: report[name] for name in ("seen", "embedded", "unchanged", "moved", "gone")} == {
        "seen": 155, "embedded": 154, "unchanged": 0, "moved": 0, "gone": 0,
    }  # fmt: skip
    assert [Path(failure["path"]).name for failure in report["failed"]] == ["broken.jpg"]
    assert report["model"] == "starter"
    assert report["images_per_second"] > 0
    return library


def test_index_again_embeds_nothing_and_says_so_in_words(app: App, indexed: Path, sample: Path) -> None:
    done = app("index", sample, "--library", indexed)
    assert "155 photos seen: 0 embedded, 154 unchanged, 0 moved, 0 gone, 1 unreadable." in done.stdout
    assert f"Unreadable: {sample / 'broken.jpg'}: " in done.stdout


def test_each_photo_its_copy_and_its_rotated_copy_find_each_other_first(indexed: Path, sample: Path) -> None:
    names = sorted({path.name.split("-")[0].split(".")[0] for path in sample.iterdir()} - {"broken", "finished"})
    assert len(names) == 14
    with Library.open(indexed) as library:
        for name in names:
            expected = {f"{name}.jpg", f"{name}-again.jpg", f"{name}-on-its-side.jpg"}
            for asked in sorted(expected):
                found = find_similar(library, [example_of_file(library, str(sample / asked))], k=3).neighbours
                assert {Path(neighbour.photo.path).name for neighbour in found} == expected, f"asked {asked}"
                assert Path(found[0].photo.path).name == asked
                assert found[0].score == pytest.approx(1, abs=1e-3)


def search(app: App, library: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    document = json.loads(app("search", *arguments, "--library", library, "--json").stdout)
    assert document["exact"] is True
    assert document["milliseconds"] > 0
    scores = [entry["score"] for entry in document["neighbours"]]
    assert scores == sorted(scores, reverse=True)
    return document["neighbours"]


def test_search_with_minus_stages_folder_and_words(app: App, indexed: Path, sample: Path) -> None:
    plain = search(app, indexed, sample / "coffee.jpg", sample / "rocket.jpg", "-k", "20")
    without = search(app, indexed, sample / "coffee.jpg", "--minus", sample / "rocket.jpg", "-k", "20")
    names = [[Path(entry["path"]).name.split("-")[0].split(".")[0] for entry in found] for found in (plain, without)]
    assert {"coffee", "rocket"} <= set(names[0][:6])
    assert names[1][0] == "coffee"
    assert "rocket" not in names[1]
    assert len(search(app, indexed, sample / "cat.jpg", "--stages", "1,0,0,1", "-k", "5")) == 5
    assert Path(search(app, indexed, sample / "cat.jpg", "--like", "colour", "-k", "2")[1]["path"]).name.startswith(
        "cat"
    )
    assert search(app, indexed, sample / "cat.jpg", "--folder", sample / "none") == []


def test_search_says_what_its_scores_mean(app: App, indexed: Path, sample: Path) -> None:
    found = search(app, indexed, sample / "cat.jpg", "-k", "154")
    rarities = [one["one_in"] for one in found]
    assert rarities == sorted(rarities, reverse=True)
    assert rarities[0] > 10 * rarities[-1]
    beyond = [one["beyond_chance"] for one in found]
    assert beyond == sorted(beyond, reverse=True)
    assert {Path(one["path"]).stem for one in found if one["beyond_chance"]} >= {"cat", "cat-again", "cat-small"}
    lines = app("search", sample / "cat.jpg", "--library", indexed, "-k", "154").stdout.splitlines()
    assert lines[0].split()[:3] == ["1.0000", "1", "in"]
    assert lines[0].endswith(str(sample / "cat.jpg"))
    assert lines[sum(beyond)].startswith("------")
    assert len(lines) == 155
    several = search(app, indexed, sample / "cat.jpg", sample / "coffee.jpg", "-k", "2")
    assert [one["one_in"] for one in several] == [None, None]


def test_search_by_words_alone_and_beside_a_picture(app: App, indexed: Path, sample: Path) -> None:
    listed = json.loads(app("words", "--library", indexed, "--json").stdout)["words"]
    assert all(0 < entry["photos"] < 154 for entry in listed)
    word = listed[0]["word"].split(",")[0]
    some = json.loads(app("words", word[:3].upper(), "--library", indexed, "--json").stdout)["words"]
    assert listed[0] in some
    assert len(some) < len(listed)
    found = search(app, indexed, "--label", word, "-k", "154")
    assert len(found) >= listed[0]["photos"]
    assert found[0]["score"] > 0.2
    beside = search(app, indexed, sample / "cat.jpg", "--label", word, "-k", "154")
    sure = {one["photo_id"] for one in found if one["score"] >= 0.2}
    assert len(sure) >= listed[0]["photos"]
    assert {one["photo_id"] for one in beside} == sure
    nothing = app("search", sample / "cat.jpg", "--folder", sample / "none", "--library", indexed)
    assert "none with folder" in nothing.stdout
    for arguments in (["search"], ["search", "--label", word, "--like", "colour"]):
        app(*arguments, "--library", indexed, expect=2)
    assert "Nearly" in app("search", "--label", word[:-1] + "xq", "--library", indexed, expect=1).stderr


def test_classify_gives_probabilities_and_names_bad_files(app: App, indexed: Path, sample: Path) -> None:
    good, bad = json.loads(
        app("classify", sample / "cat.jpg", sample / "broken.jpg", "--library", indexed, "--json").stdout
    )
    assert len(good["labels"]) == 5
    scores = [entry["score"] for entry in good["labels"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1.000001
    assert (bad["labels"], good["own_labels"]) == ([], [])
    assert bad["error"]
    app("classify", sample / "broken.jpg", "--library", indexed, expect=1)


def test_stages_writes_a_picture_for_the_stem_and_every_stage(
    app: App, indexed: Path, sample: Path, tmp_path: Path
) -> None:
    document = json.loads(
        app("stages", sample / "cat.jpg", "--out", tmp_path / "maps", "--library", indexed, "--json").stdout
    )
    names = [stage["name"] for stage in document["stages"]]
    assert names == ["stem", "stage1", "stage2", "stage3", "stage4"]
    for stage in document["stages"]:
        assert Path(stage["picture"]).read_bytes().startswith(b"\x89PNG")
        assert stage["channels"] > 0
    assert [stage["stride"] for stage in document["stages"]] == [2, 4, 8, 16, 32]


def test_looking_needs_no_library(app: App, sample: Path) -> None:
    (entry,) = json.loads(app("classify", sample / "cat.jpg", "--model", "starter", "--json").stdout)
    assert len(entry["labels"]) == 5


def test_models_and_doctor(app: App, indexed: Path) -> None:
    document = json.loads(app("models", "--library", indexed, "--json").stdout)
    assert document["library_model"] == "starter"
    assert {"name": "facebook/convnext-tiny-224", "family": "convnext", "cached": False} in document["models"]
    health = json.loads(app("doctor", "--recall", "--library", indexed, "--json").stdout)
    assert (health["ok"], health["recall_at_10"]) == (True, 1.0)
    assert health["photos"] == {"present": 154, "unreadable": 1, "gone": 0}
    assert health["embedded"] == 154
    assert health["faiss"].startswith(("cpu", "gpu"))
    next(indexed.glob("shards/*.npy")).rename(indexed / "shards" / "lost.npy")
    sick = json.loads(app("doctor", "--library", indexed, "--json", expect=1).stdout)
    assert [check["name"] for check in sick["checks"] if not check["ok"]] != []


@pytest.fixture
def words(sample: Path, tmp_path: Path) -> Path:
    """Class folders "cat" and "coffee" with four pictures each, one that can't be read, and a class without any."""
    for word in ("cat", "coffee"):
        (tmp_path / "words" / word).mkdir(parents=True)
        for ending in (".jpg", "-small.jpg", "-mirrored.jpg", "-crop-1.jpg"):
            shutil.copy(sample / f"{word}{ending}", tmp_path / "words" / word)
    (tmp_path / "words" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    (tmp_path / "words" / "empty").mkdir()
    return tmp_path / "words"


def test_teach_classify_search_and_unteach(app: App, sample: Path, words: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    for name in ("moon", "grass", "rocket", "coins", "brick", "retina", "gravel", "cells", "galaxies"):
        shutil.copy(sample / f"{name}.jpg", tmp_path / "others")
    library = tmp_path / "library"
    app("index", tmp_path / "others", "--library", library, "--model", "starter")
    report = json.loads(app("teach", words, "--library", library, "--json").stdout)
    assert (report["words"], report["embedded"], report["others"]) == ({"cat": 4, "coffee": 4}, 8, 9)
    assert [Path(failure["path"]).name for failure in report["failed"]] == ["broken.jpg"]
    assert report["empty"] == [str(words / "empty")]
    cat, coffee = json.loads(
        app("classify", words / "cat" / "cat.jpg", sample / "coffee-again.jpg", "--library", library, "--json").stdout
    )
    for entry, word in ((cat, "cat"), (coffee, "coffee")):
        assert next(label["label"] for label in entry["own_labels"] if label["label"]) == word
        assert 0 < sum(label["score"] for label in entry["own_labels"]) <= 1.00001
    assert "  taught:\n" in app("classify", sample / "cat.jpg", "--library", library).stdout
    found = search(app, library, sample / "moon.jpg", "--label", "COFF")
    assert {Path(entry["path"]).parent.name for entry in found} == {"coffee"}
    assert len(found) == 4
    assert "It knows cat, coffee." in app("unteach", "dog", "--library", library, expect=1).stderr
    document = json.loads(app("unteach", "cat", "--library", library, "--json").stdout)
    assert document == {"removed": ["cat"], "words": {"coffee": 4}, "fitted": False}
    (entry,) = json.loads(app("classify", sample / "cat.jpg", "--library", library, "--json").stdout)
    assert entry["own_labels"] == []
    app("unteach", "--library", library, expect=2)
    assert app("unteach", "--all", "--library", library).stdout == "Taken back: coffee. Still taught: nothing.\n"


def test_teaching_what_can_not_be_taught_says_why(app: App, indexed: Path, words: Path, tmp_path: Path) -> None:
    app("teach", words / "cat", "--library", indexed, expect=1)
    assert "can't be listed" in app("teach", tmp_path / "missing", "--library", indexed, expect=1).stderr
    done = app("teach", words, "--library", indexed, "--model", "facebook/regnet-y-040", expect=1)
    assert "was made with the model starter" in done.stderr


def test_evaluate_needs_no_library_and_speaks_markdown_and_json(app: App, words: Path) -> None:
    report = json.loads(app("evaluate", words, "--model", "starter", "--json").stdout)
    assert (report["model"], report["pictures"], report["searched"]) == ("starter", 8, 8)
    assert {entry["name"] for entry in report["classes"]} == {"cat", "coffee"}
    assert 0 < report["map"] <= 1
    assert report["precision_at_10"] <= 3 / 7 + 1e-4
    assert [Path(failure["path"]).name for failure in report["failed"]] == ["broken.jpg"]
    asked = app("evaluate", words, "--train", words, "--model", "starter").stdout.splitlines()
    table = [line for line in asked if line.startswith("|")]
    assert table[0] == "| class | pictures | top-1 | top-5 | mAP | precision@10 |"
    assert [line.split("|")[1].strip() for line in table[2:]] == ["all (starter)", "cat", "coffee"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["search", "cat.jpg", "--library", "nowhere"], 1, "There is no library in"),
        (["index", "nowhere", "--library", "lib", "--model", "starter"], 1, "can't be listed"),
        (["index", ".", "--library", "lib-2"], 1, "--model starter"),
        (["index", ".", "--library", "lib-3", "--model", "starter", "--database", "nonsense"], 1, "not a database"),
        (["index"], 2, "FOLDER"),
        (["find"], 2, "No such command"),
        (["search", "a.jpg", "-k", "0"], 2, "range"),
        (["classify", "nowhere.jpg", "--model", "starter"], 1, "nowhere.jpg"),
        (["--host", "0.0.0.0", "--library", "lib-5", "--model", "starter"], 1, "--password"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(app: App, arguments: list[str], code: int, words: str) -> None:
    done = app(*arguments, expect=code)
    assert words in done.stderr
    assert done.stdout == ""


def test_a_device_that_is_not_there_is_named(app: App, sample: Path) -> None:
    done = app("classify", sample / "cat.jpg", "--model", "starter", "--device", "cuda:7", expect=1)
    assert "cuda:7" in done.stderr


def test_an_error_is_one_json_document_too(app: App) -> None:
    done = app("search", "cat.jpg", "--library", "nowhere", "--json", expect=1)
    assert "There is no library in" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "--json"], "Missing argument 'FOLDER...'. Try 'app.py index --help' for help."),
        (["search", "a.jpg", "-k", "0", "--json"], "Invalid value for '-k'"),
        (["find", "--json"], "Try 'app.py --help' for help."),
        (["search", "a.jpg", "--json", "--depth"], "No such option"),
        (["--json", "--port", "many"], "Try 'app.py ui --help' for help."),
    ],
)
def test_wrong_usage_is_one_json_document_too(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    shown = capsys.readouterr()
    assert words in json.loads(shown.out)["error"]
    assert "Error: " in shown.err


def test_another_model_is_refused(app: App, indexed: Path, sample: Path) -> None:
    done = app("index", sample, "--library", indexed, "--model", "facebook/regnet-y-040", expect=1)
    assert "switch-model" in done.stderr
