"""What can go wrong with a file, each with a reason in words, and nothing that waits, leaks or stays half done."""

from __future__ import annotations

import csv
import io
import os
import socket
import threading
import warnings
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from regconv.errors import UnreadableImage
from regconv.images import Limits, Recipe, open_image, prepare, read_file

pillow_heif.register_heif_opener()

DATA = os.environ.get("REGCONV_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="REGCONV_DATA is not set: the shared pictures are not here")
RECIPE = Recipe(64, 0.875, 3)
# Every format with the options it is written with.
WRITTEN = {
    "JPEG": {},
    "progressive": {"format": "JPEG", "progressive": True},
    "PNG": {},
    "GIF": {},
    "WEBP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "PPM": {},
    "JPEG2000": {},
    "AVIF": {},
    "HEIF": {},
    "ICO": {"sizes": [(200, 150)]},
}


def scene() -> Image.Image:
    """200 x 150 pixels in which no two rows are alike."""
    return Image.radial_gradient("L").resize((200, 150)).convert("RGB")


def written(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, **({"format": kind} | WRITTEN[kind]))
    return file.getvalue()


def reason_of(source, **options) -> str:
    with pytest.raises(UnreadableImage) as caught:
        open_image(source, **options)
    return caught.value.reason


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_file_that_ends_early_is_never_half_a_picture(kind):
    data = written(scene(), kind)
    for share in (0.1, 0.5, 0.9, 0.99):
        for draft in (None, (40, 30)):
            assert reason_of(data[: int(share * len(data))], draft=draft).startswith(("the file ends", "is damaged"))


@needs_data
def test_the_nasty_files_are_pictures_or_have_a_reason():
    """What Pillow alone can do with a file, by the manifest, is the expectation; the exceptions are named."""
    better = {"HEIC", "heif"}  # read by pillow-heif
    with Path(DATA, "nasty", "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 81
    for row in rows:
        expected = row["pillow_12_3_load"] == "ok" or row["file"].rsplit(".", 1)[-1] in better
        if row["category"] == "truncated":  # Pillow's second attempt hands out what it had by then
            expected = False
        path = Path(DATA, "nasty", row["file"])
        if expected:
            assert prepare(path, RECIPE).shape == (64, 64, 3)
        else:
            assert len(reason_of(path)) > 5


def test_reasons_in_words(tmp_path):
    whole = written(scene(), "PNG")
    assert reason_of(b"") == "is empty"
    assert "not a picture" in reason_of(b"<svg></svg>")
    assert reason_of(whole, limits=Limits(max_pixels=29_999)) == "has 30,000 pixels, the limit is 29,999"
    assert "bytes" in reason_of(whole, limits=Limits(max_bytes=100))
    (tmp_path / "big.png").write_bytes(whole)
    assert f"has {len(whole):,} bytes" in reason_of(tmp_path / "big.png", limits=Limits(max_bytes=100))
    assert "No such file" in reason_of(tmp_path / "gone.png")
    assert "not a regular file" in reason_of(tmp_path)
    assert "null" in reason_of("a\0b.png")


def test_what_is_no_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.jpg"))
        for name in ("pipe.jpg", "socket.jpg", "/dev/zero"):
            assert reason_of(tmp_path / name) == "is not a regular file"


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "growing.png"
    path.write_bytes(written(scene(), "PNG"))
    seconds = iter(range(9))

    def fstat(number: int) -> os.stat_result:
        os.utime(path, (0, next(seconds)))
        return real(number)

    real = os.fstat
    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(UnreadableImage, match="changed while"):
        read_file(path)


def test_sources_and_odd_names(tmp_path):
    name = os.fsdecode(b"new\nline \xff.png")
    path = tmp_path / name
    path.write_bytes(written(scene(), "PNG"))
    with path.open("rb") as file:
        assert open_image(file) == open_image(path)
    assert open_image(str(path)).size == (200, 150)
    path.write_bytes(b"x")
    with pytest.raises(UnreadableImage) as caught:
        open_image(path)
    assert caught.value.path == str(path)


def test_threads_decode_together_and_no_warning_leaks(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # Pillow warns from here on, to twice as many
    broken_exif = io.BytesIO()
    scene().save(broken_exif, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    sources = [broken_exif.getvalue(), *(written(scene(), kind) for kind in WRITTEN)]
    expected = [np.asarray(open_image(source)) for source in sources]
    before = list(warnings.filters)
    wrong = []

    def work() -> None:
        for source, right in zip(sources, expected, strict=True):
            if not np.array_equal(np.asarray(open_image(source)), right):
                wrong.append(source[:16])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert warnings.filters == before
