"""The same weights in transformers and here: strict both ways, every output equal, every file readable by the other."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

import regconv

transformers = pytest.importorskip("transformers")

SIZES = [(32, 32), (65, 97), (47, 33), (64, 64)]
ACTIVATIONS = [
    "relu", "gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_accurate", "gelu_fast", "gelu_10",
    "gelu_python_tanh", "quick_gelu", "silu", "swish", "mish", "relu2", "relu6", "leaky_relu", "laplace", "linear",
    "sigmoid", "tanh", "hardswish", "prelu", "sqrtsoftplus", "xielu",
]  # fmt: skip


def regnet_case(seed: int, layer_type: str) -> dict[str, Any]:
    draw = random.Random(seed)
    groups_width = draw.choice([3, 5, 8, 64])
    stages = draw.choice([1, 2, 3, 4])
    unit = groups_width if groups_width < 64 else 1
    return {
        "num_channels": draw.choice([3, 3, 1, 4]),
        "embedding_size": draw.choice([7, 10, 18, 22]),
        "hidden_sizes": [unit * draw.randint(2, 5 if unit > 1 else 30) for _ in range(stages)],
        "depths": [draw.randint(1, 3) for _ in range(stages)],
        "groups_width": groups_width,
        "layer_type": layer_type,
        "hidden_act": draw.choice(["relu", "silu", "gelu"]),
        "downsample_in_first_stage": draw.choice([True, False]),
        "num_labels": draw.choice([1, 2, 5]),
    }


def convnext_case(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    stages = draw.choice([1, 2, 3, 4])
    patch_size = draw.choice([2, 4, 3]) if stages < 4 else 2
    return {
        "num_channels": draw.choice([3, 3, 1]),
        "patch_size": patch_size,
        "num_stages": stages,
        "hidden_sizes": [draw.randint(5, 24) for _ in range(stages)],
        "depths": [draw.randint(1, 3) for _ in range(stages)],
        "hidden_act": draw.choice(["gelu", "relu", "gelu_new"]),
        "layer_norm_eps": draw.choice([1e-12, 1e-3]),
        "layer_scale_init_value": draw.choice([1e-6, 0.0, 1.0]),
        "drop_path_rate": draw.choice([0.0, 0.4]),
        "num_labels": draw.choice([1, 2, 5]),
    }


CASES = [
    *(("RegNet", regnet_case(seed, "x")) for seed in range(8)),
    *(("RegNet", regnet_case(seed, "y")) for seed in range(100, 108)),
    *(("ConvNext", convnext_case(seed)) for seed in range(200, 210)),
    ("RegNet", {"embedding_size": 6, "hidden_sizes": [10, 14], "depths": [0, 1], "groups_width": 64}),
    ("ConvNext", {"hidden_sizes": [9, 11], "depths": [1, 0], "num_stages": 2}),
    ("RegNet", {"hidden_sizes": [16, 24], "depths": [1, 1], "groups_width": 8, "num_labels": 0}),
]


def pair(
    family: str, values: dict[str, Any], kind: str, enlivened: Any, seed: int = 0
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """(ours, theirs), with the same lively weights, both in evaluation mode."""
    theirs = getattr(transformers, family + kind)(getattr(transformers, family + "Config")(**values))
    # xielu keeps its parameters in bfloat16 there, and would compute in it.
    enlivened(theirs.float(), seed)
    ours = getattr(regconv, family + kind)(getattr(regconv, family + "Config")(**values))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours.eval(), theirs


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    largest = theirs.abs().max().item() if theirs.numel() else 0.0
    assert theirs.isfinite().all()
    assert (ours - theirs).abs().max().item() <= 1e-5 * largest if theirs.numel() else True


def pixels(values: dict[str, Any], size: tuple[int, int], n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(size))
    return torch.randn(n, values.get("num_channels", 3), *size, generator=generator)


@pytest.mark.parametrize(("family", "values"), CASES)
def test_state_dicts_load_strictly_both_ways(family: str, values: dict[str, Any], enlivened: Any) -> None:
    for kind in ("Model", "ForImageClassification"):
        ours, theirs = pair(family, values, kind, enlivened)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict(), strict=True)


@pytest.mark.parametrize(("family", "values"), CASES)
def test_every_hidden_state_pooled_output_and_logit_is_equal(
    family: str, values: dict[str, Any], enlivened: Any
) -> None:
    base, their_base = pair(family, values, "Model", enlivened)
    head, their_head = pair(family, values, "ForImageClassification", enlivened, seed=1)
    for size in SIZES:
        x = pixels(values, size)
        with torch.no_grad():
            mine, reference = base(x, output_hidden_states=True), their_base(x, output_hidden_states=True)
            assert list(mine.keys()) == list(reference.keys())
            assert mine.hidden_states[-1] is mine.last_hidden_state
            assert len(mine.hidden_states) == len(reference.hidden_states) == len(values["depths"]) + 1
            for one, other in zip(mine.hidden_states, reference.hidden_states, strict=True):
                assert_close(one, other)
            assert_close(mine.last_hidden_state, reference.last_hidden_state)
            assert_close(mine.pooler_output, reference.pooler_output)
            assert_close(head(x).logits, their_head(x).logits)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("family", ["RegNet", "ConvNext"])
def test_every_activation_is_equal(family: str, name: str, enlivened: Any) -> None:
    # One stage: some of these square their input, and more of them in a row leave float32.
    values: dict[str, Any] = {"hidden_sizes": [8], "depths": [1], "hidden_act": name}
    values |= {"groups_width": 4} if family == "RegNet" else {"num_stages": 1}
    ours, theirs = pair(family, values, "Model", enlivened)
    x = 2 * pixels(values, (33, 40))
    with torch.no_grad():
        for one, other in zip(
            ours(x, output_hidden_states=True).hidden_states,
            theirs(x, output_hidden_states=True).hidden_states,
            strict=True,
        ):
            assert_close(one, other)


@pytest.mark.parametrize("family", ["RegNet", "ConvNext"])
@pytest.mark.parametrize(
    ("num_labels", "labels", "problem_type"),
    [
        (1, [[0.5], [-2.0]], "regression"),
        (1, [1.5, 2.5], "regression"),
        (3, [[0.5, 1, 2], [-2, 0.1, 4]], "regression!"),
        (5, [1, 4], "single_label_classification"),
        (5, [[1], [4]], "single_label_classification"),
        (5, [-100, 4], "single_label_classification"),
        (3, [[0.0, 1, 1], [1, 0, 0]], "multi_label_classification"),
        (3, [[0.0, 1, 1], [1, 0, 0]], "multi_label_classification!"),
    ],
)
def test_losses_and_their_gradients_are_equal(
    family: str, num_labels: int, labels: list[Any], problem_type: str, enlivened: Any
) -> None:
    values: dict[str, Any] = {"hidden_sizes": [8, 12], "depths": [1, 1], "num_labels": num_labels}
    values |= {"groups_width": 4} if family == "RegNet" else {"num_stages": 2}
    if problem_type.endswith("!"):  # stated, not chosen by the rule
        values["problem_type"] = problem_type[:-1]
    ours, theirs = pair(family, values, "ForImageClassification", enlivened)
    x, target = pixels(values, (32, 32)), torch.tensor(labels)
    mine, reference = ours(x, labels=target), theirs(x, labels=target)
    assert mine.loss.shape == ()
    assert list(mine.keys()) == ["loss", "logits"]
    assert_close(mine.loss, reference.loss)
    assert ours.config.problem_type == theirs.config.problem_type == problem_type.rstrip("!")
    mine.loss.backward()
    reference.loss.backward()
    their_gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        expected = their_gradients[name].grad
        assert (parameter.grad - expected).abs().max() <= 1e-5 * max(expected.abs().max(), 1e-3), name


@pytest.mark.parametrize("family", ["RegNet", "ConvNext"])
def test_training_passes_update_the_same_statistics_and_give_the_same_output(family: str, enlivened: Any) -> None:
    values: dict[str, Any] = {"hidden_sizes": [8, 12], "depths": [2, 1]}
    values |= {"groups_width": 4} if family == "RegNet" else {"num_stages": 2, "drop_path_rate": 0.5}
    ours, theirs = pair(family, values, "Model", enlivened)
    x = pixels(values, (40, 32), n=8)
    torch.manual_seed(5)
    mine = ours.train()(x).last_hidden_state
    torch.manual_seed(5)
    reference = theirs.train()(x).last_hidden_state
    assert_close(mine, reference)
    for name, tensor in ours.state_dict().items():
        expected = theirs.state_dict()[name]
        assert torch.allclose(tensor.float(), expected.float(), rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(
    ("family", "values"), [CASES[0], CASES[9], CASES[17], ("ConvNext", {"num_labels": 3, "id2label": None})]
)
@pytest.mark.parametrize("kind", ["Model", "ForImageClassification"])
def test_what_is_saved_here_loads_there(
    family: str, values: dict[str, Any], kind: str, safe: bool, enlivened: Any, tmp_path: Any
) -> None:
    if "hidden_sizes" not in values:
        values = {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "num_labels": 3}
    ours = getattr(regconv, family + kind)(getattr(regconv, family + "Config")(**values))
    enlivened(ours).save_pretrained(tmp_path, safe_serialization=safe)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "model.safetensors" if safe else "pytorch_model.bin",
    ]  # fmt: skip
    theirs, info = getattr(transformers, family + kind).from_pretrained(
        tmp_path, output_loading_info=True, use_safetensors=safe
    )
    assert not any(info.values())
    x = pixels(values, (47, 33))
    with torch.no_grad():
        assert_close(ours(x)[0], theirs(x)[0])
    for name, value in values.items():
        assert getattr(theirs.config, name) == value
    assert theirs.config.architectures == [family + kind]


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(("family", "values"), [CASES[1], CASES[10], CASES[18]])
@pytest.mark.parametrize("kind", ["Model", "ForImageClassification"])
def test_what_is_saved_there_loads_here(
    family: str, values: dict[str, Any], kind: str, safe: bool, enlivened: Any, tmp_path: Any
) -> None:
    theirs = getattr(transformers, family + kind)(getattr(transformers, family + "Config")(**values))
    enlivened(theirs)
    if safe:
        theirs.save_pretrained(tmp_path)
    else:
        theirs.config.architectures = [family + kind]
        theirs.config.save_pretrained(tmp_path)
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours, info = getattr(regconv, family + kind).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert not ours.training
    x = pixels(values, (65, 97))
    with torch.no_grad():
        assert_close(ours(x)[0], theirs(x)[0])
    for name, value in values.items():
        assert getattr(ours.config, name) == value


@pytest.mark.parametrize("family", ["RegNet", "ConvNext"])
def test_a_base_file_fills_a_head_network_and_the_reverse_as_there(family: str, enlivened: Any, tmp_path: Any) -> None:
    values: dict[str, Any] = {"hidden_sizes": [8, 12], "depths": [1, 1]}
    values |= {"groups_width": 4} if family == "RegNet" else {"num_stages": 2}
    for kind, other in (("Model", "ForImageClassification"), ("ForImageClassification", "Model")):
        theirs = getattr(transformers, family + kind)(getattr(transformers, family + "Config")(**values))
        enlivened(theirs).save_pretrained(tmp_path / kind)
        ours, info = getattr(regconv, family + other).from_pretrained(tmp_path / kind, output_loading_info=True)
        reference, expected = getattr(transformers, family + other).from_pretrained(
            tmp_path / kind, output_loading_info=True
        )
        assert set(info["missing_keys"]) == set(expected["missing_keys"])
        assert set(info["unexpected_keys"]) == set(expected["unexpected_keys"])
        x = pixels(values, (32, 48))
        with torch.no_grad():
            one, two = ours(x, output_hidden_states=True), reference(x, output_hidden_states=True)
        assert_close(one.hidden_states[-1], two.hidden_states[-1])


@pytest.mark.parametrize("family", ["RegNet", "ConvNext"])
def test_config_files_are_equal_to_those_written_there(family: str) -> None:
    values = {"num_labels": 3, "hidden_act": "silu", "an_extra_key": [1, 2], "problem_type": "regression"}
    for given in ({}, values):
        ours = getattr(regconv, family + "Config")(**given)
        theirs = getattr(transformers, family + "Config")(**given)
        expected = theirs.to_diff_dict()
        del expected["transformers_version"]
        assert ours.to_diff_dict() | {"torch_dtype": None} == expected | {"torch_dtype": None}
        read_back = getattr(transformers, family + "Config").from_dict(ours.to_dict())
        again = getattr(regconv, family + "Config").from_dict(theirs.to_dict())
        for name in type(ours).fields:
            assert getattr(read_back, name) == getattr(ours, name) == getattr(again, name)
