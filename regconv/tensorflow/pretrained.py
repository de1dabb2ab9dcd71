"""How a TensorFlow network is loaded, saved and pushed; on disk it has the hub's names and axes, as torch's has."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from regconv import loading
from regconv.checkpoint_writing import Unread
from regconv.layouts import COUNTER, TENSORFLOW_LEAVES, hub_axes, hub_name, hub_shape, kernel_axes
from regconv.tensorflow.network import ClassifierNetwork, Network


class PretrainedNetwork(loading.Pushable, Network):
    """Network with a checkpoint's way in and out."""

    # Keywords of from_pretrained that go to the class itself.
    class_options: ClassVar[tuple[str, ...]] = ("name", "dtype")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: Any = None,
        use_safetensors: bool | None = None,
        from_pt: bool = False,
        from_tf: bool = False,
        from_flax: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The network of a folder or hub model, built and filled, with float32 variables unless a policy says otherwise.

        Weights may be PyTorch's, TensorFlow's or Flax's; from_pt, from_tf, from_flax take those of one only. Further
        keywords are the class's own (name, dtype), huggingface_hub's (revision, cache_dir, token, local_files_only,
        force_download), then fields of the configuration; those of other software are taken where they change nothing
        here (regconv.known_keywords), others raise TypeError. With output_loading_info: (network, {"missing_keys",
        "unexpected_keys", "mismatched_keys", "error_msgs"}).
        Keras makes start values first, so loading takes about 1.7 times the network's size in memory, and after it 1.5
        times (measured with 600 MB); the files are read tensor by tensor.
        Raises ModelNotFound, CheckpointError (damaged), WeightsMismatch (see regconv.name_check).
        """
        options = {name: kwargs.pop(name) for name in cls.class_options if name in kwargs}
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
        network = cls(config, **options)
        variables = network.hub_variables()
        expected = {
            name: hub_shape(variable.shape) if _is_kernel(variable) else tuple(variable.shape)
            for name, variable in variables.items()
        }
        match = loading.match_checkpoint(
            expected,
            weights,
            cls.base_model_prefix + ".",
            cls.head_prefix,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        for name, array in loading.matched_arrays(match, weights):
            variables[name].assign(kernel_axes(array) if _is_kernel(variables[name]) else array)
        return (network, match.loading_info()) if output_loading_info else network

    def hub_variables(self) -> dict[str, Any]:
        """Hub name -> Keras variable. A network without a head has no prefix there."""
        prefix = "" if isinstance(self, ClassifierNetwork) else f"{self.base_model_prefix}."
        names = (variable.path.removeprefix(f"{self.path}/").replace("/", ".") for variable in self.weights)
        return {
            hub_name(name.removeprefix(prefix), TENSORFLOW_LEAVES): variable
            for name, variable in zip(names, self.weights, strict=True)
        }

    def hub_arrays(self) -> dict[str, np.ndarray]:
        """A copy of every variable under its hub name, with hub axes; beside batch statistics torch's counter, 0."""
        return {name: unread.read() for name, unread in self._unread_arrays().items()}

    def _unread_arrays(self) -> dict[str, Unread]:
        # Every reading of a variable is a copy: made when its shard is written, never of all at once.
        arrays = {}
        for name, variable in self.hub_variables().items():
            arrays[name] = Unread(
                math.prod(variable.shape) * tf.as_dtype(variable.dtype).size, partial(_hub_array, variable)
            )
            if variable.name == "moving_variance":
                counter = np.array(0, np.int64)
                arrays[f"{name.rpartition('.')[0]}.{COUNTER}"] = Unread(counter.nbytes, counter.copy)
        return arrays

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        is_main_process: bool = True,
        safe_serialization: bool = True,
        max_shard_size: int | str = "5GB",
        processor: Any = None,
        push_to_hub: bool = False,
        **push_options: Any,
    ) -> None:
        """Writes config.json, model.safetensors and the processor's file if one is given; torch and Flax read it.

        Weights above max_shard_size are cut into shards with an index. push_to_hub sends the files to the hub too;
        push_options: repo_id (without it the folder's name) and the fields of regconv.hub_push.PushOptions. Earlier
        safetensors and pickles in the folder are replaced once everything is written; if that fails they stay, and
        CheckpointError is raised. An older tf_model.h5 or flax_model.msgpack stays in any case; only from_tf and
        from_flax read it then. Raises ValueError for safe_serialization=False: tf_model.h5 is read here, but not written.
        is_main_process=False writes nothing: for the other processes of a distributed training.
        """
        if not safe_serialization:
            raise ValueError(
                "TensorFlow networks are saved as model.safetensors, which every framework here reads, so "
                "safe_serialization=False is refused; for Keras' own formats there are save and save_weights"
            )
        if not is_main_process:
            return
        loading.save_checkpoint(
            save_directory,
            self.config,
            type(self).__name__.removeprefix("TF"),
            keras.backend.standardize_dtype(self.variable_dtype),
            self._unread_arrays(),
            processor=processor,
            max_shard_size=max_shard_size,
            push_to_hub=push_to_hub,
            **push_options,
        )


def _hub_array(variable: Any) -> np.ndarray:
    return hub_axes(variable.numpy()) if _is_kernel(variable) else variable.numpy()


def _is_kernel(variable: Any) -> bool:
    return variable.name == "kernel"
