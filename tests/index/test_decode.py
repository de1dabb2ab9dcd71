"""Decoding in worker processes: what comes back for a file, in which order, within which limits."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from index.decode import Decoded, Decoder, DecoderClosed, DecodeTask, Failure, Known
from regconv.errors import UnreadableImage
from regconv.images import Limits, prepare
from tests.index.planted_faults import RECIPE, assert_own_colour, coloured_files

DATA = os.environ.get("REGCONV_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="REGCONV_DATA is not set: the shared pictures are not here")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(RECIPE, workers=2) as ready:
        yield ready


def test_everything_about_a_file(decoder, tmp_path):
    path = tmp_path / os.fsdecode(b"new\nline \xff.jpg")
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Box"
    image = Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")
    image.save(path, exif=exif, comment=b"secret")
    (result,) = decoder.decode([DecodeTask(str(path))])
    stat = path.stat()
    assert result.task == DecodeTask(str(path))
    assert result.digest == hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    assert (result.size, result.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert (result.width, result.height, result.format, result.camera) == (1200, 1600, "JPEG", "Box")
    np.testing.assert_array_equal(result.picture, prepare(path, RECIPE))
    small = Image.open(io.BytesIO(result.thumbnail))
    assert (small.format, max(small.size), small.size[0] < small.size[1]) == ("JPEG", 200, True) or max(
        small.size
    ) <= 384
    assert b"secret" not in result.thumbnail
    assert not small.getexif()
    assert decoder.picture(str(path)).digest == result.digest


def test_known_bytes_are_not_decoded(decoder, tmp_path):
    path = tmp_path / "no picture.jpg"
    path.write_bytes(b"these bytes could not be decoded")
    digest = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    task = DecodeTask(str(path), frozenset({"0" * 64, digest}))
    assert list(decoder.decode([task])) == [Known(task, digest, 32, path.stat().st_mtime_ns)]
    (unknown,) = decoder.decode([DecodeTask(str(path), frozenset({"0" * 64}))])
    assert isinstance(unknown, Failure)


def test_another_recipe_shares_the_workers(decoder, tmp_path):
    path = tmp_path / "a.jpg"
    Image.linear_gradient("L").resize((160, 120)).convert("RGB").save(path)
    before = decoder.picture(str(path)).picture
    workers = {process.pid for process in psutil.Process().children(recursive=True)}
    other = decoder.with_recipe(replace(RECIPE, size=RECIPE.size // 2))
    np.testing.assert_array_equal(other.picture(str(path)).picture, prepare(path, other.recipe))
    np.testing.assert_array_equal(decoder.picture(str(path)).picture, before)
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= workers


def test_the_order_and_the_pairs(decoder, tmp_path):
    tasks = coloured_files(tmp_path, 60)
    pulled = []

    def lazily() -> Iterator[DecodeTask]:
        for task in tasks:
            pulled.append(task)
            yield task

    for number, result in enumerate(decoder.decode(lazily())):
        assert result.task is tasks[number]
        assert_own_colour(result, number)
        assert len(pulled) <= number + 1 + 16  # 8 for each worker: memory is bounded
    assert number == 59
    assert list(decoder.decode([])) == []


def test_the_photo_itself_without_what_its_file_tells(decoder, tmp_path):
    path = tmp_path / "trip.jpg"
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 8, "Maker of cameras"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 30.0)
    Image.linear_gradient("L").resize((900, 600)).save(
        path, exif=exif, comment=b"at home", xmp=b"<x:xmpmeta/>", dpi=(9, 9)
    )
    assert Image.open(io.BytesIO(path.read_bytes())).getexif().get_ifd(0x8825)
    for view in (decoder.view(str(path)), decoder.view(str(path), max_side=300)):
        image = Image.open(io.BytesIO(view))
        assert not image.getexif()
        assert not {"exif", "comment", "xmp", "icc_profile", "dpi"} & set(image.info)
        assert not any(word in view for word in (b"Exif", b"Maker", b"at home", b"xmpmeta"))
        assert image.size in [(600, 900), (200, 300)]
    with pytest.raises(UnreadableImage, match="No such file"):
        decoder.view(str(tmp_path / "gone.jpg"))
    with pytest.raises(UnreadableImage, match="is a folder; give a picture file"):
        decoder.picture(str(tmp_path))


def test_limits_reach_the_workers(tmp_path):
    (task,) = coloured_files(tmp_path, 1)
    with Decoder(RECIPE, workers=1, limits=Limits(max_pixels=1999)) as decoder:
        (result,) = decoder.decode([task])
    assert result.reason == "has 2,000 pixels, the limit is 1,999"
    assert result.size == Path(task.path).stat().st_size


def test_a_closed_decoder_says_so(tmp_path):
    decoder = Decoder(RECIPE, workers=1)
    decoder.close()
    with pytest.raises(DecoderClosed):
        list(decoder.decode(coloured_files(tmp_path, 1)))


@needs_data
def test_the_nasty_files_go_through(decoder):
    paths = sorted(path for path in Path(DATA, "nasty").rglob("*") if path.is_file() and path.name != "manifest.csv")
    assert len(paths) == 81
    results = list(decoder.decode(DecodeTask(str(path)) for path in paths))
    never = {"truncated", "not_images"}
    always = {"animated", "bit16", "cmyk", "exif_rotated", "palette_alpha_gray", "tiny_odd_size", "wrong_extension"}
    for path, result in zip(paths, results, strict=True):
        group = path.parent.name
        assert (result.path if isinstance(result, Failure) else result.task.path) == str(path)
        assert not (group in always and isinstance(result, Failure)), result
        assert not (group in never and isinstance(result, Decoded)), path
        if isinstance(result, Failure):
            assert "process" not in result.reason  # no worker was lost
            assert result.size == path.stat().st_size
    assert sum(isinstance(result, Failure) for result in results) == 17
    for process in psutil.Process().children(recursive=True):
        assert process.memory_info().rss < 700 << 20
