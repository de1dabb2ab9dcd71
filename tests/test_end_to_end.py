"""The main job on real photographs: killed in the middle, run again, held against transformers and NumPy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.doctor import examine
from index.library import Library
from index.search import example_of_photo, find_similar
from regconv.images import prepare
from storage.tables import PRESENT

ROOT = Path(__file__).resolve().parent.parent
DATA = os.environ.get("REGCONV_DATA")
# The real program, committing so often that a kill falls between two commits and not before the first.
PROGRAM = "import sys, index.pending; index.pending.COMMIT_PHOTOS = 32; import app; sys.exit(app.main(sys.argv[1:]))"

pytestmark = pytest.mark.skipif(DATA is None, reason="REGCONV_DATA is not set: no real photographs (photos/)")


@pytest.fixture(scope="module")
def photos() -> Path:
    """400 photographs."""
    return Path(str(DATA)) / "photos"


@pytest.fixture(scope="module")
def killed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library that was indexed, killed with SIGKILL in the middle twice, and then run to its end."""
    folder = tmp_path_factory.mktemp("killed") / "library"
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "index",
        str(photos),
        "--library",
        str(folder),
        "--model",
        "starter",
        "--json",
    ]
    for shards in (2, 6):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(folder.glob("shards/*.npy"))) < shards and time.monotonic() < deadline:
            assert process.poll() is None, "the job ended before it could be killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    report = json.loads(done.stdout)
    assert report["seen"] == 400
    assert 0 < report["embedded"] < 400, "the kills came too early or too late to show anything"
    assert report["embedded"] + report["unchanged"] == 400
    with Library.open(folder) as library:
        yield library


def test_after_two_kills_every_content_is_there_once(killed: Library, photos: Path) -> None:
    assert killed.catalog.counts(killed.space_id) == {"present": 400, "unreadable": 0, "gone": 0, "embedded": 400}
    found = killed.catalog.photos_in(PRESENT, 1000)
    assert sorted(photo.path for photo in found) == sorted(str(path) for path in photos.glob("*.JPEG"))
    assert len({photo.digest for photo in found}) == len({photo.content_id for photo in found}) == 400
    assert len(killed.index(killed.space.pooled)) == 400
    health = examine(killed, recall=True)
    assert health["ok"], health["checks"]
    assert health["recall_at_10"] == 1.0


def test_ctrl_c_keeps_what_was_done_and_leaves_with_130(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    command = [sys.executable, "-c", PROGRAM, "index", str(photos), "--library", str(folder), "--model", "starter"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(folder.glob("shards/*.npy")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)  # the shard is there before its rows are
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130
    assert words.strip().splitlines()[-1] == "Interrupted. What was done is kept."
    with Library.open(folder) as library:
        job = library.catalog.latest_job("index")
        assert job is not None
        assert job.state == "interrupted"
        counts = library.catalog.counts(library.space_id)
        assert 32 <= counts["present"] == counts["embedded"] < 400
        assert examine(library)["ok"]


def test_every_photo_finds_itself_first(killed: Library) -> None:
    for photo in killed.catalog.photos_in(PRESENT, 1000)[::10]:
        answer = find_similar(killed, [example_of_photo(killed, photo.id)], k=3)
        assert answer.neighbours[0].photo.id == photo.id
        assert answer.neighbours[0].score == pytest.approx(1, abs=1e-4)
        assert answer.neighbours[1].score < 0.99999


def test_stored_vectors_are_those_of_transformers_and_numpy(killed: Library) -> None:
    """The same weights and the same decoding, through transformers' processor and network, and NumPy's mean."""
    import torch
    from transformers import AutoModel, ConvNextImageProcessorPil

    description = killed.description
    network = AutoModel.from_pretrained(description.folder).float().eval()
    processor = ConvNextImageProcessorPil.from_pretrained(description.folder)
    sample = killed.catalog.photos_in(PRESENT, 1000)[::25]
    for photo in sample:
        picture = prepare(photo.path, description.recipe)  # held to the processor's own resizing by its own tests
        pixels = processor(Image.fromarray(picture), do_resize=False, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            maps = network(pixels, output_hidden_states=True).hidden_states[1:]
        for (part, _), stage in zip(description.parts, maps, strict=True):
            expected = stage[0].numpy().astype(np.float64).mean(axis=(1, 2))
            stored = killed.stored([photo.content_id or 0], part)[photo.content_id or 0].astype(np.float64)
            cosine = expected @ stored / np.linalg.norm(expected) / np.linalg.norm(stored)
            assert cosine > 0.9995, f"{photo.path}: {part}"
            assert np.linalg.norm(stored) == pytest.approx(1, abs=2e-3)
