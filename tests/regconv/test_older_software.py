"""Checkpoints that the hub's older TensorFlow and Flax classes wrote, in the torch networks: the same outputs.

The files and the expected outputs are those software's own; tests/golden/older_software/make.py writes them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regconv
from regconv import (
    CheckpointError,
    ConvNextForImageClassification,
    ConvNextModel,
    ModelNotFound,
    RegNetForImageClassification,
    RegNetModel,
    load_backbone,
)
from regconv.checkpoint import find_weights
from regconv.checkpoint_reading import read_arrays, shapes, tensor_names

GOLDEN = Path(__file__).parents[1] / "golden" / "older_software"
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
COUNTER = "num_batches_tracked"


def kind(name: str, bare: bool) -> Any:
    if "regnet" in name:
        return RegNetModel if bare else RegNetForImageClassification
    return ConvNextModel if bare else ConvNextForImageClassification


def assert_close(ours: torch.Tensor, expected: np.ndarray) -> None:
    assert tuple(ours.shape) == expected.shape
    assert np.abs(ours.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


def test_every_kind_of_file_is_among_them() -> None:
    files = {path.name for path in GOLDEN.glob("*/*model*")}
    assert {"tf_model.h5", "tf_model.h5.index.json", "flax_model.msgpack", "model.safetensors"} < files
    assert "flax_model.msgpack.index.json" in files
    assert len(NAMES) == 14


@pytest.mark.parametrize("name", NAMES)
class TestEachCheckpoint:
    def test_every_output_is_that_of_the_software_that_wrote_it(self, name: str) -> None:
        expected = np.load(GOLDEN / name / "expected.npz")
        network, info = kind(name, "logits" not in expected).from_pretrained(GOLDEN / name, output_loading_info=True)
        assert info["unexpected_keys"] == info["mismatched_keys"] == info["error_msgs"] == []
        assert all(missing.endswith(COUNTER) for missing in info["missing_keys"])
        x = torch.from_numpy(expected["pixel_values"])
        with torch.no_grad():
            features = network.base_model(x, output_hidden_states=True)
            for index, hidden_state in enumerate(features.hidden_states):
                assert_close(hidden_state, expected[f"hidden_state_{index}"])
            assert f"hidden_state_{len(features.hidden_states)}" not in expected
            assert_close(features.pooler_output, expected["pooled"])
            if "logits" in expected:
                assert_close(network(x).logits, expected["logits"])

    def test_statistics_come_along(self, name: str) -> None:
        network = kind(name, bare=True).from_pretrained(GOLDEN / name)
        statistics = {key: tensor for key, tensor in network.named_buffers() if key.endswith(("_mean", "_var"))}
        assert bool(statistics) == ("regnet" in name)
        # Fresh ones are all 0 and all 1.
        assert all(tensor.std() > 0 for tensor in statistics.values())

    def test_the_other_kind_of_network_takes_the_file_too(self, name: str) -> None:
        expected = np.load(GOLDEN / name / "expected.npz")
        bare = "logits" in expected
        network, info = kind(name, bare).from_pretrained(GOLDEN / name, output_loading_info=True)
        head = {key for key in info["unexpected_keys" if bare else "missing_keys"] if not key.endswith(COUNTER)}
        assert {key.split(".")[0] for key in head} == {"classifier"}
        with torch.no_grad():
            features = network.base_model(torch.from_numpy(expected["pixel_values"]))
        assert_close(features.pooler_output, expected["pooled"])

    def test_saved_here_it_is_an_ordinary_checkpoint(self, name: str, tmp_path: Path) -> None:
        network = kind(name, bare=True).from_pretrained(GOLDEN / name)
        network.save_pretrained(tmp_path)
        weights = find_weights(tmp_path)
        assert weights.made_by == "pt"
        assert {key: array.shape for key, array in read_arrays(weights)} == {
            key: tuple(tensor.shape) for key, tensor in network.state_dict().items()
        }

    def test_names_and_shapes_without_values(self, name: str) -> None:
        weights = find_weights(GOLDEN / name)
        found = dict(read_arrays(weights))
        assert shapes(weights) == {key: array.shape for key, array in found.items()}
        assert tensor_names(weights) == found.keys()
        assert any(key.startswith("classifier") for key in found) == ("bare" not in name)
        some = sorted(found)[:2]
        assert [key for key, _ in read_arrays(weights, some)] == [key for key in found if key in some]

    def test_only_its_own_flag_finds_it(self, name: str) -> None:
        framework = name.split("-")[0]
        network = kind(name, bare=True)
        same = network.from_pretrained(GOLDEN / name, **{f"from_{framework}": True})
        assert torch.equal(next(same.parameters()), next(network.from_pretrained(GOLDEN / name).parameters()))
        for other in {"pt", "tf", "flax"} - {framework}:
            with pytest.raises(ModelNotFound, match=f"no weights of '{other}'"):
                network.from_pretrained(GOLDEN / name, **{f"from_{other}": True})
        with pytest.raises(ValueError, match="one of from_pt, from_tf, from_flax"):
            network.from_pretrained(GOLDEN / name, from_tf=True, from_flax=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_gallery_s_door_opens_it_too(name: str, tmp_path: Path, tiny_checkpoint: Any) -> None:
    folder = copied(name, tmp_path)
    shutil.copy(tiny_checkpoint("convnext") / "preprocessor_config.json", folder)
    expected = np.load(folder / "expected.npz")
    backbone = load_backbone(str(folder), device="cpu")
    assert (backbone.description.labels != {}) == ("logits" in expected)
    features = backbone.features(np.zeros((1, 64, 64, 3), np.uint8))
    assert [stage.shape[1] for stage in features.stages] == backbone.description.config.hidden_sizes
    assert (features.logits is not None) == ("logits" in expected)


def copied(name: str, target: Path) -> Path:
    return shutil.copytree(GOLDEN / name, target / name)


def test_another_head_is_fresh_where_sizes_may_differ() -> None:
    for name in ("tf-regnet-y-h5", "flax-regnet-y-msgpack"):
        network, info = RegNetForImageClassification.from_pretrained(
            GOLDEN / name, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )
        assert info["mismatched_keys"] == [
            ("classifier.1.weight", (3, 12), (5, 12)), ("classifier.1.bias", (3,), (5,)),
        ]  # fmt: skip
        x = torch.from_numpy(np.load(GOLDEN / name / "expected.npz")["pixel_values"])
        assert network(x).logits.isfinite().all()


def test_the_order_in_which_a_folder_is_searched(tmp_path: Path) -> None:
    folder = copied("tf-regnet-y-sharded-h5", tmp_path)
    shutil.copy(GOLDEN / "flax-regnet-y-msgpack" / "flax_model.msgpack", folder)
    assert find_weights(folder).index == folder / "tf_model.h5.index.json"
    assert find_weights(folder, made_by="flax").paths == (folder / "flax_model.msgpack",)
    shutil.copy(GOLDEN / "tf-regnet-y-h5" / "tf_model.h5", folder)
    assert find_weights(folder).paths == (folder / "tf_model.h5",)
    network = RegNetForImageClassification.from_pretrained(folder)
    network.save_pretrained(folder, safe_serialization=False)
    assert find_weights(folder).paths == (folder / "pytorch_model.bin",)
    assert find_weights(folder, made_by="tf").paths == (folder / "tf_model.h5",)
    shutil.copy(GOLDEN / "flax-regnet-y-safetensors" / "model.safetensors", folder)
    assert find_weights(folder).paths == (folder / "model.safetensors",)
    assert find_weights(folder, made_by="pt").paths == (folder / "pytorch_model.bin",)
    assert find_weights(folder, use_safetensors=False).paths == (folder / "pytorch_model.bin",)


def test_new_weights_are_read_and_older_softwares_files_stay_beside_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
    pytest.importorskip("flax", reason="needs requirements-jax.txt")
    folder = copied("tf-regnet-y-h5", tmp_path)
    shutil.copy(GOLDEN / "flax-regnet-y-msgpack" / "flax_model.msgpack", folder)
    older = {name: (folder / name).read_bytes() for name in ("tf_model.h5", "flax_model.msgpack")}
    doors = [getattr(regconv, f"{start}RegNetForImageClassification") for start in ("", "TF", "Flax")]

    def biases(network: Any) -> Any:
        """The head's, as the framework has them."""
        if isinstance(network, torch.nn.Module):
            return network.classifier[1].bias.data.numpy()
        if hasattr(network, "params"):
            return network.params["params"]["classifier"]["1"]["bias"]
        return network.hub_variables()["classifier.1.bias"].numpy()

    def read() -> list[np.ndarray]:
        return [np.array(biases(door.from_pretrained(folder))) for door in doors]

    before = read()[0]
    for count, door in enumerate(doors, start=1):
        network = door.from_pretrained(folder)
        if door is doors[0]:
            network.classifier[1].bias.data += 1
        elif door is doors[1]:
            network.hub_variables()["classifier.1.bias"].assign_add(np.ones(3, np.float32))
        else:
            network.params["params"]["classifier"]["1"]["bias"] += 1
        network.save_pretrained(folder)
        assert all(np.allclose(found, before + count) for found in read())
        assert {name: (folder / name).read_bytes() for name in older} == older
    assert find_weights(folder, made_by="tf").paths == (folder / "tf_model.h5",)
    network.save_pretrained(folder, safe_serialization=False)  # Flax's, which is read last: nothing else may be there
    assert sorted(path.name for path in folder.glob("*model*")) == ["flax_model.msgpack"]
    assert all(np.allclose(found, before + 3) for found in read())


@pytest.mark.parametrize("name", ["tf-regnet-y-sharded-h5", "flax-regnet-y-sharded-msgpack"])
def test_missing_and_misleading_shards(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    index = next(folder.glob("*.index.json"))
    values = json.loads(index.read_text())
    ghost = "scope/regnet/ghost/kernel:0" if name.startswith("tf") else "params/regnet/ghost/kernel"
    shard = next(iter(values["weight_map"].values()))
    index.write_text(json.dumps(values | {"weight_map": values["weight_map"] | {ghost: shard}}))
    with pytest.raises(CheckpointError, match=r"no shard has: \['regnet\.ghost\.weight'\]"):
        RegNetModel.from_pretrained(folder)
    index.write_text(json.dumps(values))
    (folder / shard).unlink()
    with pytest.raises(CheckpointError, match=f"not there: {shard}"):
        RegNetModel.from_pretrained(folder)
