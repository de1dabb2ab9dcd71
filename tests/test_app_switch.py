"""`switch-model` through the real program, with two real networks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import app as program
from index.doctor import examine
from index.library import Library
from index.sample import make_sample
from index.search import example_of_file, find_similar
from regconv.images import prepare
from storage.tables import PRESENT

ROOT = Path(__file__).resolve().parent.parent
FIRST = "astronaut.jpg"
# The real program, which commits so often that a kill falls between two commits.
PROGRAM = "import sys, index.pending; index.pending.COMMIT_PHOTOS = 16; import app; sys.exit(app.main(sys.argv[1:]))"
App = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, arguments)]


def environment(home: Path) -> dict[str, str]:
    return os.environ | {
        "HF_HOME": str(home / "hub"),
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def app(tmp_path: Path) -> App:
    """Runs a command on the library of this test, offline, with an empty cache."""

    def run(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
        given = command(*arguments, "--library", tmp_path / "library")
        done = subprocess.run(
            given, capture_output=True, text=True, cwd=ROOT, env=environment(tmp_path), timeout=300, check=False
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command on that library in this process, which takes no start, and gives its JSON."""

    def run(*arguments: str | Path, expect: int = 0) -> Any:
        assert program.main([*map(str, arguments), "--library", str(tmp_path / "library"), "--json"]) == expect
        return json.loads(capsys.readouterr().out)

    return run


def ask(app: App, *arguments: str | Path, expect: int = 0) -> dict[str, Any]:
    document = json.loads(app(*arguments, "--json", expect=expect).stdout)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 pictures of the sample."""
    make_sample(tmp_path / "photos")
    for path in sorted((tmp_path / "photos").iterdir())[40:]:
        path.unlink()
    (tmp_path / "photos" / FIRST).stat()
    return tmp_path / "photos"


def test_from_one_network_to_another_and_back(
    app: App, here: Callable[..., Any], photos: Path, tmp_path: Path, tiny_checkpoint: Any
) -> None:
    old, new = tiny_checkpoint("regnet-y"), tiny_checkpoint("convnext")
    assert here("index", photos, "--model", old)["embedded"] == 40
    refused = here("search", photos / FIRST, "--model", new, expect=1)["error"]
    assert f"change this one over: `python app.py switch-model {new} --library {tmp_path / 'library'}`" in refused

    shards = len(list(tmp_path.glob("library/shards/*.npy")))
    building = subprocess.Popen(
        command("switch-model", new, "--library", tmp_path / "library"), cwd=ROOT, env=environment(tmp_path),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("library/shards/*.npy"))) < shards + 2 and time.monotonic() < deadline:
        assert building.poll() is None, "the switch ended before it could be killed"
        time.sleep(0.005)
    building.send_signal(signal.SIGKILL)
    building.wait()
    status = here("switch-model", "--status")
    assert (status["model"], status["photos"], status["job"]["state"]) == (str(old), 40, "interrupted")
    built = status["spaces"][1]["vectors"]
    assert 0 < built < 40
    assert here("search", photos / FIRST, "-k", "1")["neighbours"][0]["path"] == str(photos / FIRST)

    report = ask(app, "switch-model", new)
    assert {name: report[name] for name in ("photos", "built", "active", "model")} == {
        "photos": 40, "built": 40 - built, "active": True, "model": str(new),
    }  # fmt: skip
    assert [check["ok"] for check in report["checks"]] == [True, True, True]
    compare_with_the_network(tmp_path / "library", new)

    said = app("switch-model", "--back").stdout
    assert said == f"{old} answers, for 40 photos.\n"
    given_up = here("switch-model", "--forget")
    assert [space["model"] for space in given_up["forgotten"]] == [str(new)]
    assert "There is no model to go back to" in here("switch-model", "--back", expect=1)["error"]


def compare_with_the_network(folder: Path, model: Path) -> None:
    """The stored vectors are those of the new network, by its torch form and NumPy's norm."""
    from regconv import AutoModel

    network = AutoModel.from_pretrained(str(model)).eval()
    with Library.open(folder) as library, torch.inference_mode():
        values = library.description.preprocessing
        for photo in library.catalog.photos_in(PRESENT, 100)[::8]:
            picture = prepare(photo.path, library.description.recipe).astype(np.float32) * values["rescale_factor"]
            pixels = (picture - np.float32(values["image_mean"])) / np.float32(values["image_std"])
            expected = network(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]).pooler_output
            vector = expected.numpy().reshape(-1)
            stored = library.stored([photo.content_id or 0], "pooled")[photo.content_id or 0]
            assert vector @ stored / np.linalg.norm(vector) / np.linalg.norm(stored) > 0.9995
            found = find_similar(library, [example_of_file(library, photo.path)], k=1).neighbours
            assert found[0].score == pytest.approx(1, abs=1e-3)
        assert examine(library, whole=True)["ok"]


def test_what_is_refused_says_why_and_changes_nothing(
    app: App,
    here: Callable[..., Any],
    photos: Path,
    tmp_path: Path,
    tiny_checkpoint: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here("index", photos, "--model", tiny_checkpoint("regnet-x"))
    other = tiny_checkpoint("convnextv2")
    assert "nobody/has-this" in app("switch-model", "nobody/has-this", expect=1).stderr
    assert [space["role"] for space in here("switch-model", "--status")["spaces"]] == ["active"]
    (photos / FIRST).write_bytes(b"no picture any more")
    report = here("switch-model", other, expect=1)
    assert (report["active"], report["built"], report["failed_count"]) == (False, 39, 1)
    assert report["failed"][0]["path"] == str(photos / FIRST)
    assert "Pictures without vectors of" in report["problem"]
    assert program.main(["switch-model", str(other), "--anyway", "--library", str(tmp_path / "library")]) == 0
    assert (
        f"{other} answers, for 39 photos. Without vectors of it, and so not found: 1 photo." in capsys.readouterr().out
    )


@pytest.mark.parametrize("wrong", [(), ("a", "--back"), ("--back", "--status"), ("--back", "--anyway")])
def test_wrong_usage_is_said(wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["switch-model", *wrong]) == 2
    assert "Give the NAME" in (said := capsys.readouterr().err) or "--anyway belongs" in said
