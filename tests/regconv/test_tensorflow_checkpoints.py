"""TensorFlow networks on disk: every kind of checkpoint in, the hub's out, and Keras' own formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
keras = pytest.importorskip("keras", reason="needs requirements-tensorflow.txt")

import torch  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

import regconv  # noqa: E402
import regconv.tensorflow as networks  # noqa: E402
from regconv import torch as torch_networks  # noqa: E402
from regconv.tensorflow import pretrained  # noqa: E402

FAMILIES = ("regnet-x", "regnet-y", "convnext", "convnextv2")
OLDER = Path(__file__).parents[1] / "golden" / "older_software"
OLDER_FOLDERS = sorted(path.name for path in OLDER.iterdir() if (path / "expected.npz").is_file())
BOUND = 1e-5  # of the largest value, in float32
# Two stages with every kind of layer: making and reading Keras' variables takes its time for each.
SMALL: dict[str, dict[str, Any]] = {
    **{key: {"hidden_sizes": [18, 24], "depths": [2, 1]} for key in ("regnet-x", "regnet-y")},
    **{key: {"hidden_sizes": [8, 12], "depths": [2, 1], "num_stages": 2} for key in ("convnext", "convnextv2")},
}
# Keras 3.15 reads TensorFlow's variables in a way that NumPy 2.4 is about to drop.
keras_saves = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def pictures(height: int = 32, width: int = 40) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(2, 3, height, width)).astype(np.float32)


def difference(found: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest value; the shapes must be equal."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def class_names(folder: Path) -> tuple[str, str]:
    family = regconv.AutoConfig.from_pretrained(folder).family
    return f"{family}Model", f"{family}ForImageClassification"


def torch_end(folder: Path, name: str) -> np.ndarray:
    """Logits, or the pooled output of a bare network, from torch."""
    network = getattr(torch_networks, name).from_pretrained(folder)
    with torch.no_grad():
        output = network(torch.from_numpy(pictures()))
    return (output.pooler_output if name.endswith("Model") else output.logits).numpy()


def end(network: Any) -> Any:
    output = network(pictures())
    return output["logits" if "logits" in output else "pooler_output"]


@pytest.mark.parametrize("folder", OLDER_FOLDERS)
def test_files_of_the_documents_software_give_its_numbers(folder: str) -> None:
    expected = np.load(OLDER / folder / "expected.npz")
    bare_name, head_name = class_names(OLDER / folder)
    for name in (bare_name, head_name):
        network, info = getattr(networks, "TF" + name).from_pretrained(OLDER / folder, output_loading_info=True)
        found = network(expected["pixel_values"], output_hidden_states=True)
        for index, stage in enumerate(found.hidden_states):
            assert difference(stage, expected[f"hidden_state_{index}"]) < BOUND
        if name == bare_name:
            assert difference(found.pooler_output, expected["pooled"]) < BOUND
        elif "logits" in expected:
            assert difference(found.logits, expected["logits"]) < BOUND
        surplus = name == bare_name and "logits" in expected
        assert all(key.startswith("classifier.") for key in info["unexpected_keys"])
        assert bool(info["unexpected_keys"]) == surplus
        assert bool(info["missing_keys"]) == (name == head_name and "logits" not in expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_and_bare_networks_load_each_other_and_go_back_to_torch(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, family: str
) -> None:
    folder = tiny_checkpoint(family, **SMALL[family])
    for name in class_names(folder):
        network = getattr(networks, "TF" + name).from_pretrained(folder)
        assert difference(end(network), torch_end(folder, name)) < BOUND
        network.save_pretrained(tmp_path / name)
        assert difference(torch_end(tmp_path / name, name), end(network)) < BOUND
        again = getattr(networks, "TF" + name).from_pretrained(tmp_path / name)
        assert np.array_equal(end(again), end(network))
    bare_name, head_name = class_names(folder)
    head, info = getattr(networks, "TF" + head_name).from_pretrained(tmp_path / bare_name, output_loading_info=True)
    number = ".1" if "regnet" in family else ""
    assert info["missing_keys"] == [f"classifier{number}.bias", f"classifier{number}.weight"]
    assert end(head).shape == (2, 7)


def test_what_is_saved_has_the_hubs_names_axes_and_counters(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tiny_checkpoint("regnet-y")
    networks.TFRegNetForImageClassification.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    original, saved = (load_file(where / "model.safetensors") for where in (folder, tmp_path / "saved"))
    counters = {name for name in original if name.endswith("num_batches_tracked")}
    assert saved.keys() == original.keys()
    assert all(np.array_equal(saved[name], original[name]) for name in original.keys() - counters)
    assert all(saved[name].dtype == np.int64 and saved[name] == 0 for name in counters)
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["architectures"] == ["RegNetForImageClassification"]
    assert config["torch_dtype"] == "float32"


def test_variables_are_copied_shard_by_shard(
    tiny_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never all of them at once: a save in shards takes the memory of one."""
    import safetensors.numpy

    save_file, hub_array, done = safetensors.numpy.save_file, pretrained._hub_array, []

    def saved(tensors: dict[str, np.ndarray], *args: Any) -> None:
        done.append("save")
        save_file(tensors, *args)

    monkeypatch.setattr(safetensors.numpy, "save_file", saved)
    monkeypatch.setattr(pretrained, "_hub_array", lambda variable: done.append("copy") or hub_array(variable))
    network = networks.TFRegNetModel(tiny_config("regnet-x"), dtype="bfloat16")
    network.save_pretrained(tmp_path, max_shard_size=8000)
    runs = "".join("s" if one == "save" else "c" for one in done).split("s")
    assert len(runs) - 1 == len(list(tmp_path.glob("model-*.safetensors"))) >= 4
    assert sum(map(len, runs)) == len(network.weights)
    assert max(map(len, runs)) < len(network.weights) / 2
    again = networks.TFRegNetModel.from_pretrained(tmp_path, dtype="bfloat16").hub_arrays()
    assert all(np.array_equal(again[name], array) for name, array in network.hub_arrays().items())


