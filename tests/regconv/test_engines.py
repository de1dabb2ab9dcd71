"""Half precision beside the reference, on lively weights and on photographs: every map, the pooled output, the logits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
from torch import Tensor, nn

from regconv import load_backbone
from regconv import torch as networks
from regconv.configuration import AnyConfig
from regconv.engines.eager import EagerEngine
from regconv.images import Recipe, prepare

FAMILIES = ("regnet-x", "regnet-y", "convnext", "convnextv2")
HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
BOUND = 0.9995  # the least cosine of a picture's output
CPU = torch.device("cpu")


def has_kernels(precision: str) -> bool:
    try:
        nn.Conv2d(3, 4, 3, dtype=HALVES[precision])(torch.zeros(1, 3, 5, 5, dtype=HALVES[precision]))
    except RuntimeError:
        return False
    return True


HERE = [
    pytest.param(name, marks=pytest.mark.skipif(not has_kernels(name), reason=f"no {name} convolutions on this CPU"))
    for name in HALVES
]


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Three photographs, normalised, float32 (3, 3, 65, 65)."""
    folder = Path(skimage.__file__).parent / "data"
    recipe = Recipe(size=65, crop_pct=0.875, resample=3)
    pictures = np.stack([prepare(str(folder / name), recipe) for name in ("chelsea.png", "coffee.png", "rocket.jpg")])
    return normalised(pictures)


def normalised(pictures: np.ndarray) -> Tensor:
    return ((torch.from_numpy(pictures).float() / 255 - 0.45) / 0.225).permute(0, 3, 1, 2)


def network(config: AnyConfig, enlivened: Callable[..., Any], *, head: bool = True) -> Any:
    kind = config.family + ("ForImageClassification" if head else "Model")
    return enlivened(getattr(networks, kind)(config))


def least_cosine(one: Tensor, other: Tensor) -> float:
    return float(nn.functional.cosine_similarity(one.double().flatten(1), other.double().flatten(1)).min())


def assert_close(expected: dict[str, Tensor], found: dict[str, Tensor], precision: str) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert (value.dtype, value.shape) == (torch.float32, expected[name].shape)
        assert least_cosine(expected[name], value) > BOUND, name
        assert not torch.equal(value, expected[name]), f"{name} was not computed in {precision}"


@pytest.mark.parametrize("precision", HERE)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_output_stays_within_the_bound(
    family: str, precision: str, pixels: Tensor, tiny_config: Callable[..., AnyConfig], enlivened: Callable[..., Any]
) -> None:
    config = tiny_config(family)
    expected = EagerEngine(network(config, enlivened), CPU)(pixels)
    engine = EagerEngine(network(config, enlivened), CPU, precision)
    assert list(expected) == ["stem", "stage1", "stage2", "stage3", "pooled", "logits"]
    assert_close(expected, engine(pixels), precision)
    assert engine(pixels[:0])["logits"].shape == (0, 7)
    bare = EagerEngine(network(config, enlivened, head=False), CPU, precision)
    assert list(bare(pixels)) == ["stem", "stage1", "stage2", "stage3", "pooled"]


