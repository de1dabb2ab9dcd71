"""The end of the server while a job is at work, as Ctrl-C does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from index.library import Library
from index.runner import INTERRUPTED, Runner

ROOT = Path(__file__).parents[2]
COPIES = 300
PATIENCE_S = 60


@pytest.fixture
def many(photo_folder: Path, tmp_path: Path) -> Path:
    """A folder of photographs, no two of the same bytes."""
    folder = tmp_path / "many"
    folder.mkdir()
    photos = [path.read_bytes() for path in sorted(photo_folder.glob("*.jpg")) if path.stem != "broken"]
    for number in range(COPIES):
        (folder / f"{number:03d}.jpg").write_bytes(photos[number % len(photos)] + str(number).encode())
    return folder


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A server of a new library; it says its address first."""
    command = [sys.executable, "-u", "app.py", "--library", str(tmp_path / "library"), "--model", "starter"]
    options = ["--device", "cpu", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, *options], cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_ends_a_job_in_good_order_and_it_can_be_gone_on_with(
    process: subprocess.Popen[str], many: Path, tmp_path: Path
):
    assert process.stdout is not None
    address = process.stdout.readline().split(" at ")[1].split()[0]

    def job(**asked: list[str]) -> dict:
        headers = {"Content-Type": "application/json"}
        request = Request(f"{address}/api/index", json.dumps(asked).encode() if asked else None, headers)
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    job(folders=[str(many)])
    until = time.monotonic() + PATIENCE_S
    while job()["headline"] != "Reading pictures" and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=PATIENCE_S)
    assert "terminate called" not in words
    assert "Interrupted. What was done is kept." in words
    assert process.returncode == 130

    with Library.open(tmp_path / "library", device="cpu") as library:
        left = Runner(library).job()
    assert left is not None
    assert left.state == INTERRUPTED
    assert left.stop_asked
