"""The processor against the published one (its PIL backend), and the decisions that differ from it on purpose."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from regconv.image_processing import ConvNextFeatureExtractor, ConvNextImageProcessor
from regconv.images import Recipe, prepare

SHAPES = [(48, 64), (97, 131), (131, 97), (500, 333), (30, 400), (224, 224), (400, 31), (5, 7)]
PLAIN = {"do_rescale": False, "do_normalize": False}


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """uint8 (h, w, c): coarse blocks with fine noise, so that a shifted or blurred result shows."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 200, (height // 8 + 1, width // 8 + 1, channels)).repeat(8, 0).repeat(8, 1)
    return (coarse[:height, :width] + random.integers(0, 56, (height, width, channels))).astype(np.uint8)


@pytest.fixture(scope="module")
def published():
    module = pytest.importorskip("transformers.models.convnext.image_processing_pil_convnext")
    return module.ConvNextImageProcessorPil


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resample", range(6))
def test_resized_levels_are_the_published_ones(published, shape, resample):
    image = Image.fromarray(noise(*shape))
    for size, crop_pct in [(32, 0.875), (224, 0.95), (100, 0.9), (383, 1.0), (384, 0.5), (400, 0.875)]:
        options = {"size": {"shortest_edge": size}, "crop_pct": crop_pct, "resample": resample, **PLAIN}
        ours = ConvNextImageProcessor(**options)(image, return_tensors="np").pixel_values
        theirs = published(**options)(image, return_tensors="np").pixel_values
        assert ours.dtype == np.uint8
        assert ours.shape == (1, 3, size, size)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_resize": False},
        {"do_normalize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
        {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
        {"image_mean": 0.4, "image_std": 0.2},
    ],
    ids=str,
)
def test_rescaled_and_normalised_values_are_the_published_ones(published, options):
    options = {"size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3} | options
    for seed, shape in enumerate(SHAPES):
        image = Image.fromarray(noise(*shape, seed=seed))
        ours = ConvNextImageProcessor(**options)(image, return_tensors="np").pixel_values
        theirs = published(**options)(image, return_tensors="np").pixel_values
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_other_dtypes_give_the_published_values(published, dtype):
    image = noise(40, 60).astype(dtype)
    if dtype != np.int64:
        image /= 255
    options = {"size": {"shortest_edge": 32}, "resample": 2, "do_rescale": False}
    ours = ConvNextImageProcessor(**options)(image, return_tensors="np").pixel_values
    theirs = published(**options)(image, return_tensors="np").pixel_values
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_padding_where_crop_pct_exceeds_one(published):
    options = {"size": {"shortest_edge": 32}, "crop_pct": 1.6, "resample": 2, **PLAIN}
    image = Image.fromarray(noise(40, 40))
    ours = ConvNextImageProcessor(**options)(image, return_tensors="np").pixel_values
    np.testing.assert_array_equal(ours, published(**options)(image, return_tensors="np").pixel_values)
    assert (ours[..., :6, :] == 0).all()
    assert ours[..., 6:26, 6:26].min() > 0 or ours[..., 6:26, 6:26].mean() > 50
    # An odd rest: its smaller half comes first, the documents' version, where today's puts it last.
    odd = ConvNextImageProcessor(**(options | {"crop_pct": 33 / 20}))(
        Image.new("RGB", (40, 40), "white"), return_tensors="np"
    )
    rows = np.flatnonzero(odd.pixel_values[0, 0].any(axis=1))
    assert (rows[0], rows[-1]) == (6, 24)


def test_a_call_overrides_every_option_and_leaves_the_processor_as_it_is():
    image = noise(50, 70)
    changed = {
        "do_resize": True,
        "size": 48,
        "crop_pct": 0.6,
        "resample": 0,
        "do_rescale": True,
        "rescale_factor": 1 / 100,
        "do_normalize": True,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }
    base = ConvNextImageProcessor(do_resize=False, do_rescale=False, do_normalize=False)
    before = base.to_dict()
    ours = base(image, return_tensors="np", **changed).pixel_values
    np.testing.assert_array_equal(ours, ConvNextImageProcessor(**changed)(image, return_tensors="np").pixel_values)
    in_order = base.preprocess(image, *changed.values(), "np", "channels_last").pixel_values
    np.testing.assert_array_equal(in_order, ours.transpose(0, 2, 3, 1))
    assert base.to_dict() == before
    for name, value in changed.items():  # each alone does something
        without = {key: other for key, other in changed.items() if key != name}
        assert not np.array_equal(base(image, **without).pixel_values[0], ours[0]), (name, value)


def test_layouts():
    image = noise(20, 30)
    process = ConvNextImageProcessor(do_resize=False, **PLAIN)
    first = image.transpose(2, 0, 1)
    assert process(image).pixel_values[0].shape == (3, 20, 30)
    assert process(image, data_format="channels_last").pixel_values[0].shape == (20, 30, 3)
    np.testing.assert_array_equal(process(first, data_format="channels_last").pixel_values[0], image)
    # Unset: the input's own, as documented; the published versions do otherwise.
    np.testing.assert_array_equal(process(image, data_format=None).pixel_values[0], image)
    np.testing.assert_array_equal(process(first, data_format=None).pixel_values[0], first)
    # The first axis wins unless it is said otherwise, but never for a PIL image.
    assert process(image[:3]).pixel_values[0].shape == (3, 30, 3)
    assert process(image[:3], input_data_format="channels_last").pixel_values[0].shape == (3, 3, 30)
    assert process(Image.fromarray(image[:3])).pixel_values[0].shape == (3, 3, 30)
    assert process(image[..., 0], input_data_format="none").pixel_values[0].shape == (1, 20, 30)
    with pytest.raises(ValueError, match="say input_data_format"):
        process(noise(20, 30, 4))
    with pytest.raises(ValueError, match="data_format must be"):
        process(image, data_format="nchw")


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(published, channels):
    image = noise(40, 60, channels)
    options = {"size": {"shortest_edge": 32}, "resample": 3, "image_mean": 0.5, "image_std": 0.5}
    ours = ConvNextImageProcessor(**options)(image, input_data_format="channels_last", return_tensors="np")
    assert ours.pixel_values.shape == (1, channels, 32, 32)
    if channels == 1:
        theirs = published(**options)(image, input_data_format="channels_last", return_tensors="np")
        np.testing.assert_allclose(ours.pixel_values, theirs.pixel_values, rtol=0, atol=1e-6)


def test_containers_give_the_same_batch():
    torch = pytest.importorskip("torch")
    images = np.stack([noise(40, 50, seed=seed) for seed in range(3)])
    process = ConvNextImageProcessor(size=32)
    expected = process(list(images), return_tensors="np").pixel_values
    assert expected.shape == (3, 3, 32, 32)
    for container in (
        images,
        tuple(Image.fromarray(image) for image in images),
        torch.from_numpy(images),
        [torch.from_numpy(image).permute(2, 0, 1) for image in images],
    ):
        np.testing.assert_array_equal(process(container, return_tensors="np").pixel_values, expected)


def test_tensors_and_what_holds_them():
    torch = pytest.importorskip("torch")
    process = ConvNextImageProcessor(size=32)
    batch = process(noise(40, 50), return_tensors="pt")
    assert isinstance(batch.pixel_values, torch.Tensor)
    assert batch["pixel_values"] is batch.pixel_values
    assert batch.to(torch.float16).pixel_values.dtype == torch.float16
    assert batch.to("meta").pixel_values.device.type == "meta"
    assert dict(**batch).keys() == {"pixel_values"}
    with pytest.raises(AttributeError, match="pixel_values"):
        _ = batch.pixel_mask
    with pytest.raises(TypeError, match="no torch tensor"):
        process(noise(40, 50), return_tensors="np").to("cpu")
    two_sizes = [noise(40, 50), noise(50, 40)]
    assert [a.shape for a in process(two_sizes, do_resize=False).pixel_values] == [(3, 40, 50), (3, 50, 40)]
    with pytest.raises(ValueError, match="unequal size"):
        process(two_sizes, do_resize=False, return_tensors="pt")
    for kind in ("xy", "tensorflow", "TF", "", 7):
        with pytest.raises(ValueError, match="must be one of 'np', 'pt', 'tf', 'jax' or None"):
            process(noise(40, 50), return_tensors=kind)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], IndexError, "no images"),
        (None, ValueError, "NoneType"),
        ("photo.jpg", ValueError, "str"),
        (np.zeros((4, 4), np.uint8), ValueError, r"\(4, 4\)"),
        ([[np.zeros((4, 4, 3), np.uint8)]], ValueError, "list"),
        (Image.new("L", (4, 4)), ValueError, "mode RGB, got L"),
        (np.full((4, 4, 3), 300), ValueError, "0..255"),
        (np.full((4, 4, 3), 1.5), ValueError, "outside the range"),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        ConvNextImageProcessor(size=32)(images)


