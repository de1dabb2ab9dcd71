"""Outputs: attribute, key and position are three names of one thing."""

from __future__ import annotations

import copy
import pickle

import pytest

from regconv.outputs import BackboneOutput
from regconv.outputs import BaseModelOutputWithPoolingAndNoAttention as ModelOutput
from regconv.outputs import ImageClassifierOutputWithNoAttention as ClassifierOutput


def test_attribute_key_position_and_slice_agree() -> None:
    output = ClassifierOutput(logits="l", hidden_states=("a", "b"), loss=1.5)
    assert (output.loss, output["loss"], output[0], output[-3]) == (1.5,) * 4
    assert output[1:] == ("l", ("a", "b"))
    assert output.to_tuple() == output[:] == (1.5, "l", ("a", "b"))
    assert list(output) == list(output.keys()) == ["loss", "logits", "hidden_states"]


def test_none_is_left_out_of_keys_and_positions_but_can_be_read() -> None:
    output = ClassifierOutput(loss=None, logits="l")
    assert list(output.keys()) == ["logits"]
    assert output[0] == "l"
    assert len(output) == 1
    assert output.loss is None
    assert output.hidden_states is None
    with pytest.raises(KeyError):
        output["loss"]
    with pytest.raises(IndexError):
        output[1]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'attentions'"):
        ModelOutput().attentions  # noqa: B018
    with pytest.raises(TypeError, match="no field 'logits'"):
        ModelOutput(logits=1)
    with pytest.raises(TypeError, match="no field 'logits'"):
        ModelOutput()["logits"] = 1


def test_assignment_keeps_the_order_of_the_fields() -> None:
    output = ClassifierOutput(logits="l")
    output.loss = 2
    assert output.to_tuple() == (2, "l")
    output["hidden_states"] = ()
    assert output.to_tuple() == (2, "l", ())
    output.loss = None
    assert output.to_tuple() == ("l", ())


def test_pairs_make_an_output_and_copies_are_equal() -> None:
    output = ModelOutput((name, name.upper()) for name in ("pooler_output", "last_hidden_state"))
    assert list(output) == ["last_hidden_state", "pooler_output"]
    for again in (pickle.loads(pickle.dumps(output)), copy.deepcopy(output), ModelOutput(output)):
        assert type(again) is ModelOutput
        assert again == output
    assert isinstance(output, dict)


def test_a_backbones_maps_are_one_tuple_and_attentions_are_none() -> None:
    output = BackboneOutput(hidden_states=("s",), feature_maps=("a", "b"), attentions=None)
    assert list(output) == ["feature_maps", "hidden_states"]
    assert output.to_tuple() == (("a", "b"), ("s",))
    assert output.attentions is None
