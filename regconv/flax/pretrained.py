"""What every Flax network here can do besides running: load, save, go to the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from flax.traverse_util import unflatten_dict
from jax import numpy as jnp

from regconv import loading
from regconv.checkpoint import Weights
from regconv.flax.network import Network, Params
from regconv.flax.weights import from_hub, hub_paths, hub_shapes, to_hub, write_msgpack
from regconv.hub_push import accepted_push_options, push_saved
from regconv.name_check import Match


class PretrainedNetwork(loading.Pushable, Network):
    """Network with a checkpoint's way in and out."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        dtype: Any = jnp.float32,
        *,
        config: Any = None,
        input_shape: tuple[int, int, int, int] | None = None,
        seed: int = 0,
        use_safetensors: bool | None = None,
        from_pt: bool = False,
        from_tf: bool = False,
        from_flax: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        _do_init: bool = True,
        **kwargs: Any,
    ) -> Any:
        """The network of a folder or hub model, with _do_init=False (network, params); parameters are float32.

        Weights may be PyTorch's, TensorFlow's or Flax's; from_pt, from_tf, from_flax take those of one only. A head
        that the files lack gets start values by `seed` and input_shape, as in a new network. Further keywords are
        huggingface_hub's (revision, cache_dir, token, local_files_only, force_download), then fields of the
        configuration; those of other software are taken where they change nothing here (regconv.known_keywords), others
        raise TypeError. With output_loading_info: (the above, {"missing_keys", "unexpected_keys", "mismatched_keys",
        "error_msgs"}).
        The files are read tensor by tensor: the peak of memory is about 1.4 times the network (measured with 600 MB).
        Raises ModelNotFound, CheckpointError (damaged), WeightsMismatch (see regconv.name_check).
        """
        config, weights = loading.open_checkpoint(
            cls.config_class,
            pretrained_model_name_or_path,
            config=config,
            use_safetensors=use_safetensors,
            from_pt=from_pt,
            from_tf=from_tf,
            from_flax=from_flax,
            keywords=kwargs,
        )
        network = cls(config, input_shape, seed, dtype, _do_init=False)
        params, match = network._filled(weights, ignore_mismatched_sizes)
        network._is_initialised = _do_init
        network._params = params if _do_init else {}
        loaded = network if _do_init else (network, params)
        return (loaded, match.loading_info()) if output_loading_info else loaded

    def _filled(self, weights: Weights, ignore_mismatched_sizes: bool) -> tuple[Params, Match]:
        expected = hub_shapes(self.params_shape_tree)
        match = loading.match_checkpoint(
            expected,
            weights,
            self.base_model_prefix + ".",
            self.head_prefix,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        paths = hub_paths(self.params_shape_tree)
        flat = {}
        for name, array in loading.matched_arrays(match, weights):
            flat[paths[name]] = jnp.asarray(from_hub(paths[name], array))
        return self.init_weights(self.key, self.input_shape, unflatten_dict(flat)), match

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        params: Mapping[str, Any] | None = None,
        *,
        is_main_process: bool = True,
        safe_serialization: bool = True,
        max_shard_size: int | str = "5GB",
        processor: Any = None,
        push_to_hub: bool = False,
        **push_options: Any,
    ) -> None:
        """Writes config.json, model.safetensors and the processor's file if one is given.

        The file has the hub's names and axes: torch and TensorFlow read it. With safe_serialization=False it is
        flax_model.msgpack, always in one piece, and put together in memory: twice the network's size more. params:
        others than the model's own. Once everything is written, what from_pretrained would read before it is removed:
        earlier safetensors and pickles, for a flax_model.msgpack also a tf_model.h5. If saving fails all of it stays,
        and CheckpointError is raised. Beside new safetensors an older tf_model.h5 or flax_model.msgpack stays in any
        case; only from_tf and from_flax read it then.
        push_to_hub: afterwards the files go to the hub as well, as repo_id or else the folder's name; further
        keywords as in `push_to_hub`. is_main_process=False writes nothing: for the other processes of a distributed
        training.
        """
        push_options = accepted_push_options(push_to_hub, push_options)
        if not is_main_process:
            return
        values = self.params if params is None else self.complete(params)
        dtype = jax.tree.leaves(values["params"])[0].dtype.name
        name = type(self).__name__.removeprefix("Flax")
        if safe_serialization:
            loading.save_checkpoint(
                save_directory,
                self.config,
                name,
                dtype,
                to_hub(values),
                processor=processor,
                max_shard_size=max_shard_size,
                push_to_hub=push_to_hub,
                **push_options,
            )
            return
        files = loading.small_files(self.config, name, dtype, processor)
        written = write_msgpack(Path(save_directory), files, values)
        if push_to_hub:
            push_saved(Path(save_directory), written, name, push_options)
