"""Names and axes of the three frameworks, there and back, for every tensor that a network has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regconv.torch as networks
from regconv import CheckpointError
from regconv.checkpoint import Weights, find_weights
from regconv.checkpoint_reading import read_arrays, read_tensors, stored_dtype
from regconv.layouts import (
    COUNTER,
    FLAX_LEAVES,
    TENSORFLOW_LEAVES,
    hub_axes,
    hub_name,
    hub_shape,
    is_kernel,
    kernel_axes,
    kernel_shape,
    own_names,
)
from regconv.loading import match_checkpoint, matched_arrays, save_checkpoint

FAMILIES = ["regnet-x", "regnet-y", "convnext", "convnextv2"]


def tensors(family: str, tiny_config: Any, lively_tensors: Any) -> dict[str, np.ndarray]:
    config = tiny_config(family)
    network = getattr(networks, f"{config.family}ForImageClassification")(config)
    return lively_tensors({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, 0)


@pytest.mark.parametrize("leaves", [TENSORFLOW_LEAVES, FLAX_LEAVES], ids=["tensorflow", "flax"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_goes_there_and_back(
    family: str, leaves: dict[str, str], tiny_config: Any, lively_tensors: Any
) -> None:
    shapes = {name: array.shape for name, array in tensors(family, tiny_config, lively_tensors).items()}
    own = own_names(shapes, leaves)
    assert own.keys() == {name for name in shapes if not name.endswith(COUNTER)}
    assert len(set(own.values())) == len(own)
    assert {name: hub_name(there, leaves) for name, there in own.items()} == {name: name for name in own}


def test_the_words_that_each_framework_has() -> None:
    shapes = {
        "conv.weight": (8, 4, 3, 3),
        "norm.weight": (8,),
        "norm.bias": (8,),
        "norm.running_mean": (8,),
        "norm.running_var": (8,),
        "norm.num_batches_tracked": (),
        "linear.weight": (5, 8),
        "linear.bias": (5,),
        "layer_scale_parameter": (8,),
        "layer.grn.weight": (1, 1, 1, 32),
        "layer.grn.bias": (1, 1, 1, 32),
    }
    unchanged = {name: name for name in ("linear.bias", "layer_scale_parameter", "layer.grn.weight", "layer.grn.bias")}
    assert own_names(shapes, TENSORFLOW_LEAVES) == unchanged | {
        "conv.weight": "conv.kernel",
        "norm.weight": "norm.gamma",
        "norm.bias": "norm.beta",
        "norm.running_mean": "norm.moving_mean",
        "norm.running_var": "norm.moving_variance",
        "linear.weight": "linear.kernel",
    }
    assert own_names(shapes, FLAX_LEAVES) == unchanged | {
        "conv.weight": "conv.kernel",
        "norm.weight": "norm.scale",
        "norm.bias": "norm.bias",
        "norm.running_mean": "norm.mean",
        "norm.running_var": "norm.var",
        "linear.weight": "linear.kernel",
    }
    assert [name for name, shape in shapes.items() if is_kernel(name, shape)] == ["conv.weight", "linear.weight"]


@pytest.mark.parametrize("shape", [(8, 4, 3, 5), (6, 9)])
def test_axes_go_there_and_back(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    kernel = kernel_axes(array)
    assert kernel.shape == kernel_shape(shape) == ((3, 5, 4, 8) if len(shape) == 4 else (9, 6))
    assert hub_shape(kernel.shape) == shape
    assert np.array_equal(hub_axes(kernel), array)
    last = (7, 3, 2, 4) if len(shape) == 4 else (5, 8)
    there = (2, 4, 3, 7) if len(shape) == 4 else (8, 5)
    assert array[last] == kernel[there]


class TestSavingArrays:
    @pytest.mark.parametrize("options", [{}, {"max_shard_size": 8000}, {"safe_serialization": False}])
    @pytest.mark.parametrize("family", FAMILIES)
    def test_arrays_are_saved_as_torch_s_tensors_are(
        self, family: str, options: dict[str, Any], tiny_config: Any, lively_tensors: Any, tmp_path: Path
    ) -> None:
        arrays = tensors(family, tiny_config, lively_tensors)
        # As they come from a framework with other axes: right in shape, not in the order of their bytes.
        turned = {
            name: hub_axes(kernel_axes(a).copy()) if is_kernel(name, a.shape) else a for name, a in arrays.items()
        }
        config = tiny_config(family)
        kind = f"{config.family}ForImageClassification"
        save_checkpoint(tmp_path, config, kind, "float32", turned, **options)
        network, info = getattr(networks, kind).from_pretrained(tmp_path, output_loading_info=True)
        assert not any(info.values())
        assert (network.config.architectures, network.config.dtype) == ([kind], "float32")
        state = network.state_dict()
        assert state.keys() == arrays.keys()
        assert all(np.array_equal(state[name].numpy(), array) for name, array in arrays.items())
        network.save_pretrained(tmp_path / "again", **options)
        for path in (tmp_path / "again").iterdir():
            # Pickles hold the name of their own file.
            assert path.suffix == ".bin" or path.read_bytes() == (tmp_path / path.name).read_bytes()

    def test_bfloat16_goes_through_every_door(self, tiny_config: Any, tmp_path: Path) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="comes with requirements-jax.txt")
        values = np.array([[1.5, -2.0], [0.1, 3e38]], ml_dtypes.bfloat16)
        save_checkpoint(tmp_path, tiny_config("convnext"), "ConvNextModel", "bfloat16", {"a": values})
        weights = find_weights(tmp_path)
        assert stored_dtype(weights) == "bfloat16"
        ((_, array),) = read_arrays(weights)
        ((_, tensor),) = read_tensors(weights)
        assert array.dtype == ml_dtypes.bfloat16
        assert np.array_equal(array, values)
        assert tensor.dtype == torch.bfloat16
        assert tensor.float().tolist() == values.astype(np.float32).tolist()
        torch.save({"a": tensor}, tmp_path / "pytorch_model.bin")
        ((_, again),) = read_arrays(Weights((tmp_path / "pytorch_model.bin",)))
        assert np.array_equal(again, values)

    def test_bfloat16_without_the_package_that_knows_it(
        self, tiny_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tensor = {"a": torch.ones(3, dtype=torch.bfloat16)}
        save_checkpoint(tmp_path, tiny_config("convnext"), "ConvNextModel", "bfloat16", tensor)
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
        with pytest.raises(CheckpointError, match="install TensorFlow or JAX"):
            dict(read_arrays(find_weights(tmp_path)))
        assert dict(read_tensors(find_weights(tmp_path)))["a"].dtype == torch.bfloat16


def test_networks_that_count_no_batches_pass_the_counters_over(tiny_checkpoint: Any) -> None:
    folder = tiny_checkpoint("regnet-y")
    weights = find_weights(folder)
    stored = dict(read_arrays(weights))
    expected = {name: array.shape for name, array in stored.items() if not name.endswith(COUNTER)}
    match = match_checkpoint(expected, weights, "regnet.", "classifier.")
    assert (match.missing, match.unexpected, match.mismatched) == ([], [], [])
    filled = dict(matched_arrays(match, weights))
    assert filled.keys() == expected.keys()
    assert all(np.array_equal(filled[name], stored[name]) for name in expected)
    bare = {name.removeprefix("regnet."): shape for name, shape in expected.items() if name.startswith("regnet.")}
    filled = dict(matched_arrays(match_checkpoint(bare, weights, "regnet.", "classifier."), weights))
    assert filled.keys() == bare.keys()
    assert all(np.array_equal(filled[name], stored[f"regnet.{name}"]) for name in bare)
