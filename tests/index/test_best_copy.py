"""Which copy to keep: one criterion at a time, each the other way round too."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import skimage
from PIL import Image

from index.best_copy import best_copy, detail_px, sharpest
from storage.fingerprints import Copy

PLAIN = Copy(1, "/a/one.jpg", 100, 1, "d", 5000, 800, 600, "JPEG", None, None, 10.0, 30.0, None)
OTHER = PLAIN._replace(photo_id=2, path="/a/two.jpg", content_id=2)
TAKEN = {"taken_at": datetime(2024, 5, 1), "camera": "Maker"}


def unknown(_: Copy) -> None:
    return None


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({}, {"colour": 0.5, "width": 1600, "height": 1200}, "in colour"),
        ({"width": 1600, "height": 1200}, {}, "more pixels (1600 x 1200)"),
        (TAKEN, {"format": "PNG"}, "keeps its EXIF data"),
        ({"format": "PNG"}, {}, "lossless (PNG)"),
        ({"bytes": 9000}, {}, "less compressed"),
        ({"mtime_ns": 50}, {}, "the older file"),
        ({"path": "/one.jpg"}, {}, "the shorter path"),
        ({"path": "/a/abc.jpg"}, {}, "the first by name"),
    ],
)
def test_each_criterion_by_itself(better: dict[str, Any], worse: dict[str, Any], why: str) -> None:
    keep, other = PLAIN._replace(**better), OTHER._replace(**worse)
    assert best_copy([keep, other], (), unknown) == best_copy([other, keep], (), unknown) == (keep, why)


def test_a_few_bytes_more_are_no_reason() -> None:
    keep, other = PLAIN._replace(path="/one.jpg"), OTHER._replace(bytes=5400)
    assert best_copy([other, keep], (), unknown) == (keep, "the shorter path")


def test_what_shows_less_is_not_kept_though_it_has_more_pixels() -> None:
    cropped = OTHER._replace(width=1600, height=1200)
    assert best_copy([cropped, PLAIN], {2}, unknown) == (PLAIN, "shows the whole picture")


def test_an_enlarged_copy_does_not_win_unless_the_camera_made_it() -> None:
    asked: list[int] = []

    def detail(copy: Copy) -> int:
        asked.append(copy.photo_id)
        return 820

    large = OTHER._replace(width=1600, height=1200)
    assert best_copy([large, PLAIN], (), detail) == (PLAIN, "as sharp as the larger one, which is enlarged")
    assert set(asked) == {2}
    assert best_copy([PLAIN, large], (), lambda _: 1500)[0] == large
    assert best_copy([PLAIN, large._replace(**TAKEN)], (), detail)[0].photo_id == 2


def test_each_reason_against_the_others_is_given_once() -> None:
    others = [OTHER._replace(colour=0.1), OTHER._replace(photo_id=3, width=400, height=300)]
    keep, why = best_copy([PLAIN, *others], (), unknown)
    assert (keep, why) == (PLAIN, "in colour; more pixels (800 x 600)")


def test_of_a_burst_the_sharpest() -> None:
    sharp = OTHER._replace(sharpness=20.0)
    assert sharpest([PLAIN, sharp, PLAIN._replace(photo_id=3, sharpness=None)])[0] == sharp


def jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"])
def test_the_detail_of_an_enlarged_photograph_is_that_of_the_original(name: str) -> None:
    picture = (
        Image.open(Path(skimage.__file__).parent / "data" / name)
        .convert("RGB")
        .resize((400, 300), Image.Resampling.LANCZOS)
    )
    assert detail_px(jpeg(picture)) > 360
    assert detail_px(jpeg(picture.resize((800, 600), Image.Resampling.BICUBIC))) <= 460


def test_the_detail_of_nothing_is_not_asked_too_much_of() -> None:
    assert 0 < detail_px(jpeg(Image.new("RGB", (400, 300)))) <= 400
    assert 0 < detail_px(jpeg(Image.new("RGB", (3, 2)))) <= 3


def test_a_photograph_with_little_detail_was_not_enlarged_for_that() -> None:
    """Bricks, whose mortar is all that is sharp: no camera's facts say that the large one is the original."""
    picture = Image.open(Path(skimage.__file__).parent / "data" / "brick.png").convert("RGB")
    assert detail_px(jpeg(picture)) == 512
    assert detail_px(jpeg(picture.resize((170, 170)).resize((512, 512), Image.Resampling.BICUBIC))) < 200
