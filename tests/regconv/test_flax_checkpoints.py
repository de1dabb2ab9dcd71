"""Checkpoints in the Flax networks: every framework's files in, one that every framework reads out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="needs requirements-jax.txt")
pytest.importorskip("flax", reason="needs requirements-jax.txt")

from flax.traverse_util import flatten_dict  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

import regconv  # noqa: E402
from regconv import (  # noqa: E402
    FlaxConvNextForImageClassification,
    FlaxConvNextModel,
    FlaxRegNetForImageClassification,
    FlaxRegNetModel,
    ModelNotFound,
    WeightsMismatch,
)
from regconv import torch as torch_networks  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden" / "older_software"
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Speed is not looked at here, and unoptimised code is compiled in half the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_close(ours: Any, expected: np.ndarray, bound: float = 1e-5) -> None:
    assert ours.shape == expected.shape
    assert np.abs(np.asarray(ours) - expected).max() <= bound * np.abs(expected).max()


def same_arrays(one: Any, other: Any) -> bool:
    first, second = flatten_dict(one), flatten_dict(other)
    return first.keys() == second.keys() and all(np.array_equal(first[path], second[path]) for path in first)


def flax_class(family: str, head: bool = True) -> Any:
    door = regconv.FlaxAutoModelForImageClassification if head else regconv.FlaxAutoModel
    return door.class_for(regconv.AutoConfig.for_model(family.split("-")[0]))


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_older_software_give_its_outputs(name: str) -> None:
    expected = np.load(GOLDEN / name / "expected.npz")
    has_logits = "logits" in expected
    kind = flax_class(name.split("-")[1], has_logits)
    model, info = kind.from_pretrained(GOLDEN / name, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    output = model(expected["pixel_values"], output_hidden_states=True)
    if has_logits:
        assert_close(output.logits, expected["logits"])
    else:
        assert_close(output.pooler_output, expected["pooled"])
    assert f"hidden_state_{len(output.hidden_states)}" not in expected
    for index, hidden_state in enumerate(output.hidden_states):
        assert_close(hidden_state, expected[f"hidden_state_{index}"])


def test_all_of_them_are_here() -> None:
    assert len(NAMES) == 14
    assert {path.suffix for path in GOLDEN.glob("*/*model*")} == {".h5", ".json", ".msgpack", ".safetensors"}


class TestLoading:
    def test_pickled_files_and_the_choice_of_one_framework(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        folder = tiny_checkpoint("regnet-y")
        torch_networks.RegNetForImageClassification.from_pretrained(folder).save_pretrained(
            tmp_path, safe_serialization=False
        )
        from_safetensors = FlaxRegNetForImageClassification.from_pretrained(folder).params
        assert same_arrays(from_safetensors, FlaxRegNetForImageClassification.from_pretrained(tmp_path).params)
        chosen = FlaxRegNetForImageClassification.from_pretrained(tmp_path, from_pt=True)
        assert same_arrays(from_safetensors, chosen.params)
        with pytest.raises(ModelNotFound, match=r"flax_model.msgpack"):
            FlaxRegNetForImageClassification.from_pretrained(tmp_path, from_flax=True)

    @pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
    def test_head_file_in_a_bare_model_and_the_reverse(self, family: str, tiny_checkpoint: Any) -> None:
        head, bare = tiny_checkpoint(family), tiny_checkpoint(family, head=False)
        prefix, last = ("regnet", "classifier.1.") if family == "regnet-y" else ("convnextv2", "classifier.")
        model, info = flax_class(family, head=False).from_pretrained(head, output_loading_info=True)
        assert info["unexpected_keys"] == [f"{last}bias", f"{last}weight"]
        assert info["missing_keys"] == []
        whole = flax_class(family).from_pretrained(head)
        for collection, inside in model.params.items():
            assert same_arrays(inside, whole.params[collection][prefix])
        model, info = flax_class(family).from_pretrained(bare, seed=3, output_loading_info=True)
        assert info["missing_keys"] == [f"{last}bias", f"{last}weight"]
        assert info["unexpected_keys"] == []
        again = flax_class(family).from_pretrained(bare, seed=4)
        assert same_arrays(model.params["params"][prefix], again.params["params"][prefix])
        assert not same_arrays(model.params["params"]["classifier"], again.params["params"]["classifier"])
        shaped = flax_class(family).from_pretrained(bare, input_shape=(2, 64, 48, 3), seed=4)
        assert shaped.input_shape == (2, 64, 48, 3)
        assert same_arrays(shaped.params, again.params)

    def test_files_that_do_not_fit_are_refused_with_the_names(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("regnet-x")
        with pytest.raises(WeightsMismatch, match=r"- regnet.encoder.stages.1.layers.2.layer.0.convolution.weight"):
            FlaxRegNetForImageClassification.from_pretrained(folder, depths=[1, 3, 1])
        with pytest.raises(WeightsMismatch, match=r"classifier.1.weight: \(7, 40\) in the file, \(3, 40\)"):
            FlaxRegNetForImageClassification.from_pretrained(folder, num_labels=3)
        with pytest.raises(TypeError, match="oops"):
            FlaxRegNetForImageClassification.from_pretrained(folder, oops=1)
        model, info = FlaxRegNetForImageClassification.from_pretrained(
            folder, num_labels=3, ignore_mismatched_sizes=True, output_loading_info=True
        )
        assert sorted(info["mismatched_keys"]) == [
            ("classifier.1.bias", (7,), (3,)),
            ("classifier.1.weight", (7, 40), (3, 40)),
        ]
        assert model(pixels(1, 3, 32, 32)).logits.shape == (1, 3)
        whole = FlaxRegNetForImageClassification.from_pretrained(folder)
        assert same_arrays(model.params["params"]["regnet"], whole.params["params"]["regnet"])

    def test_parameters_outside_the_model(self, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint("convnext")
        model, params = FlaxConvNextForImageClassification.from_pretrained(folder, _do_init=False)
        with pytest.raises(ValueError, match="_do_init=False"):
            _ = model.params
        inside = FlaxConvNextForImageClassification.from_pretrained(folder)
        assert same_arrays(params, inside.params)
        x = pixels(1, 3, 32, 32)
        assert jnp.array_equal(model(x, params=params).logits, inside(x).logits)

    def test_half_precision_files_become_float32_parameters(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        network = torch_networks.ConvNextModel.from_pretrained(tiny_checkpoint("convnext"), dtype=torch.bfloat16)
        network.save_pretrained(tmp_path)
        model = FlaxConvNextModel.from_pretrained(tmp_path, jnp.bfloat16)
        assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}
        bias = model.params["params"]["embeddings"]["patch_embeddings"]["bias"]
        assert np.array_equal(bias, network.embeddings["patch_embeddings"].bias.detach().float().numpy())
        assert model(pixels(1, 3, 32, 32)).pooler_output.dtype == jnp.bfloat16


class TestSaving:
    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("head", [True, False])
    def test_files_are_those_of_torch(self, family: str, head: bool, tiny_checkpoint: Any, tmp_path: Path) -> None:
        folder = tiny_checkpoint(family, head=head)
        model = flax_class(family, head).from_pretrained(folder)
        model.save_pretrained(tmp_path / "out")
        ours, theirs = load_file(tmp_path / "out" / "model.safetensors"), load_file(folder / "model.safetensors")
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
            assert np.array_equal(ours[name], array if not name.endswith("tracked") else 0 * array), name
        config = json.loads((tmp_path / "out" / "config.json").read_text())
        assert config == json.loads((folder / "config.json").read_text())
        assert config["architectures"] == [type(model).__name__.removeprefix("Flax")]

    @pytest.mark.parametrize("family", ["regnet-y", "convnextv2"])
    def test_transformers_reads_them(self, family: str, tiny_checkpoint: Any, tmp_path: Path) -> None:
        transformers = pytest.importorskip("transformers")
        model = flax_class(family).from_pretrained(tiny_checkpoint(family))
        model.save_pretrained(tmp_path / "out", max_shard_size=20_000)
        assert (tmp_path / "out" / "model.safetensors.index.json").is_file()
        network = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out")
        x = pixels(2, 3, 33, 48)
        with torch.no_grad():
            expected = network.eval()(torch.from_numpy(x)).logits.numpy()
        assert_close(model(x).logits, expected)

    @pytest.mark.parametrize("family", ["regnet-y", "convnext"])
    def test_flax_files_replace_what_was_there(self, family: str, tiny_checkpoint: Any) -> None:
        folder = tiny_checkpoint(family)
        model = flax_class(family).from_pretrained(folder)
        classifier = model.params["params"]["classifier"]
        classifier.get("1", classifier)["bias"] += 1.0
        model.save_pretrained(folder, safe_serialization=False)
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json", "flax_model.msgpack", "preprocessor_config.json",
        ]  # fmt: skip
        assert same_arrays(flax_class(family).from_pretrained(folder).params, model.params)
        network = getattr(torch_networks, type(model).__name__.removeprefix("Flax")).from_pretrained(folder)
        x = pixels(1, 3, 32, 32)
        with torch.no_grad():
            assert_close(model(x).logits, network(torch.from_numpy(x)).logits.numpy())

    def test_other_parameters_and_half_precision(self, tiny_checkpoint: Any, tmp_path: Path) -> None:
        model, params = FlaxRegNetModel.from_pretrained(tiny_checkpoint("regnet-y"), _do_init=False)
        half = model.to_bf16(params)
        model.save_pretrained(tmp_path, half)
        network = torch_networks.RegNetModel.from_pretrained(tmp_path, dtype="auto")
        assert network.dtype == torch.bfloat16
        assert same_arrays(model.to_fp32(half), FlaxRegNetModel.from_pretrained(tmp_path).params)
        with pytest.raises(ValueError, match="params lacks"):
            model.save_pretrained(tmp_path, {"params": params["params"]})
        with pytest.raises(ValueError, match="_do_init=False"):
            model.save_pretrained(tmp_path)
        with pytest.raises(TypeError, match="private"):
            model.save_pretrained(tmp_path, params, private=True)
