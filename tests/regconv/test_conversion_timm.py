"""timm's networks with their own weights, here and there: every stage and logit, every architecture's names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import regconv
from regconv.conversion import convert_timm
from regconv.conversion.timm_names import CONVNEXTS, REGNETS

timm = pytest.importorskip("timm")

NARROW = {"dims": (16, 24, 32, 40), "depths": (1, 2, 1, 1)}
SMALL_REGNET = {"w0": 16, "wa": 12.0, "wm": 2.0, "group_size": 8, "depth": 8}
CASES = [
    *((name, NARROW) for name in CONVNEXTS if not name.endswith(("small", "base", "large", "femto", "pico", "huge"))),
    *((name, {}) for name in ("regnetx_002", "regnety_002", "regnetx_004_tv")),
    *((name, SMALL_REGNET) for name in ("regnetx_080", "regnety_160", "regnety_2560")),
]


def converted(name: str, tensors: Any) -> Any:
    """Our network, filled strictly."""
    config, named = convert_timm(name, tensors)
    has_head = any(key.startswith("classifier.") for key in named)
    network = getattr(regconv, config.family + ("ForImageClassification" if has_head else "Model"))(config)
    if not has_head:
        named = {key.removeprefix(network.base_model_prefix + "."): tensor for key, tensor in named.items()}
    network.load_state_dict(named, strict=True)
    return network.eval()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert theirs.std() > 0
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_every_stage_and_the_logits_are_equal(name: str, changes: dict[str, Any], enlivened: Any) -> None:
    theirs = enlivened(timm.create_model(name, num_classes=7, **changes))
    ours = converted(f"timm/{name}.a_tag", theirs.state_dict())
    x = torch.randn(2, 3, 65, 96)
    with torch.no_grad():
        mine = ours(x, output_hidden_states=True)
        last, maps = theirs.forward_intermediates(x)
        assert_close(mine.logits, theirs(x))
        assert_close(ours.base_model(x).last_hidden_state, last)
    for one, other in zip(mine.hidden_states[-len(maps) :], maps, strict=True):
        assert_close(one, other)
    assert len(maps) >= 4
    assert ours.config.num_labels == 7


@pytest.mark.parametrize("name", [*REGNETS, *CONVNEXTS])
def test_every_architecture_has_our_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name)
        config, named = convert_timm(name, theirs.state_dict())
        ours = getattr(regconv, config.family + "ForImageClassification")(config)
    assert {key: t.shape for key, t in ours.state_dict().items()} == {key: t.shape for key, t in named.items()}
    assert ours.num_parameters() == sum(parameter.numel() for parameter in theirs.parameters())
    assert (
        (config.stem_type, config.norm_type) == CONVNEXTS[name] if name in CONVNEXTS else config.model_type == "regnet"
    )


def test_every_other_architecture_of_timm_is_refused_by_name() -> None:
    others = {name for name in timm.list_models() if name.startswith(("regnet", "convnext", "test_convnext"))}
    others -= {*REGNETS, *CONVNEXTS}
    assert {"convnext_tiny_hnf", "convnext_large_mlp", "convnext_xxlarge", "regnetv_040", "regnetz_d8"} <= others
    for name in others:
        with pytest.raises(regconv.UnsupportedConfig, match=f"timm's {name} is another network than the hub's: it"):
            convert_timm(name, {})
    with pytest.raises(regconv.UnsupportedConfig, match="timm's resnet50 is not known here; these are: regnetx_002"):
        convert_timm("resnet50.a1_in1k", {})


def test_tensors_of_another_network_are_listed() -> None:
    with torch.device("meta"):
        tensors = timm.create_model("regnety_002").state_dict()
    with pytest.raises(
        regconv.WeightsMismatch, match=r"convnext_atto has tensors that are not .* stem\.conv\.weight.* more"
    ):
        convert_timm("convnext_atto", tensors)
    with pytest.raises(regconv.WeightsMismatch, match="stages of"):
        convert_timm("regnety_002", {"head.fc.weight": torch.zeros(1, 1)})


def test_without_a_head_and_without_the_last_norm(enlivened: Any) -> None:
    theirs = enlivened(timm.create_model("convnext_tiny", num_classes=0, **NARROW))
    x = torch.randn(1, 3, 64, 64)
    ours = converted("convnext_tiny.dinov3_lvd1689m", theirs.state_dict())
    assert type(ours) is regconv.ConvNextModel
    assert_close(ours(x).pooler_output, theirs(x))
    # Checkpoints of masked pretraining end at the last stage.
    tensors = {name: t for name, t in theirs.state_dict().items() if not name.startswith("head.")}
    theirs.head.norm.reset_parameters()
    assert_close(converted("convnext_tiny", tensors)(x).pooler_output, theirs(x))


def test_numpy_arrays_are_converted_as_well(enlivened: Any) -> None:
    theirs = enlivened(timm.create_model("convnextv2_atto", num_classes=3, **NARROW)).state_dict()
    config, named = convert_timm("convnextv2_atto", theirs)
    other, arrays = convert_timm("convnextv2_atto", {name: tensor.numpy() for name, tensor in theirs.items()})
    assert other == config
    assert arrays.keys() == named.keys()
    assert all((arrays[name] == tensor.numpy()).all() for name, tensor in named.items())
