"""From a model's name to filled tensors and back, up to the point where a framework begins: for all three alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regconv import hub
from regconv.checkpoint import CONFIG_NAME, PREPROCESSOR_NAME, MadeBy, Weights, find_weights
from regconv.checkpoint_reading import read_arrays, read_tensors, shapes
from regconv.checkpoint_writing import byte_count, write_checkpoint
from regconv.hub_push import Pushable, accepted_push_options, push, push_saved
from regconv.known_keywords import take_network_keywords
from regconv.name_check import Match, Shape, check_match, match_names

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Pushable",
    "match_checkpoint",
    "matched_arrays",
    "matched_tensors",
    "open_checkpoint",
    "push",
    "save_checkpoint",
]


def open_checkpoint(
    config_class: Any,
    model: str | os.PathLike[str],
    *,
    config: Any = None,
    use_safetensors: bool | None = None,
    from_pt: bool = False,
    from_tf: bool = False,
    from_flax: bool = False,
    keywords: dict[str, Any],
) -> tuple[Any, Weights]:
    """The configuration and the weight files of a folder or hub model.

    keywords: huggingface_hub's (revision, cache_dir, token, local_files_only, force_download), then fields of the
    configuration; those of other software by regconv.known_keywords; others raise TypeError. from_pt, from_tf,
    from_flax: only what that framework wrote.
    Raises ModelNotFound, CheckpointError (damaged).
    """
    made_by = _made_by(from_pt, from_tf, from_flax)
    take_network_keywords(keywords)
    options = hub.HubOptions.take(keywords)
    folder = hub.fetch_checkpoint(model, options, use_safetensors=use_safetensors, made_by=made_by)
    if config is None:
        config = config_class.from_pretrained(folder, **keywords)
    elif keywords:
        raise TypeError(f"config is given, so {', '.join(sorted(keywords))} must be set on it")
    return config, find_weights(folder, use_safetensors, made_by)


def _made_by(from_pt: bool, from_tf: bool, from_flax: bool) -> MadeBy | None:
    chosen: list[MadeBy] = []
    chosen += ["pt"] if from_pt else []
    chosen += ["tf"] if from_tf else []
    chosen += ["flax"] if from_flax else []
    if len(chosen) > 1:
        raise ValueError(
            f"the weights can come from one framework: give one of from_pt, from_tf, from_flax, not {chosen}"
        )
    return chosen[0] if chosen else None


def match_checkpoint(
    expected: Mapping[str, Shape],
    weights: Weights,
    prefix: str,
    head: str,
    *,
    ignore_mismatched_sizes: bool = False,
    spare: tuple[str, ...] = (),
) -> Match:
    """Which tensor of the files fills which of the network's, by the rule of regconv.name_check.

    expected: hub name -> hub shape of the network's tensors; prefix: "regnet." or "convnext."; head: how the head's
    names begin; spare: how names begin, after the prefix, that either side may have
    alone. Raises WeightsMismatch, CheckpointError.
    """
    match = match_names(expected, shapes(weights), prefix, head)
    where = str(weights.index or weights.paths[0])
    with_prefix = spare + tuple(prefix + beginning for beginning in spare)
    check_match(match, expected, head, where, ignore_mismatched=ignore_mismatched_sizes, spare=with_prefix)
    return match


def matched_arrays(match: Match, weights: Weights) -> Iterator[tuple[str, np.ndarray]]:
    """(the network's hub name, array in hub axes) of every tensor that the files fill, one at a time."""
    own = {source: name for name, source in match.source.items()}
    for source, array in read_arrays(weights, own):
        yield own[source], array
        del array  # before the next one is read


def matched_tensors(match: Match, weights: Weights) -> Iterator[tuple[str, Tensor]]:
    """The same as torch tensors, in the stored dtype."""
    own = {source: name for name, source in match.source.items()}
    for source, tensor in read_tensors(weights, own):
        yield own[source], tensor
        del tensor


def save_checkpoint(
    folder: str | os.PathLike[str],
    config: Any,
    class_name: str,
    dtype: Any,
    tensors: Mapping[str, Any],
    *,
    processor: Any = None,
    safe_serialization: bool = True,
    max_shard_size: int | str = "5GB",
    push_to_hub: bool = False,
    **push_options: Any,
) -> None:
    """Writes config.json, model.safetensors (or pytorch_model.bin) and the processor's file if one is given.

    tensors: torch's or NumPy's, under hub names and axes. Weights above max_shard_size are cut into shards with an
    index. Safetensors and pickled weights of an earlier checkpoint in the folder are replaced once everything is
    written; if that fails they stay, and CheckpointError is raised. A tf_model.h5 or flax_model.msgpack there stays in
    any case, and from then on only from_tf and from_flax read it. push_to_hub: these files then go to the hub too;
    push_options: repo_id (without it the folder's name) and the fields of regconv.hub_push.PushOptions.
    """
    push_options = accepted_push_options(push_to_hub, push_options)
    shard_bytes = byte_count(max_shard_size)
    files = small_files(config, class_name, dtype, processor)
    written = write_checkpoint(Path(folder), files, tensors, safe=safe_serialization, shard_bytes=shard_bytes)
    if push_to_hub:
        push_saved(Path(folder), written, class_name, push_options)


def small_files(config: Any, class_name: str, dtype: Any, processor: Any = None) -> dict[str, bytes]:
    """What a checkpoint has beside its weights; class name and dtype are set on the configuration."""
    config.architectures = [class_name]
    config.dtype = dtype
    files = {CONFIG_NAME: config.to_json_string().encode()}
    if processor is not None:
        files[PREPROCESSOR_NAME] = processor.to_json_string().encode()
    return files
