"""What one picture is to another: each edit by its words, and different pictures by nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageEnhance, ImageOps

from index.align import refined, whole_fit
from index.duplicate_relation import EDITED, SAME_PIXELS, Small, inverse, related, similar
from index.fingerprint import fingerprint
from index.part_search import Searchable

DATA = Path(skimage.__file__).parent / "data"
NAMES = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "moon.png", "brick.png")


def photograph(name: str = "chelsea.png") -> Image.Image:
    return Image.open(DATA / name).convert("RGB")


def small(picture: Image.Image, saved_as: str = "JPEG") -> Small:
    little = picture.copy()
    little.thumbnail((384, 384))
    found = fingerprint(little)
    size = {"width": picture.width, "height": picture.height}
    return Small.of(little, **size, saved_as=saved_as, contrast=found.contrast, colour=found.colour)


def cropped(picture: Image.Image, share: float = 0.6) -> Image.Image:
    width, height = (int(side * share) for side in picture.size)
    return picture.crop((picture.width - width, picture.height // 10, picture.width, picture.height // 10 + height))


def grey(picture: Image.Image) -> Image.Image:
    return picture.convert("L").convert("RGB")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (ImageOps.mirror, "mirrored"),
        (ImageOps.flip, "flipped top to bottom"),
        (lambda p: p.transpose(Image.Transpose.ROTATE_180), "turned by 180°"),
        (lambda p: p.transpose(Image.Transpose.ROTATE_90), "turned by 90° to the left"),
        (lambda p: p.transpose(Image.Transpose.ROTATE_270), "turned by 90° to the right"),
        (lambda p: p.transpose(Image.Transpose.TRANSPOSE), "turned by 90° and mirrored"),
        (lambda p: p.resize((p.width // 2, p.height // 2)), "resized to 50%"),
        (lambda p: p.resize((p.width, p.height // 2)), "resized to 71%, stretched"),
        (grey, "grey"),
        (lambda p: ImageOps.mirror(grey(p).resize((p.width * 2, p.height * 2))), "mirrored, resized to 200%, grey"),
        (lambda p: ImageEnhance.Brightness(p).enhance(0.7), "darker"),
        (lambda p: p.rotate(3, Image.Resampling.BICUBIC), "tilted by 3°"),
        (cropped, "cropped to 36% of the picture"),
        (lambda p: cropped(ImageOps.mirror(p)), "mirrored, cropped to 36% of the picture"),
        (lambda p: ImageOps.expand(p, 40, (255, 255, 255)), "with a border"),
    ],
)
def test_each_edit_is_told(edit: Callable[[Image.Image], Image.Image], words: str) -> None:
    for name in ("chelsea.png", "coffee.png"):
        picture = photograph(name)
        found = related(small(picture), small(edit(picture)))
        assert found is not None
        assert (found.kind, found.words) == (EDITED, words), name


def test_what_was_done_is_told_from_the_copy_to_keep() -> None:
    picture = photograph()
    found = related(small(cropped(picture)), small(picture))
    assert found is not None
    assert found.words == "with more of the picture"
    assert found.second_share == pytest.approx(0.36, abs=0.02)
    assert found.first_share == pytest.approx(1, abs=0.02)


def test_coding_noise_leaves_the_pixels_the_same_and_a_change_does_not() -> None:
    picture = photograph("astronaut.png")
    noisy = np.asarray(picture) + np.random.default_rng(0).normal(0, 4, (512, 512, 3))
    again = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    found = related(small(picture, "PNG"), small(again))
    assert found is not None
    assert (found.kind, found.words) == (SAME_PIXELS, "saved as JPEG")
    for changed in (grey(picture), ImageEnhance.Brightness(picture).enhance(1.06)):
        found = related(small(picture), small(changed))
        assert found is not None
        assert found.kind == EDITED
    retouched = picture.copy()
    retouched.paste((255, 255, 255), (300, 300, 330, 330))
    found = related(small(picture), small(retouched))
    assert found is not None
    assert (found.kind, found.words) == (EDITED, "retouched or compressed")


@pytest.mark.parametrize("name", NAMES)
def test_different_photographs_are_nothing_to_each_other(name: str) -> None:
    for other in NAMES:
        if other != name:
            assert related(small(photograph(name)), small(photograph(other))) is None
            framed = [ImageOps.expand(photograph(one).resize((300, 300)), 15, (255, 255, 255)) for one in (name, other)]
            assert related(*map(small, framed)) is None, "a frame in common"


def test_blank_pictures_are_the_same_only_where_their_pixels_are() -> None:
    black, white = (small(Image.new("RGB", (400, 300), colour)) for colour in ("black", "white"))
    found = related(black, black)
    assert found is not None
    assert found.kind == SAME_PIXELS
    assert related(black, white) is None
    assert related(black, small(Image.new("RGB", (200, 150)))) is None
    assert related(black, small(photograph())) is None
    dot = small(Image.new("RGB", (1, 1)))
    assert related(dot, dot) is not None
    assert related(dot, small(photograph())) is None
    assert similar(black, white) == 0


def test_a_picture_moved_a_little_is_similar_and_another_is_not() -> None:
    picture = photograph()
    moved = picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, 40, 0, 1, 20))
    assert similar(small(picture), small(moved)) > 0.8
    assert similar(small(picture), small(photograph("coffee.png"))) < 0.5


def test_a_part_is_found_where_it_lies() -> None:
    whole = np.asarray(photograph().convert("L").resize((192, 128)), np.float32)
    part = np.ascontiguousarray(whole[20:100, 60:172])
    found = dict(reversed(one) for one in Searchable(whole).holds(Searchable(part)))
    rough = found[False]
    assert rough.score > found[True].score
    fit = refined(part, whole, rough)
    assert fit is not None
    assert fit.shift == pytest.approx([60, 20], abs=0.3)
    assert fit.matrix == pytest.approx(np.eye(2), abs=0.01)
    assert fit.score > 0.97
    back = inverse(fit)
    assert back.matrix @ (fit.matrix @ [3, 5] + fit.shift) + back.shift == pytest.approx([3, 5])
    assert whole_fit(whole, whole).score == pytest.approx(1, abs=1e-4)
    upside = dict(reversed(one) for one in Searchable(whole).holds(Searchable(part[:, ::-1].copy())))
    assert upside[True].shift == pytest.approx(rough.shift)
    flat, dot = Searchable(np.full((50, 60), 7, np.float32)), Searchable(np.zeros((1, 90), np.float32))
    assert all(fit.score == 0 for fit, _ in Searchable(whole).holds(flat))
    assert Searchable(whole).holds(dot) == dot.holds(Searchable(whole)) == []


def test_a_border_is_nothing_that_the_picture_lacks() -> None:
    picture = photograph()
    framed = small(ImageOps.expand(picture, 40, (255, 255, 255)))
    for first, second, words in (
        (small(picture), framed, "with a border"),
        (framed, small(picture), "without its border"),
    ):
        found = related(first, second)
        assert found is not None
        assert (found.words, found.first_share, found.second_share) == (words, 1.0, pytest.approx(1.0, abs=0.02))


def test_pictures_of_any_proportions_are_searched() -> None:
    noise = np.random.default_rng(0).uniform(0, 255, (192, 192)).astype(np.float32)
    square = Searchable(noise)
    for side in range(5, 192):
        for shape in ((192, side), (side, 192)):
            picture = Searchable(noise[: shape[0], : shape[1]])
            assert all(-1.01 < fit.score < 1.01 for fit, _ in picture.holds(square) + square.holds(picture))
