"""Every kind of tensor that the processor makes, and takes, has the values, the layout and the dtype of the NumPy one."""

from __future__ import annotations

import enum
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from regconv.image_processing import ConvNextImageProcessor

KINDS = ("pt", "tf", "jax")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 40, 51, 3)).astype(np.uint8)


def maker(kind: str) -> tuple[type, Any]:
    """The framework's tensor type, and the function that makes one of an array."""
    if kind == "pt":
        torch = pytest.importorskip("torch")
        return torch.Tensor, torch.from_numpy
    if kind == "tf":
        tf = pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
        return tf.Tensor, tf.constant
    jax = pytest.importorskip("jax", reason="needs requirements-jax.txt")
    return jax.Array, jax.numpy.asarray


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data_format": "channels_last"},
        {"data_format": None},
        {"do_resize": False, "do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_values_are_those_of_the_array(kind: str, options: dict[str, Any]) -> None:
    expected_type, _ = maker(kind)
    process = ConvNextImageProcessor(size=32, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    expected = process(list(IMAGES), return_tensors="np", **options).pixel_values
    found = process(list(IMAGES), return_tensors=kind, **options).pixel_values
    assert isinstance(found, expected_type)
    assert np.asarray(found).dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tensors_are_images_too(kind: str, layout: str) -> None:
    _, make = maker(kind)
    process = ConvNextImageProcessor(size=32)
    expected = process(list(IMAGES), return_tensors="np").pixel_values
    given = IMAGES.transpose(0, 3, 1, 2) if layout == "channels_first" else IMAGES
    for images in (make(given.copy()), [make(image.copy()) for image in given]):
        for said in (None, layout):
            found = process(images, return_tensors=kind, input_data_format=said).pixel_values
            np.testing.assert_array_equal(np.asarray(found), expected)
    kept = process(make(given.copy()), return_tensors=kind, data_format=None).pixel_values
    assert tuple(kept.shape) == ((2, 3, 32, 32) if layout == "channels_first" else (2, 32, 32, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_wide_floats_stay_wide_but_in_jax(kind: str) -> None:
    maker(kind)
    image = IMAGES[0] / 255
    found = ConvNextImageProcessor()(image, return_tensors=kind, do_resize=False, do_rescale=False).pixel_values
    assert np.asarray(found).dtype == (np.float32 if kind == "jax" else np.float64)


@pytest.mark.parametrize("kind", ["tf", "jax"])
def test_a_batch_of_another_framework_is_not_moved(kind: str) -> None:
    maker(kind)
    batch = ConvNextImageProcessor(size=32)(IMAGES[0], return_tensors=kind)
    with pytest.raises(TypeError, match="no torch tensor"):
        batch.to("cpu")


def test_an_enum_of_strings_is_understood() -> None:
    class Kind(str, enum.Enum):  # noqa: UP042  # as the published one: its members equal their values
        NUMPY = "np"
        PYTORCH = "pt"

    process = ConvNextImageProcessor(size=32)
    assert isinstance(process(IMAGES[0], return_tensors=Kind.NUMPY).pixel_values, np.ndarray)
    expected_type, _ = maker("pt")
    assert isinstance(process(IMAGES[0], return_tensors=Kind.PYTORCH).pixel_values, expected_type)


@pytest.mark.parametrize("kind", KINDS)
def test_unequal_sizes_make_no_tensor(kind: str) -> None:
    maker(kind)
    with pytest.raises(ValueError, match="unequal size"):
        ConvNextImageProcessor()([IMAGES[0], IMAGES[1][:30]], return_tensors=kind, do_resize=False)


@pytest.mark.parametrize(
    ("kind", "package", "requirements"),
    [("tf", "tensorflow", "requirements-tensorflow.txt"), ("jax", "jax", "requirements-jax.txt")],
)
def test_a_framework_that_is_not_installed_is_named_with_its_requirements(
    kind: str, package: str, requirements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regconv.errors import FrameworkMissing

    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]  # importing it fails
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    with pytest.raises(FrameworkMissing, match=requirements) as caught:
        ConvNextImageProcessor(size=32)(IMAGES[0], return_tensors=kind)
    assert isinstance(caught.value, ImportError)


def test_arrays_load_no_framework() -> None:
    code = (
        "import sys, numpy as np; from regconv.image_processing import ConvNextImageProcessor as P; "
        "P(size=32)(np.zeros((9, 9, 3), np.uint8), return_tensors='np'); "
        "print(*({'torch', 'jax', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
