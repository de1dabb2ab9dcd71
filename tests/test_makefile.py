"""The Makefile's commands as the shell runs them, with a program that tells its arguments in place of Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import app
from index.errors import LibraryError
from ui.verbs import library as library_verbs

ROOT = Path(__file__).resolve().parent.parent
TELLS = '#!/bin/sh\nfor argument in "$@"; do printf "%s\\n" "$argument"; done\n'
Make = Callable[..., list[str]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The arguments that a command of the Makefile gives Python; everything counts as set up."""
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "requirements-gpu.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python.write_text(TELLS)
    python.chmod(0o755)
    (tmp_path / ".venv" / ".for-users").touch()

    def run(*arguments: str) -> list[str]:
        environment = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME"))}
        command = ["make", "--silent", "--no-print-directory", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_a_folder_s_name_reaches_the_program_as_it_is(make: Make) -> None:
    start = ["app.py", "demo", "--library", "demo"]
    assert make("demo") == [*start, "--port", "7860"]
    for photos in ("/a/my photos", "/a/photos", "~/Pictures", '/it\'s/a "name"; and `more`'):
        expected = [*start, "--photos", photos, "--model", "my models/one", "--port", "80"]
        assert make("demo", f"PHOTOS={photos}", "MODEL=my models/one", "PORT=80") == expected


def test_demo_knows_what_a_tilde_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spelled with ~ or in full it is the same folder, and has the same library."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my photos").mkdir()
    indexed: list[tuple[str, str]] = []

    def stop(_library: object, settings: library_verbs.Settings, folders: list[str]) -> None:
        indexed.append((settings.folder, folders[0]))
        raise LibraryError("far enough")

    monkeypatch.setattr(library_verbs, "_index", stop)
    for spelled in ("~/my photos", str(tmp_path / "my photos")):
        arguments = ["demo", "--library", str(tmp_path / "demo"), "--photos", spelled]
        CliRunner().invoke(app.cli, arguments, obj=app.Console())
    code = hashlib.blake2b(os.fsencode(tmp_path / "my photos") + b"\0starter", digest_size=4).hexdigest()
    assert indexed == [(str(tmp_path / "demo" / f"library-{code}"), str(tmp_path / "my photos"))] * 2
