"""torch's tools that take outputs apart and put them together again: export, functions over weights and batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree

from regconv import AutoBackbone, AutoModel, AutoModelForImageClassification


@pytest.mark.parametrize("door", [AutoModel, AutoModelForImageClassification, AutoBackbone])
def test_an_exported_network_gives_the_same_output(door: Any, tiny_checkpoint: Any, tmp_path: Path) -> None:
    network = door.from_pretrained(tiny_checkpoint("convnext"))
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(x, output_hidden_states=True)
        torch.export.save(torch.export.export(network, (x,), {"output_hidden_states": True}), tmp_path / "net.pt2")
        found = torch.export.load(tmp_path / "net.pt2").module()(x, output_hidden_states=True)
    assert type(found) is type(expected)
    assert list(found) == list(expected)
    torch.testing.assert_close(_pytree.tree_leaves(found), _pytree.tree_leaves(expected))


def test_functions_over_batches_hand_outputs_out(tiny_checkpoint: Any) -> None:
    network = AutoModelForImageClassification.from_pretrained(tiny_checkpoint("regnet-y"))
    x = torch.randn(3, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = torch.func.vmap(lambda one: network(one, output_hidden_states=True))(x)
        expected = network(x[:, 0], output_hidden_states=True)
    assert len(found.hidden_states) == 4
    torch.testing.assert_close(found.logits[:, 0], expected.logits)


def test_trees_of_outputs_keep_their_names_and_empty_places(tiny_checkpoint: Any) -> None:
    network = AutoModelForImageClassification.from_pretrained(tiny_checkpoint("regnet-x"))
    with torch.no_grad():
        output = network(torch.zeros(2, 3, 32, 32), labels=torch.tensor([0, 1]))
    emptied = _pytree.tree_map(lambda leaf: None, output)
    assert list(emptied) == ["loss", "logits"]
    paths = [_pytree.keystr(path) for path, _ in _pytree.tree_leaves_with_path(output)]
    assert paths == ["['loss']", "['logits']"]
