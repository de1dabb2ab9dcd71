"""`certify` and `models --design` as programs: exit codes, one JSON document, files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def app(folder: Path, *arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_certify_writes_both_files_and_one_document(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
    pytest.importorskip("flax", reason="needs requirements-jax.txt")
    done = app(tmp_path, "certify", tiny_checkpoint("regnet-y"), "--all", "--out", "certificate", "--json")
    document = json.loads(done.stdout)
    assert document["ok"] is True
    names = [one["name"] for one in document["comparisons"]]
    assert names[:2] == ["TensorFlow", "Flax"]
    assert names[-2:] == ["TensorFlow mixed_bfloat16", "Flax bfloat16"]
    assert {one["kind"] for one in document["comparisons"][-2:]} == {"half precision"}
    assert len(document["pictures"]) == 14
    assert json.loads((tmp_path / "certificate" / "certificate.json").read_text()) == document
    assert "| logits |" in (tmp_path / "certificate" / "certificate.md").read_text()


def test_certify_says_what_it_cannot_do(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny_checkpoint("convnext")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (tmp_path / "no-picture.jpg").write_bytes(b"text")
    for arguments, words in [
        (["certify", folder], "download it again"),
        (["certify", "nowhere/at-all"], "no model 'nowhere/at-all'"),
        (["certify", "starter", "no-picture.jpg"], "is not a picture"),
    ]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "app.py"), *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env={"HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    app(tmp_path, "certify", expect=2)
