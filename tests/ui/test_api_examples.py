"""What docs/api.md shows is what a server answers: every example is run against one, every output compared."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.job import index_folder
from index.library import Library
from index.sample import make_sample

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:7860"  # in the document
NEAR = 0.005  # processors round scores differently
_FLOAT = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")

Example = tuple[str, str]  # what is run, what it prints


def curl_examples(text: str) -> list[Example]:
    """(command, output) in the document's order."""
    found: list[list[str]] = []
    for line in "".join(re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).splitlines():
        if line.startswith("$ "):
            found.append([line[2:]])
        else:
            found[-1].append(line)
    return [(command, "\n".join(lines)) for command, *lines in found]


def python_examples(text: str) -> list[Example]:
    """(program, output) of every Python block, which is followed by what it prints."""
    return re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def comparable(output: str) -> tuple[str, list[float]]:
    """An output without what differs from machine to machine, and its fractions, which differ a little."""
    output = re.sub(r'"faiss":"[^"]*"', '"faiss":""', output.strip())
    output = re.sub(r'"bytes":\d+', '"bytes":0', output)
    return _FLOAT.sub("#", output), [float(number) for number in _FLOAT.findall(output)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sample photographs will be: in the library's folder, as `demo` has them."""
    return tmp_path_factory.mktemp("demo") / "photos"


@pytest.fixture(scope="module")
def library(photos: Path) -> Iterator[Library]:
    """The sample library, open: what `server` serves here."""
    with Library.open(photos.parent, model="starter", device="cpu", create=True) as library:
        make_sample(photos)
        for _ in index_folder(library, [str(photos)]):
            pass
        yield library


def test_there_are_examples_of_both_kinds() -> None:
    text = DOCUMENT.read_text()
    assert len(curl_examples(text)) == text.count("\n$ curl") >= 10
    assert len(python_examples(text)) == text.count("```python") >= 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_curl_example_gives_the_output_shown(server: str, photos: Path) -> None:
    for command, expected in curl_examples(DOCUMENT.read_text()):
        assert command.startswith("curl ")
        must_print(["bash", "-c", command.replace(ADDRESS, server)], expected, photos)


def test_every_python_example_gives_the_output_shown(server: str, photos: Path) -> None:
    for program, expected in python_examples(DOCUMENT.read_text()):
        assert ADDRESS in program
        must_print([sys.executable, "-W", "error", "-c", program.replace(ADDRESS, server)], expected, photos)


def must_print(command: list[str], expected: str, folder: Path) -> None:
    """Fails where the command prints something else than the document says, or does not succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    (words, numbers), (shown, near) = comparable(done.stdout), comparable(expected)
    assert words == shown, command
    assert numbers == pytest.approx(near, abs=NEAR), command