@pytest.mark.parametrize("precision", HERE)
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("convnext", {"stem_type": "overlap_act", "norm_type": "rms", "hidden_act": "gelu_new"}),
        ("convnext", {"stem_type": "overlap_tiered", "norm_type": "simple", "layer_scale_init_value": 0.0}),
        ("convnextv2", {"norm_type": "rms", "hidden_act": "quick_gelu"}),
        ("regnet-y", {"downsample_in_first_stage": False, "hidden_act": "silu"}),
        ("regnet-x", {"num_labels": 0}),
    ],
)
def test_every_kind_of_layer_has_a_half(
    family: str,
    changes: dict[str, Any],
    precision: str,
    pixels: Tensor,
    tiny_config: Callable[..., AnyConfig],
    enlivened: Callable[..., Any],
) -> None:
    config = tiny_config(family, **changes)
    expected = EagerEngine(network(config, enlivened), CPU)(pixels)
    assert_close(expected, EagerEngine(network(config, enlivened), CPU, precision)(pixels), precision)


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_are_half_norms_and_the_classifier_are_not(
    family: str, pixels: Tensor, tiny_config: Callable[..., AnyConfig], enlivened: Callable[..., Any]
) -> None:
    engine = EagerEngine(network(tiny_config(family), enlivened), CPU, "bfloat16")
    assert {tensor.dtype for tensor in engine.network.classifier.parameters()} == {torch.float32}
    computed: list[torch.dtype] = []
    for module in engine.network.base_model.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        floating = {tensor.dtype for tensor in own if tensor.is_floating_point()}
        is_kernel = isinstance(module, nn.Conv2d | nn.Linear)
        assert floating <= {torch.bfloat16 if is_kernel else torch.float32}, module
        if is_kernel:
            module.register_forward_hook(lambda _module, _given, output: computed.append(output.dtype))
    engine(pixels)
    assert set(computed) == {torch.bfloat16}
    assert not torch.is_autocast_enabled("cpu"), "it ends with the call"


def test_the_reference_is_what_it_was(
    pixels: Tensor, tiny_config: Callable[..., AnyConfig], enlivened: Callable[..., Any]
) -> None:
    """Without a precision nothing is cast, and the network's own call gives the same values."""
    config = tiny_config("convnext")
    engine = EagerEngine(network(config, enlivened), CPU)
    assert {tensor.dtype for tensor in engine.network.parameters()} == {torch.float32}
    with torch.inference_mode():
        expected = network(config, enlivened).to(memory_format=torch.channels_last)(pixels).logits
    np.testing.assert_allclose(engine(pixels)["logits"], expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_the_record_names_the_precision(tiny_config: Callable[..., AnyConfig], enlivened: Callable[..., Any]) -> None:
    config = tiny_config("regnet-x")
    named = {
        precision: EagerEngine(network(config, enlivened), CPU, precision).provenance()
        for precision in ("float32", *HALVES)
    }
    assert {name: record["precision"] for name, record in named.items()} == {name: name for name in named}
    assert named["bfloat16"] == EagerEngine(network(config, enlivened), CPU).provenance() | {"precision": "bfloat16"}
    assert load_backbone("starter", "cpu").provenance["precision"] == "float32", "nothing new on the CPU unasked"


def test_an_unknown_precision_is_refused(tiny_config: Callable[..., AnyConfig], enlivened: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="'float8', expected one of float32, bfloat16, float16"):
        EagerEngine(network(tiny_config("regnet-x"), enlivened), CPU, "float8")


@pytest.mark.parametrize("precision", HERE)
@pytest.mark.skipif("REGCONV_DATA" not in os.environ, reason="REGCONV_DATA is not set: no photographs")
def test_the_trained_starter_on_photographs(precision: str) -> None:
    files = sorted(Path(os.environ["REGCONV_DATA"], "photos").glob("*.JPEG"))[::4][:8]
    assert len(files) == 8
    backbone = load_backbone("starter", "cpu")
    pictures = normalised(np.stack([prepare(str(file), backbone.description.recipe) for file in files]))
    expected = backbone._run(pictures)
    found = EagerEngine(load_backbone("starter", "cpu")._run.network, CPU, precision)(pictures)
    assert_close(expected, found, precision)
    # Where it prefers another label, the reference finds the two equally likely.
    chosen = expected["logits"].gather(1, found["logits"].argmax(1, keepdim=True))[:, 0]
    assert float((expected["logits"].amax(1) - chosen).max()) < 0.05


@pytest.mark.gpu
@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_on_a_gpu(
    family: str, precision: str, pixels: Tensor, tiny_config: Callable[..., AnyConfig], enlivened: Callable[..., Any]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    config, cuda = tiny_config(family), torch.device("cuda", 0)
    expected = EagerEngine(network(config, enlivened), CPU)(pixels)
    found = EagerEngine(network(config, enlivened), cuda, precision)(pixels.to(cuda))
    assert_close(expected, {name: value.cpu() for name, value in found.items()}, precision)
