"""What every Flax network here has: a configuration, parameters with start values, dtypes, the call."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import numpy as np
from flax import linen as nn
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jax import numpy as jnp

from regconv.configuration import AnyConfig
from regconv.errors import UnsupportedConfig
from regconv.flax.activations import check_activation
from regconv.layer_plan import layer_plan, stem_plan

Params = dict[str, Any]
_STATISTICS = "batch_stats"
_UNOPTIMISED = {"xla_backend_optimization_level": 0}
_OUTSIDE = (
    "`params` cannot be {} from model when the model is created with `_do_init=False`: "
    "make them with init_weights(key, input_shape), keep them, and pass params= to every call"
)


class Network:
    """Base of the Flax networks: a configuration, a linen `module` and, unless _do_init is False, its `params`.

    params is a plain dict of collections: "params", and "batch_stats" where the network has batch norms. Within them
    names are nested: the hub's dotted name split at the dots, the last part kernel, scale, bias, mean or var.

    input_shape: (n, h, w, c) of the picture that start values are made with. It changes none of them, sides that are
    too small are taken larger, and c gives way to the configuration's num_channels. None: the configuration's
    image_size, else 224 pixels.
    seed: of the start values. dtype: of computation and outputs; parameters are float32 (see to_bf16).

    `module.apply(params, pixel_values, train, output_hidden_states)` is the same network for training loops of one's
    own, with pictures and maps (n, c, h, w) as here.
    """

    config_class: ClassVar[type[AnyConfig]]
    base_model_prefix: ClassVar[str]
    module_class: ClassVar[type[nn.Module]]
    main_input_name = "pixel_values"
    head_prefix = "classifier."

    def __init__(
        self,
        config: Any,
        input_shape: tuple[int, int, int, int] | None = (1, 224, 224, 3),
        seed: int = 0,
        dtype: Any = jnp.float32,
        _do_init: bool = True,
    ) -> None:
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__} needs a {self.config_class.__name__}, got {type(config).__name__}")
        if not jnp.issubdtype(dtype, jnp.floating):
            raise UnsupportedConfig(f"dtype got {dtype!r}, expected a floating-point dtype such as jnp.bfloat16")
        self.check_config(config)
        self.config = config
        self.dtype = jnp.dtype(dtype)
        self.key = jax.random.PRNGKey(seed)
        side = getattr(config, "image_size", 224)
        self.input_shape = tuple(input_shape or (1, side, side, config.num_channels))
        # A copy: the module is traced anew for every shape, and must not follow later assignments only then.
        self.module = self.module_class(copy.deepcopy(config), self.dtype)
        self.params_shape_tree: Params = jax.eval_shape(self._start_values(self.input_shape), self.key)
        self._run = _compiled(self.module, has_statistics=_STATISTICS in self.params_shape_tree)
        self._draws = any(layer.drop_path > 0 for stage in layer_plan(config) for layer in stage.layers)
        self._is_initialised = _do_init
        self._params: Params = self.init_weights(self.key, self.input_shape) if _do_init else {}

    @classmethod
    def check_config(cls, config: Any) -> None:
        """Raises UnsupportedConfig where no network can be built."""
        layer_plan(config)
        check_activation(config.hidden_act)

    def _start_values(self, input_shape: tuple[int, ...]) -> Any:
        # Of smaller pictures the stages of some configurations would leave nothing.
        least = math.prod(max(conv.stride) for conv in stem_plan(self.config)) * 2 ** len(layer_plan(self.config))
        count, height, width = input_shape[:3]
        shape = (count, self.config.num_channels, max(height, least), max(width, least))
        return lambda key: self.module.init(key, jnp.zeros(shape, jnp.float32))

    def init_weights(self, rng: Array, input_shape: tuple[int, ...], params: Mapping[str, Any] | None = None) -> Params:
        """Start values for every parameter and statistic; of `params`, where given, only the missing ones are made."""
        given = {} if params is None else flatten_dict(unfreeze(params))
        wanted = sorted(self.required_params - given.keys())
        start = self._start_values(tuple(input_shape))

        def made(key: Array) -> list[Array]:
            flat = flatten_dict(start(key))
            return [flat[path] for path in wanted]

        # Compiled, all that is not wanted falls away, the picture's way through the network included. What runs once
        # is not worth the compiler's optimising, which takes several times as long.
        values = jax.jit(made, compiler_options=_UNOPTIMISED)(rng) if wanted else []
        return unflatten_dict(given | dict(zip(wanted, values, strict=True)))

    @property
    def required_params(self) -> set[tuple[str, ...]]:
        """Every path in `params`, from the collection to the array's own name."""
        return set(flatten_dict(self.params_shape_tree))

    @property
    def params(self) -> Params:
        """The parameters and statistics. Assigning raises ValueError if any is missing.

        With _do_init=False both raise ValueError: then they are kept outside.
        """
        if not self._is_initialised:
            raise ValueError(_OUTSIDE.format("accessed"))
        return self._params

    @params.setter
    def params(self, params: Mapping[str, Any]) -> None:
        if not self._is_initialised:
            raise ValueError(_OUTSIDE.format("set"))
        self._params = self.complete(params)

    def complete(self, params: Mapping[str, Any]) -> Params:
        """params as plain dicts. Raises ValueError if any is missing."""
        plain = unfreeze(params)
        missing = sorted(".".join(path) for path in self.required_params - set(flatten_dict(plain)))
        if missing:
            raise ValueError(
                f"params lacks {len(missing)} of this network's arrays, among them {', '.join(missing[:5])}: "
                "init_weights(key, input_shape, params) gives the missing ones start values"
            )
        return plain

    def num_parameters(self) -> int:
        """How many numbers training could change."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params_shape_tree["params"]))

    def __call__(
        self,
        pixel_values: Any,
        params: Mapping[str, Any] | None = None,
        train: bool = False,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> Any:
        """The output of pixel_values (n, num_channels, h, w), compiled once per shape; a tuple if not return_dict.

        Lists of arrays or numbers are put together. With batch statistics train=True returns (output, {"batch_stats":
        new}). dropout_rng: the key of a drop path in training. Raises ValueError for another number of channels, for
        lists of unequal shapes and for a drop path without a key, TypeError for what are no numbers, KeyError for
        params without one of the collections.
        """
        pixels = self._checked_pixels(pixel_values)
        variables = self.params if params is None else self._checked_params(params)
        if train and dropout_rng is None and self._draws:
            raise ValueError("dropout_rng is None, but drop_path_rate leaves layers out in training: give a key")
        rngs = {} if dropout_rng is None else {"dropout": dropout_rng}
        wants_maps = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        as_dict = self.config.return_dict if return_dict is None else return_dict
        output, statistics = self._run(
            variables, pixels, rngs, train=bool(train), output_hidden_states=bool(wants_maps)
        )
        output = output if as_dict else output.to_tuple()
        return (output, statistics) if statistics else output

    def _checked_pixels(self, pixel_values: Any) -> Array:
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        if not hasattr(pixel_values, "shape"):
            pixel_values = _stacked(pixel_values)
        if pixel_values.shape[1:2] != (self.config.num_channels,):
            raise ValueError(
                "Make sure that the channel dimension of the pixel values match with the one set in the configuration."
            )
        if len(pixel_values.shape) != 4:
            raise ValueError(f"pixel_values has shape {tuple(pixel_values.shape)}, expected (n, num_channels, h, w)")
        return jnp.asarray(pixel_values, jnp.promote_types(self.dtype, jnp.float32))

    def _checked_params(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        missing = sorted(set(self.params_shape_tree) - set(params))
        if missing:
            raise KeyError(
                f"params has the collections {', '.join(sorted(params)) or 'of an empty dict'} but lacks "
                f"{', '.join(missing)}: pass all of {', '.join(sorted(self.params_shape_tree))}"
            )
        return params

    def to_bf16(self, params: Mapping[str, Any], mask: Any = None) -> Params:
        """A copy of params in bfloat16; mask: a tree of the same shape, True where to cast. The model's own stay."""
        return _cast(params, jnp.bfloat16, mask)

    def to_fp16(self, params: Mapping[str, Any], mask: Any = None) -> Params:
        """A copy of params in float16; mask as in to_bf16."""
        return _cast(params, jnp.float16, mask)

    def to_fp32(self, params: Mapping[str, Any], mask: Any = None) -> Params:
        """A copy of params in float32; mask as in to_bf16."""
        return _cast(params, jnp.float32, mask)


