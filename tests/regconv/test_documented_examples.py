"""What the documents' pages of RegNet and ConvNeXT show, typed with `regconv` in place of `transformers`.

One example for each class, in the form that its entry has, with models by their hub names: small networks with the
published widths at the end stand in a cache of huggingface_hub's layout, so that the documented shapes come out.
transformers is the oracle.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

import regconv

# What a user types. {name} is the class, {model} the network of a configuration, {hub} the model's name.
FORMS = {
    "configuration": """
from regconv import {name}, {model}

configuration = {name}()
model = {model}(configuration)
configuration = model.config
""",
    "processor": """
from regconv import {name}

processor = {name}.from_pretrained("{hub}")
inputs = processor.preprocess(image, return_tensors="pt")
""",
    "features": """
import torch
from regconv import AutoImageProcessor, {name}

processor = AutoImageProcessor.from_pretrained("{hub}")
model = {name}.from_pretrained("{hub}")
inputs = processor(image, return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs)
shape = list(outputs.last_hidden_state.shape)
""",
    "TF features": """
from regconv import AutoImageProcessor, {name}

processor = AutoImageProcessor.from_pretrained("{hub}")
model = {name}.from_pretrained("{hub}")
inputs = processor(images=image, return_tensors="tf")
outputs = model(**inputs)
shape = list(outputs.last_hidden_state.shape)
""",
    "Flax features": """
from regconv import AutoImageProcessor, {name}

processor = AutoImageProcessor.from_pretrained("{hub}")
model = {name}.from_pretrained("{hub}")
inputs = processor(images=image, return_tensors="np")
outputs = model(**inputs)
shape = list(outputs.last_hidden_state.shape)
""",
    "classification": """
import torch
from regconv import AutoImageProcessor, {name}

processor = AutoImageProcessor.from_pretrained("{hub}")
model = {name}.from_pretrained("{hub}")
inputs = processor(image, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
label = model.config.id2label[logits.argmax(-1).item()]
""",
    "TF classification": """
import tensorflow as tf
from regconv import AutoImageProcessor, {name}

processor = AutoImageProcessor.from_pretrained("{hub}")
model = {name}.from_pretrained("{hub}")
inputs = processor(image, return_tensors="tf")
logits = model(**inputs).logits
label = model.config.id2label[int(tf.math.argmax(logits, axis=-1)[0])]
""",
    "Flax classification": """
import jax
from regconv import AutoImageProcessor, {name}

processor = AutoImageProcessor.from_pretrained("{hub}")
model = {name}.from_pretrained("{hub}")
inputs = processor(images=image, return_tensors="np")
logits = model(**inputs).logits
label = model.config.id2label[jax.numpy.argmax(logits, axis=-1).item()]
""",
    "backbone": """
import torch
from regconv import AutoBackbone, AutoImageProcessor

processor = AutoImageProcessor.from_pretrained("{hub}")
model = AutoBackbone.from_pretrained("{hub}")
inputs = processor(image, return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs)
""",
}
# Class -> form. FlaxConvNext*, FlaxConvNextV2* and RegNetBackbone are not in the documents: they take the others' form.
EXAMPLES = {
    **{f"{family}Config": "configuration" for family in ("RegNet", "ConvNext", "ConvNextV2")},
    **{f"ConvNext{ending}": "processor" for ending in ("ImageProcessor", "FeatureExtractor")},
    **{
        f"{framework}{family}{ending}": f"{framework} {form}".strip()
        for framework in ("", "TF", "Flax")
        for family in ("RegNet", "ConvNext", "ConvNextV2")
        for ending, form in (("Model", "features"), ("ForImageClassification", "classification"))
    },
    **{f"{family}Backbone": "backbone" for family in ("RegNet", "ConvNext", "ConvNextV2")},
}
HUB_NAMES = {
    "RegNet": "facebook/regnet-y-040",
    "ConvNext": "facebook/convnext-tiny-224",
    "ConvNextV2": "facebook/convnextv2-tiny-1k-224",
}
LABELS = {index: f"animal number {index}, thing" for index in range(1000)}
SMALL: dict[str, dict[str, Any]] = {
    "RegNet": {"hidden_sizes": [16, 24, 32, 1088], "depths": [1, 1, 1, 1], "groups_width": 8},
    "ConvNext": {"hidden_sizes": [8, 12, 20, 768], "depths": [1, 1, 1, 1]},
    "ConvNextV2": {"hidden_sizes": [8, 12, 20, 768], "depths": [1, 1, 1, 1]},
}
PREPROCESSOR = {
    "crop_pct": 0.875, "do_normalize": True, "do_resize": True, "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224,
}  # fmt: skip


def family_of(name: str) -> str:
    return re.search("RegNet|ConvNextV2|ConvNext", name)[0]  # type: ignore[index]


def named(*forms: str) -> list[str]:
    return [name for name, form in EXAMPLES.items() if form in forms]


def typed(name: str, image: Any = None) -> dict[str, Any]:
    """The names that exist after the class's example; skipped by name where its framework is not installed."""
    if name.startswith("TF"):
        pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
    if name.startswith("Flax"):
        pytest.importorskip("flax", reason="needs requirements-jax.txt")
    text = FORMS[EXAMPLES[name]].format(
        name=name, model=name.replace("Config", "Model"), hub=HUB_NAMES[family_of(name)]
    )
    session = {"image": image}
    exec(compile(text, f"the example of {name}", "exec"), session)
    return session


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, enlivened: Callable[..., Any]) -> dict[str, Path]:
    """Family -> the snapshot of its model in a cache as huggingface_hub lays it out."""
    cache = tmp_path_factory.mktemp("hub")
    made = {}
    for family, hub_name in HUB_NAMES.items():
        config = getattr(regconv, family + "Config")(**SMALL[family], id2label=LABELS)
        network = enlivened(getattr(regconv, family + "ForImageClassification")(config))
        commit = hashlib.sha1(hub_name.encode()).hexdigest()
        repository = cache / f"models--{hub_name.replace('/', '--')}"
        made[family] = repository / "snapshots" / commit
        network.save_pretrained(made[family])
        (made[family] / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
    return made


@pytest.fixture
def hub(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache in huggingface_hub's hands, which is kept off the network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folders["RegNet"].parents[2]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """640 x 480: soft coloured waves and a sharp disc, in nothing symmetric."""
    rows, columns = np.mgrid[0:480, 0:640]
    red = 127 + 120 * np.sin(rows / 37 + columns / 91)
    green = 255 * ((rows - 200) ** 2 + (columns - 380) ** 2 < 120**2)
    blue = (rows * 2 + columns) % 256
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path], picture: Image.Image) -> Callable[[str], dict[str, np.ndarray]]:
    """Family -> pixel_values, map, pooled output and logits of the same files and picture in transformers."""
    transformers = pytest.importorskip("transformers")
    import torch
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

    made: dict[str, dict[str, np.ndarray]] = {}

    def outcome(family: str) -> dict[str, np.ndarray]:
        if family not in made:
            folder = folders[family]
            pixels = ConvNextImageProcessorPil.from_pretrained(folder)(picture, return_tensors="pt").pixel_values
            network = transformers.AutoModelForImageClassification.from_pretrained(folder)
            with torch.no_grad():
                features = network.base_model(pixels)
                tensors = {"pixel_values": pixels, "logits": network(pixels).logits, **features}
            made[family] = {name: tensor.numpy() for name, tensor in tensors.items()}
        return made[family]

    return outcome


