"""The network that a training run starts with, and the processor file of what comes out."""

from __future__ import annotations

from typing import Any

import torch

from regconv import torch as networks
from regconv.description import describe
from regconv.errors import UnsupportedConfig
from regconv.image_processing import ConvNextImageProcessor
from regconv.images import Recipe
from regconv.torch.pretrained import Network
from regconv.torch.training.recipe import TrainingRecipe, new_config

# ImageNet's, as in the hub's files: a fixed choice, so that checkpoints can be exchanged.
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_BICUBIC = 3


def recipe_of(**options: Any) -> TrainingRecipe:
    """The recipe of the options that are not None; without a size that of the checkpoint it starts from."""
    given = {name: value for name, value in options.items() if value is not None}
    if "start" in given and "size" not in given:
        given["size"] = describe(given["start"]).recipe.size
    return TrainingRecipe(**given)


def first_network(recipe: TrainingRecipe, id2label: dict[int, str]) -> Network:
    """A network with random weights, or the checkpoint `recipe.start`, in training mode, float32.

    A checkpoint gets a new head, unless its labels are these already: then its training goes on.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        if recipe.start is None:
            config = new_config(recipe.architecture, id2label)
            return _class_of(config)(config)
        description = describe(recipe.start)
        config = description.config
        config.id2label, config.label2id = id2label, {label: index for index, label in id2label.items()}
        config.problem_type = "single_label_classification"
        vars(config).pop("regconv_note", None)  # it speaks of the checkpoint that this one no longer is
        network = _class_of(config).from_pretrained(description.folder, config=config, ignore_mismatched_sizes=True)
        if description.labels != id2label:
            network.classifier.apply(network.reset_module)
        return network.train()


def processor_of(recipe: TrainingRecipe) -> ConvNextImageProcessor:
    """What goes into preprocessor_config.json: the start's values where there is one, at the size of this training."""
    values: dict[str, Any] = {"image_mean": _MEAN, "image_std": _STD, "crop_pct": 0.875, "resample": _BICUBIC}
    if recipe.start is not None:
        old = describe(recipe.start).preprocessing
        if abs(old["rescale_factor"] * 255 - 1) > 1e-6:
            raise UnsupportedConfig(
                f"{recipe.start}: rescale_factor is {old['rescale_factor']}, training is for pictures from 0 to 1"
            )
        values = {name: old[name] for name in values}
    return ConvNextImageProcessor(size={"shortest_edge": recipe.size}, **values)


def picture_recipe(processor: ConvNextImageProcessor) -> Recipe:
    """How pictures are prepared when the network is used."""
    size: Any = processor.size
    return Recipe(size["shortest_edge"], float(processor.crop_pct), int(processor.resample))


def _class_of(config: Any) -> Any:
    return getattr(networks, config.family + "ForImageClassification")