def test_options_that_are_none_are_refused():
    image = noise(40, 50)
    with pytest.raises(TypeError, match="do_flip"):
        ConvNextImageProcessor()(image, do_flip=True)
    with pytest.raises(TypeError, match="do_flip"):
        ConvNextImageProcessor(do_flip=True)
    with pytest.raises(ValueError, match="shortest_edge"):
        ConvNextImageProcessor(size={"height": 3, "width": 4})(image)
    with pytest.raises(ValueError, match="keys"):
        ConvNextImageProcessor(size={"edge": 3})
    for resample in ("bicubic", 6, -1):
        with pytest.raises(ValueError, match="resample"):
            ConvNextImageProcessor(resample=resample)(image)
    with pytest.raises(ValueError, match="image_mean must have one value"):
        ConvNextImageProcessor(image_mean=[0.5, 0.5])(image)


def test_rescaling_twice_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        ConvNextImageProcessor(size=32)(noise(40, 50) / 255)
    assert "do_rescale=False" in caplog.text


def test_the_old_name_warns_once_and_is_the_same():
    with pytest.warns(FutureWarning, match="ConvNextImageProcessor"):
        old = ConvNextFeatureExtractor(size=32)
    image = noise(40, 50)
    np.testing.assert_array_equal(old(image).pixel_values[0], ConvNextImageProcessor(size=32)(image).pixel_values[0])


def test_the_processor_loads_no_framework():
    code = (
        "import sys, numpy as np\n"
        "from regconv.image_processing import ConvNextImageProcessor\n"
        "ConvNextImageProcessor(size=32)(np.zeros((9, 9, 3), np.uint8), return_tensors='np')\n"
        "assert not {'torch', 'tensorflow', 'jax', 'huggingface_hub'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [48, 224, 384])
def test_prepare_gives_the_processors_pixels(tmp_path, shape, size):
    path = tmp_path / "picture.png"
    Image.fromarray(noise(*shape)).save(path)
    for resample in (2, 3):
        processor = ConvNextImageProcessor(size=size, crop_pct=0.9, resample=resample, **PLAIN)
        expected = processor(Image.open(path), data_format="channels_last", return_tensors="np").pixel_values[0]
        np.testing.assert_array_equal(prepare(path, Recipe(size, 0.9, resample)), expected)
