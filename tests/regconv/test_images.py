"""Any file to an upright RGB picture, or a reason in words; and the prepared crop."""

from __future__ import annotations

import io
import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from regconv.image_colours import for_display
from regconv.images import (
    Recipe,
    draft_size,
    looks_like_image,
    open_image,
    open_picture,
    prepare,
    prepared,
)

pillow_heif.register_heif_opener()

DATA = os.environ.get("REGCONV_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="REGCONV_DATA is not set: the shared pictures are not here")
RECIPE = Recipe(64, 0.875, 3)
EXACT = 0
# Format, how it is written, and how far from the original it may come back (mean grey levels).
WRITTEN = {
    "JPEG": ({"quality": 95, "subsampling": 0}, 2),
    "PNG": ({}, EXACT),
    "GIF": ({}, 8),
    "WEBP": ({"lossless": True}, EXACT),
    "TIFF": ({"compression": "tiff_lzw"}, EXACT),
    "BMP": ({}, EXACT),
    "PPM": ({}, EXACT),
    "JPEG2000": ({}, EXACT),
    "AVIF": ({"quality": 95}, 2),
    "HEIF": ({"quality": 95}, 2),
    "ICO": ({"sizes": [(200, 150)]}, EXACT),
}


def scene(width: int = 200, height: int = 150) -> Image.Image:
    """A smooth colour wash with four different corners: any turn or mirror is a large difference."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, 127 + 100 * np.sin(x / 15) * np.cos(y / 11)], -1)
    pixels[: height // 4, : width // 4] = (255, 255, 255)
    pixels[-height // 5 :, : width // 6] = (0, 0, 0)
    return Image.fromarray(pixels.astype(np.uint8))


def written(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(a, b) -> float:
    """Mean of the grey levels between two pictures of one size."""
    a, b = np.asarray(a).astype(float), np.asarray(b).astype(float)
    assert a.shape == b.shape
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("kind", WRITTEN)
def test_one_picture_in_eleven_formats_comes_back_the_same(kind):
    options, tolerance = WRITTEN[kind]
    data = written(scene(), kind, **options)
    assert looks_like_image("no ending", data[:32])
    assert difference(open_image(data), scene()) <= tolerance
    assert open_picture(data).format == kind


def orientations(image: Image.Image, turn: int) -> Image.Image:
    """`image` as a camera held so that EXIF says `turn` would have stored it."""
    from regconv.image_exif import _TURN

    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    return image if turn == 1 else image.transpose(undo.get(turn, _TURN[turn]))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_orientation_comes_out_upright_once(kind, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    # pillow-heif turns what its own encoder marks as turned, and reads the mark from bytes only.
    mark = exif.tobytes() if kind == "HEIF" else exif
    data = written(orientations(scene(), turn), kind, exif=mark, **WRITTEN[kind][0])
    picture = open_picture(data)
    assert (picture.width, picture.height) == picture.image.size == (200, 150)
    assert difference(picture.image, scene()) < 2


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_drafted_jpeg_is_the_same_view_as_the_whole_one(tmp_path, turn):
    # Sides that no scale divides: the last drafted row and column stand for less than a pixel, on a side that turns.
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "photo.jpg"
    orientations(scene(1237, 931), turn).save(path, quality=95, subsampling=0, exif=exif)
    recipe = Recipe(64, 0.875, 3)
    drafted = open_picture(path, at_least=draft_size(recipe))
    assert drafted.image.size == (310, 233)
    assert (drafted.width, drafted.height) == (1237, 931)
    whole = prepare(path, Recipe(64, 0.875, 3, draft_factor=0))
    assert difference(prepared(drafted, recipe), whole) < 0.25
    np.testing.assert_array_equal(prepare(path, recipe), prepared(drafted, recipe))


def test_a_draft_keeps_what_was_asked_for_on_both_sides():
    data = written(scene(1600, 900), "JPEG")
    for asked in [(200, 100), (201, 112), (400, 226), (1600, 900), (3000, 10), (1, 1)]:
        width, height = open_image(data, draft=asked).size
        assert width >= min(asked[0], 1600)
        assert height >= min(asked[1], 900)
    assert open_image(data, draft=(200, 112)).size == (200, 113)
    exif = Image.Exif()
    exif[0x0112] = 6
    # Stored lying down: the sides asked for are the upright picture's.
    assert open_image(written(scene(1600, 900), "JPEG", exif=exif), draft=(112, 200)).size == (113, 200)
    assert open_image(written(scene(1600, 900), "PNG"), draft=(200, 112)).size == (1600, 900)


def test_what_is_transparent_shows_white():
    clear = scene().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    expected = Image.new("RGB", clear.size, "white")
    expected.paste(clear, mask=clear.getchannel("A"))
    for kind, options in [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]:
        assert difference(open_image(written(clear, kind, **options)), expected) == 0
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((0, 0), 0)
    assert open_image(written(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert open_image(written(palette, "PNG", transparency=b"\x80\xff")).getpixel((0, 0)) == (132, 137, 142)
    assert open_image(written(palette, "GIF", transparency=0)).getpixel((1, 1)) == (40, 50, 60)
    grey = Image.new("LA", (2, 2), (100, 128))
    assert open_image(written(grey, "PNG")).getpixel((0, 0)) == (177, 177, 177)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 256 * 4).reshape(32, 32)
    sixteen = open_image(written(Image.fromarray(ramp.astype(np.uint16)), kind))
    assert difference(np.asarray(sixteen)[..., 0], ramp / 257) < 0.5
    twelve = open_image(written(Image.fromarray((ramp / 16).astype(np.uint16)), kind))
    assert difference(np.asarray(twelve)[..., 0], ramp / 257) < 0.6


def test_float_and_signed_grey():
    ramp = np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
    for values in (ramp, ramp * 255, ramp * 65535, ramp * 4e6 - 1e6):
        assert difference(open_image(written(Image.fromarray(values), "TIFF")).getchannel(0), ramp * 255) < 0.6
    broken = ramp.copy()
    broken[0, 0] = np.nan
    assert open_image(written(Image.fromarray(broken), "TIFF")).getpixel((0, 0)) == (0, 0, 0)
    flat = Image.fromarray(np.full((4, 4), -7, np.int32))
    assert open_image(written(flat, "TIFF")).getpixel((0, 0)) == (0, 0, 0)


def test_cmyk_goes_through_its_profile_only_where_that_makes_sense():
    cmyk = scene().convert("CMYK")
    plain = open_image(written(cmyk, "TIFF"))
    assert difference(plain, cmyk.convert("RGB")) == 0
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile"):  # one for RGB says nothing about CMYK
        assert difference(open_image(written(cmyk, "TIFF", icc_profile=profile)), plain) == 0


def test_an_rgb_profile_is_not_applied_but_handed_on():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = open_picture(written(scene(), "PNG", icc_profile=srgb))
    assert difference(picture.image, scene()) == 0
    assert picture.icc_profile == srgb
    assert picture.image.info == {}


@needs_data
def test_for_eyes_an_rgb_profile_is_applied():
    picture = open_picture(Path(DATA, "nasty", "formats", "exifsamples__IMG_5195.HEIC"))  # Display P3, as phones write
    shown = for_display(picture.image, picture.icc_profile)
    assert 0.5 < difference(shown, picture.image) < 20
    for useless in (None, b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        assert for_display(picture.image, useless) is picture.image


@needs_data
def test_a_cmyk_photo_with_a_profile_looks_like_the_one_without():
    folder = Path(DATA, "nasty", "cmyk")
    with_profile = open_image(folder / "sharp__Channel_digital_image_CMYK_color.jpg")
    without = open_image(folder / "sharp__Channel_digital_image_CMYK_color_no_profile.jpg")
    assert 2 < difference(with_profile, without) < 40


@needs_data
@pytest.mark.parametrize("group", ["orient__Landscape_", "orient__Portrait_", "pillow__hopper_orientation_"])
def test_photographs_of_every_orientation_are_one_photograph(group):
    folder = Path(DATA, "nasty", "exif_rotated")
    first = folder / (f"{group}2.jpg" if "hopper" in group else f"{group}1.jpg")
    upright = open_image(first)
    others = sorted(folder.glob(f"{group}*.jpg"))
    assert len(others) >= 4
    for path in others:
        assert difference(open_image(path), upright) < 4, path.name
        assert difference(prepare(path, RECIPE), prepare(first, RECIPE)) < 4, path.name


@needs_data
def test_the_near_duplicates_formats_agree():
    folder = Path(DATA, "near_duplicates", "formats_images")
    png = prepare(folder / "ukbench09380.png", RECIPE)
    for ending in ("bmp", "jpeg", "webp"):
        assert difference(prepare(folder / f"ukbench09380.{ending}", RECIPE), png) < 3
    others = [path for path in folder.iterdir() if path.suffix != ".svg"]
    assert len([prepare(path, RECIPE) for path in others]) >= 8


def test_what_exif_tells():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON CORPORATION\0\0", " NIKON\tD80 "
    exif[0x0132] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x9003] = "2006:10:22 15:06:41"
    picture = open_picture(written(scene(), "JPEG", exif=exif))
    assert (picture.camera, picture.taken_at) == ("NIKON D80", datetime(2006, 10, 22, 15, 6, 41))
    exif[0x010F], exif[0x0110] = "Apple", "iPhone 13"
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    picture = open_picture(written(scene(), "JPEG", exif=exif))
    assert (picture.camera, picture.taken_at) == ("Apple iPhone 13", datetime(2020, 1, 1))
    nothing = open_picture(written(scene(), "PNG"))
    assert (nothing.camera, nothing.taken_at) == (None, None)
    damaged = open_picture(written(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert (damaged.camera, damaged.taken_at) == (None, None)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 100_000), (100_000, 1), (2, 70_000), (7, 13)])
def test_odd_shapes(tmp_path, width, height):
    path = tmp_path / "strip.png"
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(values).save(path)
    for size in (64, 384):
        assert prepare(path, Recipe(size, 0.875, 3)).shape == (size, size, 3)


def test_the_middle_of_a_long_strip_is_what_resizing_it_whole_gives(monkeypatch):
    from regconv import image_geometry

    strip = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 3000, 3), np.uint8))
    for turned in (strip, strip.transpose(Image.Transpose.ROTATE_90)):
        whole = image_geometry.resize_and_crop(turned, 64, 0.875, 3)
        with monkeypatch.context() as patch:
            patch.setattr(image_geometry, "_LARGEST_RESIZED_PX", 0)
            middle = image_geometry.resize_and_crop(turned, 64, 0.875, 3)
        assert np.abs(np.asarray(whole).astype(int) - np.asarray(middle)).max() <= 1


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.jpg", b"", True),
        ("A.HEIC", b"", True),
        ("a.txt", b"\xff\xd8\xff\xe0", True),
        ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", False),
        ("a.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", False),
        ("a.m4a", b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42", False),
        ("a", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", True),
        ("a", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", True),
        ("a", b"RIFF\x10\0\0\0WEBPVP8 ", True),
        ("a.wav", b"RIFF\x10\0\0\0WAVEfmt ", False),
        ("BM.txt", b"BMW is a maker of cars and of motorbikes", False),
        ("a", b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", True),
        ("a.txt", b"P5 is not a picture by itself", False),
        ("a", b"P6\n640 480\n255\n", True),
        ("a.ttf", b"\0\1\0\0\0\x10\1\0\0\4\0\0" + bytes(20), False),
        ("a.mpg", b"\0\0\1\xba\x44\0\4\0" + bytes(24), False),
        ("a.svg", b"<svg></svg>", False),
        ("notes.txt", b"", False),
        ("", b"", False),
    ],
)
def test_looks_like_image(name, head, expected):
    assert looks_like_image(name, head) is expected


def test_recipes_are_identities():
    recipe = Recipe(224, 0.875, Image.Resampling.BICUBIC)
    assert json.dumps(recipe.as_dict()) == json.dumps(Recipe(224, 0.875, 3).as_dict())
    assert Recipe(384, 1, 3).as_dict() == Recipe(384, 1.0, 3).as_dict()
    others = [Recipe(225, 0.875, 3), Recipe(224, 0.9, 3), Recipe(224, 0.875, 2), Recipe(224, 0.875, 3, draft_factor=0)]
    assert len({json.dumps(each.as_dict()) for each in [recipe, *others]}) == 5
    assert Image.__version__.startswith(recipe.as_dict()["pillow"] + ".")
