"""What the documents say is what the program does: every command of the README is run, every output compared."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from index.sample import make_sample

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
HAS_FRAMEWORKS = all(importlib.util.find_spec(name) for name in ("tensorflow", "flax"))


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, list[str]]]:
    """(command, output lines) in the README's order."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def without_measures(line: str) -> str:
    """A line without what differs from machine to machine: times, rates, and the last digits of scores."""
    line = re.sub(r"\d+ s\b|\d+ min|\bat \d+ photos a second", "T", line)
    line = re.sub(r"cpu \(.*?\)|gpu \(.*?\)", "FAISS", line)
    line = re.sub(r"\d+ vector shards( \(\d+ new\))?", "N vector shards", line)  # one for every 15 seconds
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", line)
    line = re.sub(r"(\d+)\.\d%", r"\1%", line)
    line = re.sub(r"largest difference \S+,|least cosine \S+,|(?<=[a-zA-Z0-9]) \d+\.\d+\.\d+\S*:", "FIGURE", line)
    return re.sub(r"(\d\.\d\d)\d+", r"\1", line).replace(" T T", " T")


def test_every_readme_command_gives_the_output_shown(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_sample(photos)
    whole = (photos / "coffee.jpg").read_bytes()
    (photos / "half-a-file.jpg").write_bytes(whole[: len(whole) // 2])
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    assert len(sessions()) >= 8
    for command, expected in sessions():
        if " certify " in command and not HAS_FRAMEWORKS:
            continue
        words = shlex.split(command)
        if words[:2] == ["python", "app.py"]:
            words[:2] = [sys.executable, str(ROOT / "app.py")]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        shown = [without_measures(line) for line in done.stdout.splitlines()]
        assert shown == [without_measures(line) for line in expected], command


def test_every_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_sample(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    assert blocks("python")
    for block in blocks("python"):
        if not HAS_FRAMEWORKS and re.search(r"\b(TF|Flax)[A-Z]", block):
            continue
        exec(compile(block, "README.md", "exec"), {})


def test_the_certificate_is_of_the_starter_that_is_here_and_names_nothing_beyond_its_bound() -> None:
    weights = (ROOT / "regconv" / "starter" / "model.safetensors").read_bytes()
    text = (ROOT / "docs" / "certificate.md").read_text()
    assert f"sha256 of the weights {hashlib.sha256(weights).hexdigest()}" in text
    assert {"## TensorFlow", "## Flax", "## eager float32 cpu"} <= set(text.splitlines())
    rows = [line for line in text.splitlines() if line.startswith(("| stage", "| pooled", "| logits"))]
    assert len(rows) >= 5 * 6
    assert all(row.endswith("| yes |") for row in rows)


def test_every_make_target_named_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        asked = set(re.findall(r"(?:^|`|\s)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))
        assert asked, name
        assert asked <= targets | {"sure"}, f"{name}: {asked - targets}"


def test_contributing_is_short_and_every_dependency_says_why() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 50
    for file in ROOT.glob("requirements*.txt"):
        for line in file.read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[\w\[\]-]+==\S+\s+# .{8,}", line), f"{file.name}: {line}"


def test_the_two_user_requirements_differ_in_faiss_alone() -> None:
    lines = [set((ROOT / name).read_text().splitlines()[1:]) for name in ("requirements.txt", "requirements-gpu.txt")]
    assert {line.split("==")[0] for line in lines[0] ^ lines[1]} == {"faiss-cpu", "faiss-gpu"}
