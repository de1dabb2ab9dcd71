"""Training a network on a folder of class folders."""

from regconv.torch.training.loop import TrainingProgress, train_folder
from regconv.torch.training.recipe import ARCHITECTURES, TrainingRecipe
from regconv.torch.training.start import recipe_of

__all__ = ["ARCHITECTURES", "TrainingProgress", "TrainingRecipe", "recipe_of", "train_folder"]
