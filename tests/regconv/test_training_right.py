"""Training is right: start values, gradients in float64 against transformers', drop path, statistics, autocast."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import regconv
from regconv.layer_plan import layer_plan
from regconv.torch.convnext import ConvNextForImageClassification, DropPath
from regconv.torch.regnet import RegNetForImageClassification

FAMILIES = ["regnet-x", "regnet-y", "convnext"]
PROBLEMS = {
    "regression": torch.tensor([[0.5, 1.0, -2.0], [0.1, 4.0, 1.0], [2.0, 0.0, 0.3], [1.0, 1.0, -1.0]]).double(),
    "single_label_classification": torch.tensor([0, 2, 1, 2]),
    "multi_label_classification": torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]]).double(),
}


def pixels(n: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, 47, 64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(family: str, tiny_config: Any, **changes: Any) -> Any:
    kind = ConvNextForImageClassification if family == "convnext" else RegNetForImageClassification
    return kind(tiny_config(family, **changes))


def theirs(ours: Any) -> Any:
    """The same network in transformers, in float64 and training mode."""
    transformers = pytest.importorskip("transformers")
    name = "ConvNext" if ours.config.model_type == "convnext" else "RegNet"
    fields = {field: getattr(ours.config, field) for field in type(ours.config).fields if not field.startswith("out_")}
    config = getattr(transformers, name + "Config")(
        **fields, num_labels=ours.config.num_labels, problem_type=ours.config.problem_type
    )
    network = getattr(transformers, name + "ForImageClassification")(config).double()
    network.load_state_dict(ours.state_dict(), strict=True)
    return network.train()


def worst_difference(ours: Any, other: Any) -> Iterator[tuple[str, float]]:
    """(name, largest difference of the gradients by the largest gradient) of every parameter."""
    expected = dict(other.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient = expected[name].grad
        scale = max(float(gradient.abs().max()), 1e-300)
        yield name, float((parameter.grad - gradient).abs().max()) / scale


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_gradient_in_float64_is_that_of_transformers(
    family: str, problem: str, tiny_config: Any, enlivened: Any
) -> None:
    ours = enlivened(build(family, tiny_config, num_labels=3, problem_type=problem)).double().train()
    other = theirs(ours)
    for network in (ours, other):
        torch.manual_seed(7)  # the drop path of both
        network(pixels(), labels=PROBLEMS[problem]).loss.backward()
    differences = dict(worst_difference(ours, other))
    assert len(differences) == len(list(other.parameters()))
    assert max(differences.values()) <= 1e-9, max(differences.items(), key=lambda item: item[1])


@pytest.mark.parametrize("family", ["regnet-x", "regnet-y"])
def test_statistics_of_three_training_steps_are_those_of_transformers(
    family: str, tiny_config: Any, enlivened: Any
) -> None:
    ours = enlivened(build(family, tiny_config)).double().train()
    other = theirs(ours)
    for network in (ours, other):
        for seed in range(3):
            network(pixels(seed=seed))
    expected = dict(other.named_buffers())
    for name, buffer in ours.named_buffers():
        assert torch.allclose(buffer, expected[name], rtol=1e-12, atol=1e-12), name
        if name.endswith("num_batches_tracked"):
            assert int(buffer) == 3 + 3  # lively weights begin with 3


def test_statistics_are_a_tenth_of_the_batch_and_unbiased() -> None:
    network = RegNetForImageClassification(
        regconv.RegNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], groups_width=4)
    )
    norm = network.regnet.embedder["embedder"].normalization
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    network.train()(pixels().float())
    batch = seen[0].transpose(0, 1).flatten(1)
    assert torch.allclose(norm.running_mean, 0.1 * batch.mean(1), atol=1e-6)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * batch.var(1), atol=1e-5)
    kept = norm.running_mean.clone()
    network.eval()(pixels().float())
    assert torch.equal(norm.running_mean, kept)


@pytest.mark.parametrize("family", FAMILIES)
def test_recomputed_activations_give_the_same_gradients_and_statistics(
    family: str, tiny_config: Any, enlivened: Any
) -> None:
    plain = enlivened(build(family, tiny_config)).double().train()
    thrifty = copy.deepcopy(plain)
    thrifty.gradient_checkpointing_enable()
    for network in (plain, thrifty):
        torch.manual_seed(7)
        network(pixels(), labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    assert max(difference for _, difference in worst_difference(thrifty, plain)) <= 1e-12
    expected = dict(plain.named_buffers())
    assert all(torch.equal(buffer, expected[name]) for name, buffer in thrifty.named_buffers())


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_autocast_in_bfloat16_stays_near_float32(
    family: str, recompute: bool, tiny_config: Any, enlivened: Any
) -> None:
    # Few layers and gentle weights: what is looked at is that every part runs, in the right type.
    network = build(family, tiny_config, drop_path_rate=0.0) if family == "convnext" else build(family, tiny_config)
    labels = torch.tensor([0, 1, 2, 3])
    plain = copy.deepcopy(network)
    if recompute:
        network.gradient_checkpointing_enable()
    exact = plain(pixels().float(), labels=labels).loss
    exact.backward()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(pixels().float(), labels=labels)
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16
    assert output.loss.item() == pytest.approx(exact.item(), rel=0.05)
    for name, parameter in network.named_parameters():
        assert parameter.grad.dtype == torch.float32, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    head = list(zip(network.classifier.parameters(), plain.classifier.parameters(), strict=True))
    assert all(nn.functional.cosine_similarity(a.grad.flatten(), b.grad.flatten(), dim=0) > 0.99 for a, b in head)


class TestStartValues:
    def test_regnet(self) -> None:
        torch.manual_seed(0)
        config = regconv.RegNetConfig(hidden_sizes=[64, 128], depths=[1, 2], groups_width=16, num_labels=50)
        network = RegNetForImageClassification(config)
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                # Fan-out, not divided by the groups.
                expected = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
                count = module.weight.numel()
                assert module.weight.std().item() == pytest.approx(expected, rel=5 / count**0.5), name
                assert abs(module.weight.mean().item()) < 5 * expected / count**0.5, name
                if module.bias is not None:  # torch's own: uniform within 1 / sqrt(fan in)
                    assert module.bias.abs().max() <= module.in_channels**-0.5
                    assert module.bias.std() > 0
            if isinstance(module, nn.BatchNorm2d):
                assert bool((module.weight == 1).all() and (module.bias == 0).all())
                assert bool((module.running_mean == 0).all() and (module.running_var == 1).all())
        head = network.classifier[1].weight
        assert head.abs().max() <= head.shape[1] ** -0.5
        assert head.std().item() == pytest.approx(head.shape[1] ** -0.5 / 3**0.5, rel=0.05)

    @pytest.mark.parametrize("deviation", [0.02, 0.1])
    def test_convnext(self, deviation: float) -> None:
        torch.manual_seed(0)
        config = regconv.ConvNextConfig(
            hidden_sizes=[32, 64], depths=[1, 2], num_stages=2, initializer_range=deviation, layer_scale_init_value=0.01
        )
        network = ConvNextForImageClassification(config)
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                count = module.weight.numel()
                assert module.weight.std().item() == pytest.approx(deviation, rel=5 / count**0.5), name
                assert module.bias.abs().max() == 0, name
            if isinstance(module, nn.LayerNorm):
                assert bool((module.weight == 1).all() and (module.bias == 0).all()), name
        scales = [value for name, value in network.named_parameters() if name.endswith("layer_scale_parameter")]
        assert len(scales) == 3
        assert all(bool((value == 0.01).all()) for value in scales)
        # Plain normal, not cut off at two deviations.
        assert network.convnext.encoder["stages"][1]["layers"][0].pwconv1.weight.abs().max() > 3 * deviation


def test_drop_path_leaves_the_mean_and_each_picture_is_drawn_by_itself() -> None:
    torch.manual_seed(0)
    y = DropPath(0.25).train()(torch.ones(20_000, 1, 1, 1)).flatten()
    assert y.mean().item() == pytest.approx(1.0, abs=0.02)
    dropped = (y == 0).float()
    assert dropped.mean().item() == pytest.approx(0.25, abs=0.015)
    neighbours = (dropped[1:] * dropped[:-1]).mean().item()  # 0.25 squared where they know nothing of one another
    assert neighbours == pytest.approx(0.0625, abs=0.01)


@pytest.mark.parametrize(("rate", "count"), [(0.1, 18), (0.2, 4), (0.4, 10), (0.7, 3), (0.3, 1), (0.0, 5), (0.5, 57)])
def test_drop_path_rates_are_those_of_linspace_to_the_last_bit(rate: float, count: int) -> None:
    config = regconv.ConvNextConfig(hidden_sizes=[8], depths=[count], num_stages=1, drop_path_rate=rate)
    rates = [layer.drop_path for layer in layer_plan(config)[0].layers]
    assert rates == (torch.linspace(0, rate, count).tolist() if count > 1 else [0.0])