def assert_close(ours: Any, theirs: np.ndarray) -> None:
    """Within 1e-5 of the largest value."""
    array = np.asarray(ours)
    assert array.shape == theirs.shape
    assert array.dtype == theirs.dtype
    assert np.abs(array - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_every_class_of_the_families_has_its_example() -> None:
    classes = {name for name in regconv.__all__ if re.match("(TF|Flax)?(RegNet|ConvNext)", name)}
    assert classes == EXAMPLES.keys()
    assert set(EXAMPLES.values()) == FORMS.keys()


@pytest.mark.parametrize("name", named("configuration"))
def test_configurations(name: str, tmp_path: Path) -> None:
    session = typed(name)
    configuration = session["configuration"]
    parameters = {"RegNetConfig": 19_557_656, "ConvNextConfig": 27_820_128, "ConvNextV2Config": 27_866_496}
    assert session["model"].num_parameters() == parameters[name]
    assert configuration == getattr(regconv, name)()
    configuration.save_pretrained(tmp_path)
    assert type(configuration).from_pretrained(tmp_path) == configuration
    assert type(configuration).from_dict(configuration.to_dict()) == configuration


@pytest.mark.parametrize("name", named("processor"))
@pytest.mark.usefixtures("hub")
def test_processors(name: str, picture: Image.Image, expected: Any, tmp_path: Path) -> None:
    if name == "ConvNextFeatureExtractor":
        with pytest.warns(FutureWarning, match="ConvNextImageProcessor"):
            session = typed(name, picture)
    else:
        session = typed(name, picture)
    inputs = session["inputs"]
    assert list(inputs) == ["pixel_values"]
    np.testing.assert_array_equal(inputs["pixel_values"], expected("ConvNext")["pixel_values"])
    session["processor"].save_pretrained(tmp_path)
    again = regconv.AutoImageProcessor.from_pretrained(tmp_path)
    assert again.size == {"shortest_edge": 224}
    np.testing.assert_array_equal(again(picture, return_tensors="np").pixel_values, inputs.pixel_values)


@pytest.mark.parametrize("name", named("features", "TF features", "Flax features"))
@pytest.mark.usefixtures("hub")
def test_features(name: str, picture: Image.Image, expected: Any) -> None:
    session = typed(name, picture)
    assert session["shape"] == [1, SMALL[family_of(name)]["hidden_sizes"][-1], 7, 7]
    assert list(session["outputs"].keys()) == ["last_hidden_state", "pooler_output"]
    for output, values in session["outputs"].items():
        assert_close(values, expected(family_of(name))[output])


@pytest.mark.parametrize("name", named("classification", "TF classification", "Flax classification"))
@pytest.mark.usefixtures("hub")
def test_classification(name: str, picture: Image.Image, expected: Any) -> None:
    session = typed(name, picture)
    reference = expected(family_of(name))["logits"]
    assert reference.shape == (1, 1000)
    assert_close(session["logits"], reference)
    assert session["label"] == LABELS[int(reference.argmax())]


@pytest.mark.parametrize("name", named("backbone"))
@pytest.mark.usefixtures("hub")
def test_backbones(name: str, picture: Image.Image, expected: Any) -> None:
    session = typed(name, picture)
    assert type(session["model"]) is getattr(regconv, name)
    assert session["model"].out_features == ["stage4"]
    (feature_map,) = session["outputs"].feature_maps
    # No norm of its own: a classifier's file has none for the maps.
    assert_close(feature_map, expected(family_of(name))["last_hidden_state"])
