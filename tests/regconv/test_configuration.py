"""Configurations: defaults, labels, checks, JSON, and the layers they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regconv.configuration import ConvNextConfig, RegNetConfig, read_config
from regconv.errors import CheckpointError, ModelNotFound, UnsupportedConfig
from regconv.layer_plan import LayerPlan, layer_plan, stem_stride


def test_regnet_defaults_are_those_of_the_signature_not_of_the_documents_prose() -> None:
    config = RegNetConfig()
    assert (config.num_channels, config.embedding_size, config.groups_width) == (3, 32, 64)
    assert (config.hidden_sizes, config.depths) == ([128, 192, 512, 1088], [2, 6, 12, 2])
    assert (config.layer_type, config.hidden_act, config.downsample_in_first_stage) == ("y", "relu", True)


def test_convnext_defaults() -> None:
    config = ConvNextConfig()
    assert (config.num_channels, config.patch_size, config.num_stages, config.image_size) == (3, 4, 4, 224)
    assert (config.hidden_sizes, config.depths, config.hidden_act) == ([96, 192, 384, 768], [3, 3, 9, 3], "gelu")
    assert (config.initializer_range, config.layer_norm_eps, config.layer_scale_init_value) == (0.02, 1e-12, 1e-6)
    assert (config.drop_path_rate, config.out_features, config.out_indices) == (0.0, ["stage4"], [4])
    assert config.stage_names == ["stem", "stage1", "stage2", "stage3", "stage4"]


@pytest.mark.parametrize("kind", [RegNetConfig, ConvNextConfig])
def test_general_fields_have_their_defaults(kind: Any) -> None:
    config = kind()
    assert config.num_labels == 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1}
    assert (config.output_hidden_states, config.return_dict) == (False, True)
    assert (config.problem_type, config.architectures, config.dtype) == (None, None, None)


def test_num_labels_names_the_labels_and_id2label_counts_them() -> None:
    assert RegNetConfig(num_labels=3).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    config = RegNetConfig(id2label={"0": "cat", "1": "dog", "2": "cow"})
    assert config.num_labels == 3
    assert config.id2label == {0: "cat", 1: "dog", 2: "cow"}
    assert config.label2id == {"cat": 0, "dog": 1, "cow": 2}
    config.num_labels = 3
    assert config.id2label[2] == "cow", "setting the number that is there must not lose the names"
    config.num_labels = 1
    assert config.id2label == {0: "LABEL_0"}
    assert config.label2id == {"LABEL_0": 0}
    with pytest.raises(ValueError, match="num_labels is 4 but id2label names 2"):
        RegNetConfig(num_labels=4, id2label={0: "a", 1: "b"})


def test_unknown_keywords_become_attributes_and_are_saved(tmp_path: Path) -> None:
    RegNetConfig(favourite="blue", nested={"a": [1]}).save_pretrained(tmp_path)
    config = RegNetConfig.from_pretrained(tmp_path)
    assert (config.favourite, config.nested) == ("blue", {"a": [1]})


@pytest.mark.parametrize("kind", [RegNetConfig, ConvNextConfig])
def test_dtype_is_accepted_under_both_names_and_from_torch(kind: Any) -> None:
    import torch

    for given in ({"dtype": "float16"}, {"torch_dtype": "float16"}, {"dtype": torch.float16}):
        config = kind(**given)
        assert config.dtype == config.torch_dtype == "float16"
        assert json.loads(config.to_json_string())["torch_dtype"] == "float16"
        assert kind.from_dict(config.to_dict()) == config


def test_json_has_every_model_field_and_only_changed_general_ones() -> None:
    text = RegNetConfig(output_hidden_states=True).to_json_string()
    values = json.loads(text)
    assert text == json.dumps(values, indent=2, sort_keys=True) + "\n"
    assert values.keys() == {*RegNetConfig.fields, "model_type", "output_hidden_states"}
    assert "id2label" in json.loads(RegNetConfig(num_labels=3).to_json_string())
    full = json.loads(RegNetConfig().to_json_string(use_diff=False))
    assert {"id2label", "return_dict", "problem_type", "architectures"} <= full.keys()


@pytest.mark.parametrize(
    "config",
    [
        RegNetConfig(layer_type="x", depths=[1, 1, 1, 1], problem_type="regression", num_labels=4, extra=1),
        RegNetConfig(downsample_in_first_stage=False),
        ConvNextConfig(patch_size=(2, 4), hidden_sizes=[8, 9], depths=[1, 1], num_stages=2, out_indices=[-2, -1]),
        ConvNextConfig(out_features=["stem", "stage2"], num_labels=1),
    ],
)
def test_dictionary_file_and_folder_give_the_configuration_back(config: Any, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    kind = type(config)
    from_dictionary = kind.from_dict(config.to_dict())
    assert from_dictionary == config
    assert from_dictionary.to_json_string() == config.to_json_string()
    for again in (kind.from_pretrained(tmp_path), kind.from_json_file(tmp_path / "config.json"), read_config(tmp_path)):
        assert type(again) is kind
        assert again.to_json_string() == config.to_json_string()


def test_equality_sees_every_field() -> None:
    assert RegNetConfig() == RegNetConfig()
    assert RegNetConfig() != RegNetConfig(groups_width=32)
    assert RegNetConfig() != RegNetConfig(extra=1)
    assert RegNetConfig() != ConvNextConfig()


def test_to_dict_shares_nothing_with_the_configuration() -> None:
    config = RegNetConfig()
    config.to_dict()["depths"].append(9)
    assert config.depths == [2, 6, 12, 2]
    assert RegNetConfig().hidden_sizes is not RegNetConfig().hidden_sizes


def test_overrides_replace_fields_and_refuse_what_is_no_field(tmp_path: Path) -> None:
    RegNetConfig(num_labels=3, layer_type="x").save_pretrained(tmp_path)
    config = RegNetConfig.from_pretrained(tmp_path, num_labels=5, groups_width=32, dtype="bfloat16")
    assert (config.num_labels, config.groups_width, config.layer_type, config.dtype) == (5, 32, "x", "bfloat16")
    named = RegNetConfig.from_pretrained(tmp_path, id2label={0: "a"})
    assert (named.num_labels, named.label2id) == (1, {"a": 0})
    with pytest.raises(TypeError, match="no field typo"):
        RegNetConfig.from_pretrained(tmp_path, typo=1)
    _, unused = RegNetConfig.from_pretrained(tmp_path, typo=1, return_unused_kwargs=True)
    assert unused == {"typo": 1}
    with pytest.raises(ValueError, match="disagree"):
        RegNetConfig.from_pretrained(tmp_path, num_labels=2, id2label={0: "a"})


@pytest.mark.parametrize("value", [True, False])
def test_downsample_in_first_stage_is_honoured_from_json_and_keyword(value: bool, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "regnet", "downsample_in_first_stage": value}))
    assert RegNetConfig.from_pretrained(tmp_path).downsample_in_first_stage is value
    assert (
        RegNetConfig.from_pretrained(tmp_path, downsample_in_first_stage=not value).downsample_in_first_stage != value
    )


def test_contradictions_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedConfig, match=r"^layer_type=z is not one of x,y$"):
        RegNetConfig(layer_type="z")
    with pytest.raises(UnsupportedConfig, match="problem_type got 'guessing'"):
        ConvNextConfig(problem_type="guessing")
    with pytest.raises(UnsupportedConfig, match="model_type 'convnext', expected 'regnet'"):
        RegNetConfig.from_dict(ConvNextConfig().to_dict())
    assert issubclass(UnsupportedConfig, ValueError)


def test_functions_can_be_used_but_not_saved() -> None:
    config = ConvNextConfig(hidden_act=abs)
    assert config.to_dict()["hidden_act"] is abs
    with pytest.raises(UnsupportedConfig, match="hidden_act is a function"):
        config.to_json_string()


def test_a_folder_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        RegNetConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{oh no")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        RegNetConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="JSON list, expected an object"):
        RegNetConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(UnsupportedConfig, match="'resnet', this library has regnet, convnext"):
        read_config(tmp_path)


class TestStageChoice:
    def test_each_of_names_and_indices_follows_the_other(self) -> None:
        config = ConvNextConfig(out_features=["stage1", "stage3"])
        assert config.out_indices == [1, 3]
        config.out_indices = [0, 4]
        assert config.out_features == ["stem", "stage4"]
        config.out_features = None
        assert (config.out_features, config.out_indices) == (["stage4"], [4])

    def test_negative_indices_stay_as_written(self) -> None:
        config = ConvNextConfig(depths=[1, 1], hidden_sizes=[8, 8], num_stages=2, out_indices=[-2, -1])
        assert (config.out_features, config.out_indices) == (["stage1", "stage2"], [-2, -1])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"out_features": ["stage9"]}, "expected a subset"),
            ({"out_features": ("stage1",)}, "must be a list"),
            ({"out_features": ["stage2", "stage1"]}, "order of the stages"),
            ({"out_features": ["stage1", "stage1"]}, "same stage twice"),
            ({"out_indices": [5]}, "expected values for the 5 stages"),
            ({"out_indices": [4, -1]}, "same stage twice"),
            ({"out_indices": [-1, 1]}, "order of the stages"),
            ({"out_features": ["stage1"], "out_indices": [2]}, "different stages"),
            ({"out_features": ["stage1"], "out_indices": [1, 2]}, "different stages"),
        ],
    )
    def test_violations_are_refused(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(UnsupportedConfig, match=message):
            ConvNextConfig(**given)


class TestLayerPlan:
    def test_regnet_layers(self) -> None:
        config = RegNetConfig(embedding_size=8, hidden_sizes=[24, 48], depths=[2, 1], groups_width=16)
        first, second = layer_plan(config)
        # 24 // 16 is 1 group, 48 // 16 is 3.
        assert first.layers == (LayerPlan(8, 24, 2, 1), LayerPlan(24, 24, 1, 1))
        assert second.layers == (LayerPlan(24, 48, 2, 3),)
        assert [layer.has_shortcut for layer in (*first.layers, *second.layers)] == [True, False, True]
        config.downsample_in_first_stage = False
        assert layer_plan(config)[0].layers[0].stride == 1

    def test_squeeze_is_a_quarter_of_the_input_with_halves_to_even(self) -> None:
        quarters = {10: 2, 14: 4, 18: 4, 22: 6, 6: 2, 11110: 2778, 3: 1}
        assert {width: LayerPlan(width, 8, 1, 1).squeeze_width for width in quarters} == quarters

    def test_the_shorter_list_of_a_regnet_counts_and_a_depth_of_zero_is_one_layer(self) -> None:
        plan = layer_plan(RegNetConfig(hidden_sizes=[64, 128, 256], depths=[0, 2]))
        assert [len(stage.layers) for stage in plan] == [1, 2]

    def test_convnext_stages_and_drop_path_schedule(self) -> None:
        config = ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[2, 1, 2, 1], drop_path_rate=0.4)
        plan = layer_plan(config)
        assert [(stage.width_in, stage.width, stage.stride) for stage in plan] == [
            (8, 8, 1), (8, 8, 2), (8, 16, 2), (16, 16, 2),
        ]  # fmt: skip
        assert [stage.has_downsampling for stage in plan] == [False, True, True, True]
        rates = [layer.drop_path for stage in plan for layer in stage.layers]
        assert rates == pytest.approx([0, 0.08, 0.16, 0.24, 0.32, 0.4])
        assert {layer.groups for layer in plan[2].layers} == {16}

    def test_entries_of_depths_beyond_num_stages_still_count_in_the_schedule(self) -> None:
        config = ConvNextConfig(hidden_sizes=[8], num_stages=1, depths=[2, 3], drop_path_rate=0.4)
        assert [layer.drop_path for layer in layer_plan(config)[0].layers] == pytest.approx([0, 0.1])

    def test_a_single_layer_is_never_dropped(self) -> None:
        config = ConvNextConfig(hidden_sizes=[8], num_stages=1, depths=[1], drop_path_rate=0.4)
        assert layer_plan(config)[0].layers[0].drop_path == 0

    @pytest.mark.parametrize(
        "config",
        [
            # The conversion scripts list it as y-2560: its last stage would have 7 groups of 5088 / 7 channels.
            RegNetConfig(hidden_sizes=[640, 1696, 2544, 5088], depths=[3, 7, 16, 1], groups_width=640),
            RegNetConfig(hidden_sizes=[], depths=[]),
            RegNetConfig(embedding_size=2, hidden_sizes=[8], depths=[1]),
            ConvNextConfig(num_stages=3),
            ConvNextConfig(depths=[1, 1]),
            ConvNextConfig(hidden_sizes=[8, 8]),
        ],
    )
    def test_what_cannot_be_built_is_refused(self, config: Any) -> None:
        with pytest.raises(UnsupportedConfig):
            layer_plan(config)

    def test_stem_stride(self) -> None:
        assert stem_stride(RegNetConfig()) == 2
        assert stem_stride(ConvNextConfig(patch_size=[2, 6])) == 2
        assert stem_stride(ConvNextConfig(patch_size=7)) == 7
