"""Training a network on a folder of class folders."""

from regconv.torch.training.loop import TrainingProgress, train_folder
from regconv.torch.training.recipe import ARCHITECTURES, TrainingRecipe

__all__ = ["ARCHITECTURES", "TrainingProgress", "TrainingRecipe", "train_folder"]