def _stacked(pictures: Any) -> np.ndarray:
    """One array of a list of arrays or of numbers, such as the image processor gives without return_tensors."""
    try:
        array = np.asarray(pictures)
    except ValueError as error:
        raise ValueError(
            f"pixel_values is a {type(pictures).__name__} of pictures of different shapes, expected one array "
            "(n, num_channels, h, w): bring them to one size"
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"pixel_values is a {type(pictures).__name__} of no numbers, expected an array (n, num_channels, h, w)"
        )
    return array


def _compiled(module: nn.Module, has_statistics: bool) -> Any:
    def run(variables: Any, pixels: Array, rngs: Any, train: bool, output_hidden_states: bool) -> tuple[Any, Any]:
        if train and has_statistics:
            return module.apply(variables, pixels, train, output_hidden_states, rngs=rngs, mutable=[_STATISTICS])
        return module.apply(variables, pixels, train, output_hidden_states, rngs=rngs), {}

    return jax.jit(run, static_argnames=("train", "output_hidden_states"))


def _cast(params: Mapping[str, Any], dtype: Any, mask: Any) -> Params:
    def cast(leaf: Any, wanted: Any = True) -> Any:
        return leaf.astype(dtype) if wanted and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    plain = unfreeze(params)
    return jax.tree.map(cast, plain) if mask is None else jax.tree.map(cast, plain, unfreeze(mask))
