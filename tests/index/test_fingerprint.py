"""Hashes and figures of small pictures, on scikit-image's photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageFilter

from index.fingerprint import BLANK, GREY, ORIENTATIONS, fingerprint, in_orientation, oriented

DATA = Path(skimage.__file__).parent / "data"


def photograph(name: str = "chelsea.png", side: int = 256) -> Image.Image:
    picture = Image.open(DATA / name).convert("RGB")
    picture.thumbnail((side, side))
    return picture


def differing(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_the_hash_of_another_orientation_needs_no_picture(turn: tuple[bool, bool, bool]) -> None:
    picture = photograph()
    lying = Image.fromarray(np.ascontiguousarray(oriented(np.asarray(picture), *turn)))
    expected = fingerprint(lying).hash
    (told,) = in_orientation(np.array([fingerprint(picture).hash], np.uint64), *turn)
    assert differing(int(told), expected) <= 1  # the squeezing rounds on other sides
    if turn != ORIENTATIONS[0]:
        assert differing(fingerprint(picture).hash, expected) > 12


def test_an_edit_is_close_and_another_photograph_is_not() -> None:
    picture = photograph()
    own = fingerprint(picture).hash
    for edited in (picture.resize((90, 60)), picture.convert("L").convert("RGB"), picture.point(lambda v: v * 0.8)):
        assert differing(own, fingerprint(edited).hash) <= 6
    assert differing(own, fingerprint(photograph("coffee.png")).hash) > 20


def test_figures_mean_what_they_say() -> None:
    picture = photograph()
    plain = fingerprint(picture)
    assert plain.colour > GREY > fingerprint(picture.convert("L").convert("RGB")).colour
    assert fingerprint(picture.filter(ImageFilter.GaussianBlur(2))).sharpness < plain.sharpness / 2
    assert plain.contrast > BLANK


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 10, 10)])
@pytest.mark.parametrize("size", [(256, 192), (1, 1), (300, 1)])
def test_a_picture_of_one_colour_has_no_hash_in_any_orientation(
    colour: tuple[int, int, int], size: tuple[int, int]
) -> None:
    found = fingerprint(Image.new("RGB", size, colour))
    assert (found.hash, found.contrast) == (0, 0)
    for turn in ORIENTATIONS:
        assert in_orientation(np.zeros(1, np.uint64), *turn).tolist() == [0]
