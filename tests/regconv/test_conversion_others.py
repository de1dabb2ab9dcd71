"""torchvision's networks and the authors' own checkpoints: every stage and logit equal, every name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import regconv
from regconv.conversion import convert_facebook, convert_seer, convert_torchvision
from regconv.conversion.torchvision_names import CONVNEXTS, REGNETS, preparation

vision = pytest.importorskip("torchvision.models")


def filled(config: Any, named: Any) -> Any:
    network = getattr(regconv, config.family + "ForImageClassification")(config)
    network.load_state_dict(named, strict=True)
    return network.eval()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def outputs(network: Any, modules: list[Any], x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The network's answer and what these of its modules gave."""
    found: list[torch.Tensor] = []
    hooks = [module.register_forward_hook(lambda _module, _input, output: found.append(output)) for module in modules]
    with torch.no_grad():
        answer = network(x)
    for hook in hooks:
        hook.remove()
    return answer, found


def small_regnet(se_ratio: float | None) -> Any:
    from torchvision.models.regnet import BlockParams, RegNet

    params = BlockParams.from_init_params(depth=8, w_0=16, w_a=12.0, w_m=2.0, group_width=8, se_ratio=se_ratio)
    return RegNet(params, num_classes=5, stem_width=12)


def small_convnext() -> Any:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    widths, depths = [16, 24, 32, 40], [1, 2, 1, 1]
    return ConvNeXt(
        [CNBlockConfig(*row) for row in zip(widths, [*widths[1:], None], depths, strict=True)], num_classes=5
    )


@pytest.mark.parametrize("se_ratio", [None, 0.25])
def test_regnets_of_torchvision(se_ratio: float | None, enlivened: Any) -> None:
    theirs = enlivened(small_regnet(se_ratio))
    ours = filled(*convert_torchvision("regnet_y_400mf", theirs.state_dict()))
    x = torch.randn(2, 3, 65, 96)
    logits, maps = outputs(theirs, [theirs.stem, *theirs.trunk_output], x)
    mine = ours(x, output_hidden_states=True)
    assert_close(mine.logits, logits)
    for one, other in zip(mine.hidden_states, maps, strict=True):
        assert_close(one, other)


def test_convnexts_of_torchvision(enlivened: Any) -> None:
    theirs = enlivened(small_convnext())
    ours = filled(*convert_torchvision("convnext_tiny", theirs.state_dict()))
    x = torch.randn(2, 3, 65, 96)
    logits, maps = outputs(theirs, [theirs.features[index] for index in (0, 1, 3, 5, 7)], x)
    mine = ours(x, output_hidden_states=True)
    assert_close(mine.logits, logits)
    for one, other in zip(mine.hidden_states, maps, strict=True):
        assert_close(one, other)


def on_meta(name: str, monkeypatch: Any) -> Any:
    """torchvision's network without values; its widths are computed with tensors that need some."""
    for place, builder in ((vision.regnet, "_regnet"), (vision.convnext, "_convnext")):
        build = getattr(place, builder)

        def built(*args: Any, _build: Any = build, **options: Any) -> Any:
            with torch.device("meta"):
                return _build(*args, **options)

        monkeypatch.setattr(place, builder, built)
    return vision.get_model(name)


@pytest.mark.parametrize("name", [*REGNETS, *CONVNEXTS])
def test_every_architecture_of_torchvision_has_our_names_and_shapes(name: str, monkeypatch: Any) -> None:
    theirs = on_meta(name, monkeypatch)
    config, named = convert_torchvision(name, theirs.state_dict())
    with torch.device("meta"):
        ours = getattr(regconv, config.family + "ForImageClassification")(config)
    assert {key: t.shape for key, t in ours.state_dict().items()} == {key: t.shape for key, t in named.items()}
    assert ours.num_parameters() == sum(parameter.numel() for parameter in theirs.parameters())


def test_the_list_of_torchvisions_architectures_is_complete() -> None:
    assert {name for name in vision.list_models(vision) if name.startswith(("regnet", "convnext"))} == {
        *REGNETS,
        *CONVNEXTS,
    }
    with pytest.raises(
        regconv.UnsupportedConfig, match="torchvision's resnet18 is not known here; these are: regnet_x_400mf"
    ):
        convert_torchvision("resnet18", {})