def test_transformers_reads_what_is_saved(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    for family in ("regnet-y", "convnext", "convnextv2"):
        folder = tiny_checkpoint(family, **SMALL[family])
        name = class_names(folder)[1]
        network = getattr(networks, "TF" + name).from_pretrained(folder)
        network.save_pretrained(tmp_path / family)
        theirs, info = getattr(transformers, name).from_pretrained(tmp_path / family, output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        with torch.no_grad():
            logits = theirs.eval()(torch.from_numpy(pictures())).logits.numpy()
        assert difference(end(network), logits) < BOUND


def test_flax_reads_what_is_saved(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("flax", reason="needs requirements-jax.txt")
    network = networks.TFRegNetForImageClassification.from_pretrained(tiny_checkpoint("regnet-y", **SMALL["regnet-y"]))
    network.save_pretrained(tmp_path / "saved")
    flax = regconv.FlaxRegNetForImageClassification.from_pretrained(tmp_path / "saved")
    assert difference(flax(pictures()).logits, end(network)) < BOUND


def test_pickles_shards_and_half_precision_load(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny_checkpoint("regnet-x")
    name = class_names(folder)[1]
    expected = torch_end(folder, name)
    network = torch_networks.RegNetForImageClassification.from_pretrained(folder)
    network.save_pretrained(tmp_path / "bin", safe_serialization=False)
    network.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    network.bfloat16().save_pretrained(tmp_path / "bfloat16")
    kind = networks.TFRegNetForImageClassification
    for where in ("bin", "shards"):
        assert difference(end(kind.from_pretrained(tmp_path / where, from_pt=True)), expected) < BOUND
    loaded = kind.from_pretrained(tmp_path / "bfloat16")
    assert {variable.dtype for variable in loaded.weights} == {"float32"}
    assert 0 < difference(end(loaded), expected) < 0.05
    half = kind.from_pretrained(folder, dtype="bfloat16", name="half")
    assert (half.name, half.compute_dtype, half.variable_dtype) == ("half", "bfloat16", "bfloat16")
    half.save_pretrained(tmp_path / "half")
    assert (
        torch_networks.RegNetForImageClassification.from_pretrained(tmp_path / "half", dtype="auto").dtype
        == torch.bfloat16
    )


def test_what_does_not_fit_is_refused(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, kind = tiny_checkpoint("regnet-y"), networks.TFRegNetForImageClassification
    with pytest.raises(regconv.WeightsMismatch, match=r"classifier\.1\.weight: \(7, 22\) in the file, \(5, 22\)"):
        kind.from_pretrained(folder, num_labels=5)
    network, info = kind.from_pretrained(folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    assert sorted(info["mismatched_keys"])[0] == ("classifier.1.bias", (7,), (5,))
    assert end(network).shape == (2, 5)
    with pytest.raises(regconv.WeightsMismatch, match=r"\+ regnet\.encoder\.stages\.0\.layers\.0\.layer\.3"):
        kind.from_pretrained(folder, layer_type="x")
    with pytest.raises(TypeError, match="hidden_sices"):
        kind.from_pretrained(folder, hidden_sices=[1])
    with pytest.raises(regconv.ModelNotFound):
        kind.from_pretrained(folder, from_tf=True)
    with pytest.raises(ValueError, match="safe_serialization=False is refused"):
        network.save_pretrained(tmp_path / "h5", safe_serialization=False)
    assert not (tmp_path / "h5").exists()


def test_pushing_sends_what_saving_writes(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}

    def pushed(repo_id: str, save: Callable[[Path], Any], **options: Any) -> str:
        folder = tiny_checkpoint("regnet-x") / "pushed"
        save(folder)
        sent.update(options, repo_id=repo_id, files=sorted(path.name for path in folder.iterdir()))
        return "address"

    monkeypatch.setattr("regconv.hub_push.push", pushed)
    network = networks.TFRegNetModel.from_pretrained(tiny_checkpoint("regnet-x"))
    assert network.push_to_hub("someone/mine", private=True) == "address"
    assert sent["repo_id"] == "someone/mine"
    assert sent["files"] == ["config.json", "model.safetensors"]
    assert sent["commit_message"] == "Upload TFRegNetModel"


@keras_saves
@pytest.mark.parametrize("family", FAMILIES)
def test_a_keras_file_gives_the_same_network_back(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, family: str
) -> None:
    folder = tiny_checkpoint(family, **SMALL[family])
    for name in class_names(folder):
        network = getattr(networks, "TF" + name).from_pretrained(folder)
        network.compile("adam", metrics=None if name.endswith("Model") else ["accuracy"])
        network.optimizer.build(network.trainable_variables)  # as fit does; else Keras warns when it loads
        network.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras")
        assert type(again) is type(network)
        assert again.config == network.config
        assert np.array_equal(end(again), end(network))
        assert again.hub_variables().keys() == network.hub_variables().keys()
        assert type(again.optimizer) is keras.optimizers.Adam


@keras.saving.register_keras_serializable("tests")
def doubled(x: Any) -> Any:
    return tf.nn.relu(2.0 * x)


@keras_saves
def test_a_keras_file_keeps_options_that_no_checkpoint_holds(tiny_config: Callable[..., Any], tmp_path: Path) -> None:
    config = tiny_config("convnext", hidden_act=doubled, patch_size=(4, 2))
    network = networks.TFConvNextModel(config, add_pooling_layer=False, dtype="mixed_bfloat16", name="mine")
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert (again.name, again.dtype_policy.name, again.add_pooling_layer) == ("mine", "mixed_bfloat16", False)
    assert again.config.hidden_act is doubled
    found, expected = (each(pictures()).last_hidden_state for each in (again, network))
    assert found.dtype == tf.bfloat16
    assert np.array_equal(found, expected)
    frozen = networks.TFRegNetModel(tiny_config("regnet-x"), trainable=False)
    assert not networks.TFRegNetModel.from_config(frozen.get_config()).trainable_variables


@keras_saves
def test_weights_files_and_exports_hold_the_network(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    network = networks.TFRegNetForImageClassification.from_pretrained(tiny_checkpoint("regnet-y", **SMALL["regnet-y"]))
    network.save_weights(tmp_path / "network.weights.h5")
    again = networks.TFRegNetForImageClassification(network.config)
    again.load_weights(tmp_path / "network.weights.h5")
    assert np.array_equal(end(again), end(network))
    network.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    assert difference(loaded.serve(pictures(32, 48))["logits"], network(pictures(32, 48)).logits) < BOUND
