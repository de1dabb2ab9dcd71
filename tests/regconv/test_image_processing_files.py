"""preprocessor_config.json: written, read back, read in its old forms, and which processor it names."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from regconv import image_processing
from regconv.errors import ModelNotFound, UnsupportedConfig
from regconv.image_processing import AutoImageProcessor, ConvNextImageProcessor


@pytest.fixture(scope="module")
def published():
    module = pytest.importorskip("transformers.models.convnext.image_processing_pil_convnext")
    return module.ConvNextImageProcessorPil


def test_the_file_is_what_the_published_processor_reads(published, tmp_path):
    ours = ConvNextImageProcessor(size=96, crop_pct=0.9, resample=Image.Resampling.BICUBIC, image_mean=(0.1, 0.2, 0.3))
    (path,) = ours.save_pretrained(tmp_path / "new")
    text = (tmp_path / "new" / "preprocessor_config.json").read_text()
    assert path.endswith("preprocessor_config.json")
    assert text.startswith('{\n  "crop_pct": 0.9,\n  "do_normalize": true,')
    assert list(json.loads(text)) == sorted(
        (*image_processing._OPTIONS, "image_processor_type"),
    )
    again = ConvNextImageProcessor.from_pretrained(tmp_path / "new")
    assert again.to_dict() == ours.to_dict()
    theirs = published.from_pretrained(tmp_path / "new")
    image = Image.radial_gradient("L").resize((200, 120)).convert("RGB")
    np.testing.assert_allclose(
        again(image, return_tensors="np").pixel_values,
        theirs(image, return_tensors="np").pixel_values,
        rtol=0,
        atol=1e-6,
    )
    theirs.save_pretrained(tmp_path / "theirs")
    back = AutoImageProcessor.from_pretrained(tmp_path / "theirs")
    assert {name: getattr(back, name) for name in ("size", "crop_pct", "resample")} == {
        name: getattr(again, name) for name in ("size", "crop_pct", "resample")
    }


def test_old_files(tmp_path):
    old = {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": None, "crop_size": 9,
           "do_normalize": True, "image_mean": [0.1, 0.2, 0.3]}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    for load in (ConvNextImageProcessor.from_pretrained, AutoImageProcessor.from_pretrained):
        processor = load(tmp_path)
        assert type(processor) is ConvNextImageProcessor
        assert (processor.size, processor.crop_pct, processor.resample) == ({"shortest_edge": 224}, 0.875, 2)
        assert (processor.do_rescale, processor.rescale_factor) == (True, 1 / 255)
        assert processor.crop_size == 9  # kept, and saved, but without effect
        assert "feature_extractor_type" not in processor.to_dict()
    changed = ConvNextImageProcessor.from_pretrained(tmp_path, size=64, do_normalize=False)
    assert (changed.size, changed.do_normalize) == ({"shortest_edge": 64}, False)
    with pytest.raises(TypeError, match="no option sise"):
        ConvNextImageProcessor.from_pretrained(tmp_path, sise=64)


@pytest.mark.parametrize(
    ("preprocessor", "model_type", "is_ours"),
    [
        ({"image_processor_type": "ConvNextImageProcessor"}, "vit", True),
        ({"image_processor_type": "ConvNextImageProcessorFast"}, None, True),
        ({"feature_extractor_type": "ConvNextFeatureExtractor"}, None, True),
        ({"size": 224}, "regnet", True),
        ({"size": 224}, "convnextv2", True),
        ({"size": 224}, "vit", False),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224}, "regnet", False),
    ],
    ids=str,
)
def test_which_processor_the_files_name(tmp_path, preprocessor, model_type, is_ours):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    if is_ours:
        assert type(AutoImageProcessor.from_pretrained(tmp_path)) is ConvNextImageProcessor
    else:
        with pytest.raises(UnsupportedConfig, match="expected"):
            AutoImageProcessor.from_pretrained(tmp_path)


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ModelNotFound, match="preprocessor_config"):
        AutoImageProcessor.from_pretrained(tmp_path)