@pytest.mark.parametrize("name", [*REGNETS, *CONVNEXTS])
def test_preparation_is_that_of_the_weights(name: str) -> None:
    for weights in vision.get_model_weights(name):
        theirs = weights.transforms()
        ours = preparation(name, weights.name)
        assert [ours["size"]] == theirs.crop_size
        assert [int(ours["size"] / ours["crop_pct"])] == theirs.resize_size
        assert ours["resample"] == {"bilinear": 2, "bicubic": 3}[theirs.interpolation.value]
        assert not theirs.antialias or ours["resample"] != 0
        assert (theirs.mean, theirs.std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with pytest.raises(regconv.UnsupportedConfig, match="weights 'V3' are not known here; these are: IMAGENET1K_V1"):
        preparation(name, "V3")


def facebook_shapes(has_response_norm: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the published files of ConvNeXt and ConvNeXt-V2 have them."""
    widths, depths = [16, 24, 32, 40], [1, 2, 1, 1]
    shapes: dict[str, tuple[int, ...]] = {
        "downsample_layers.0.0.weight": (16, 3, 4, 4), "downsample_layers.0.0.bias": (16,),
        "downsample_layers.0.1.weight": (16,), "downsample_layers.0.1.bias": (16,),
    }  # fmt: skip
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            before = widths[stage - 1]
            start = f"downsample_layers.{stage}."
            shapes |= {start + "0.weight": (before,), start + "0.bias": (before,)}
            shapes |= {start + "1.weight": (width, before, 2, 2), start + "1.bias": (width,)}
        for layer in range(depth):
            start = f"stages.{stage}.{layer}."
            shapes |= {start + "dwconv.weight": (width, 1, 7, 7), start + "dwconv.bias": (width,)}
            shapes |= {start + "norm.weight": (width,), start + "norm.bias": (width,)}
            shapes |= {start + "pwconv1.weight": (4 * width, width), start + "pwconv1.bias": (4 * width,)}
            shapes |= {start + "pwconv2.weight": (width, 4 * width), start + "pwconv2.bias": (width,)}
            if has_response_norm:
                shapes |= {start + "grn.gamma": (1, 1, 1, 4 * width), start + "grn.beta": (1, 1, 1, 4 * width)}
            else:
                shapes[start + "gamma"] = (width,)
    return shapes | {"norm.weight": (40,), "norm.bias": (40,), "head.weight": (5, 40), "head.bias": (5,)}


@pytest.mark.parametrize("has_response_norm", [False, True])
def test_convnexts_of_their_authors(has_response_norm: bool, lively_tensors: Any) -> None:
    timm = pytest.importorskip("timm")
    from timm.models.convnext import checkpoint_filter_fn

    arrays = lively_tensors(facebook_shapes(has_response_norm))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    name = "convnextv2_atto" if has_response_norm else "convnext_atto"
    theirs = timm.create_model(name, dims=(16, 24, 32, 40), depths=(1, 2, 1, 1), num_classes=5).eval()
    theirs.load_state_dict(checkpoint_filter_fn({"model": dict(tensors)}, theirs))
    ours = filled(*convert_facebook({"model": tensors}))
    assert ours.config.model_type == ("convnextv2" if has_response_norm else "convnext")
    x = torch.randn(2, 3, 65, 96)
    assert_close(ours(x).logits, theirs(x))
    with pytest.raises(regconv.WeightsMismatch, match=r"not this network's: norm0\.weight"):
        convert_facebook(tensors | {"norm0.weight": torch.zeros(1)})


@pytest.mark.parametrize("is_nested", [False, True])
def test_seer(is_nested: bool, enlivened: Any) -> None:
    theirs = enlivened(small_regnet(0.25))

    def there(name: str) -> str:
        stage = re.match(r"trunk_output\.block(\d)\.", name)
        if stage:
            name = name.replace(stage[0], f"_feature_blocks.res{int(stage[1]) + 1}.", 1)
        name = re.sub(r"^stem\.", "_feature_blocks.conv1.stem.", name)
        name = name.replace("proj.0.", "proj.").replace("proj.1.", "bn.").replace(".f.c.0.", ".f.c.")
        name = name.replace(".f.c.1.", ".f.final_bn.").replace("se.fc1.", "se.excitation.0.")
        return name.replace("se.fc2.", "se.excitation.2.").replace("fc.", "0.clf.0.")

    tensors = {there(name): tensor for name, tensor in theirs.state_dict().items()}
    if is_nested:
        cut = {
            re.sub(r"(block3-0)\.", r"\1.block3-part0.", name): t for name, t in tensors.items() if "clf" not in name
        }
        heads = {name: tensor for name, tensor in tensors.items() if "clf" in name}
        nested = {"classy_state_dict": {"base_model": {"model": {"trunk": cut, "heads": heads}}}}
        config, named = convert_seer(nested)
    else:
        config, named = convert_seer(tensors)
    x = torch.randn(2, 3, 64, 64)
    assert_close(filled(config, named)(x).logits, theirs(x))
