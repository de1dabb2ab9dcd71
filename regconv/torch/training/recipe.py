"""How a network is trained: every number that changes the result, in one frozen value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from regconv.configuration import CONFIGS, AnyConfig
from regconv.errors import UnsupportedConfig

_STEP_PX = 16  # sizes of training pictures are multiples of this
_RATE, _RATE_FROM_CHECKPOINT = 2e-3, 2e-4  # for batches of 64
_ENLARGED = 1.125  # how much larger pictures are when the network is used

# Networks that can be trained from random weights by name: (family, fields of its configuration).
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "regnet-y-3m": (
        "regnet",
        {"embedding_size": 32, "hidden_sizes": [48, 96, 256, 512], "depths": [1, 2, 6, 2], "groups_width": 32},
    ),
    "regnet-x-200mf": (
        "regnet",
        {"hidden_sizes": [24, 56, 152, 368], "depths": [1, 1, 4, 7], "groups_width": 8, "layer_type": "x"},
    ),
    "convnext-3m": (
        "convnext",
        {"hidden_sizes": [40, 80, 160, 320], "depths": [2, 2, 6, 2], "drop_path_rate": 0.1},
    ),
    "convnext-tiny": ("convnext", {"drop_path_rate": 0.1}),
}


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides what comes out of the same pictures, apart from the device.

    start: a checkpoint's name or folder; without it the network is `architecture` with random weights. size: the side
    of the pictures that the finished network takes. first_size: of the first epochs' pictures; sizes grow from there.
    """

    architecture: str = "regnet-y-3m"
    start: str | None = None
    epochs: int = 100
    size: int = 128
    first_size: int | None = None
    seed: int = 0
    batch_size: int = 64
    learning_rate: float | None = None
    weight_decay: float = 0.05
    warmup_epochs: float = 5.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.998
    smallest_crop: float = 0.25  # of the picture's area
    mix: float = 0.5  # share of batches whose pictures are mixed in pairs
    erase: float = 0.2  # share of pictures that lose a rectangle
    strength: float = 1.0  # of the changes of colour and shape; 0 leaves flips and crops
    bf16: bool = False
    half: bool = False  # the finished checkpoint in float16
    val_share: float = 0.1

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise UnsupportedConfig(f"architecture got {self.architecture!r}, expected {', '.join(ARCHITECTURES)}")
        if self.epochs < 1 or self.batch_size < 2 or self.size < 32:
            raise UnsupportedConfig(
                f"got {self.epochs} epochs, batches of {self.batch_size}, {self.size} px; expected at least 1, 2 and 32"
            )
        if not 0 < self.val_share < 1:
            raise UnsupportedConfig(f"val_share got {self.val_share}, expected more than 0 and less than 1")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for reports and for telling two runs apart."""
        return asdict(self)

    @property
    def peak_rate(self) -> float:
        """The highest learning rate: a checkpoint is changed more carefully than random weights."""
        if self.learning_rate is not None:
            return self.learning_rate
        return _RATE if self.start is None else _RATE_FROM_CHECKPOINT

    @property
    def last_size(self) -> int:
        """The side of the last epochs' pictures.

        A little below `size`: random crops enlarge things, so a network sees them at the trained scale when it is used
        on larger pictures (Touvron et al. 2019, arXiv 1906.06423).
        """
        return max(32, _rounded(self.size / _ENLARGED))

    def size_at(self, epoch: int) -> int:
        """The side of an epoch's training pictures: from the first size to the last, each as long as the others.

        Small pictures first save most of the time. A checkpoint has seen pictures of its own size, and stays with them.
        """
        first = self.last_size if self.start else _rounded(self.last_size / 2)
        if self.first_size is not None:
            first = min(self.last_size, self.first_size)
        sizes = [*range(max(32, first), self.last_size, _STEP_PX), self.last_size]
        return sizes[-1 - (self.epochs - 1 - epoch) * len(sizes) // self.epochs]


def new_config(architecture: str, id2label: dict[int, str]) -> AnyConfig:
    """The configuration of a network that is trained from random weights."""
    family, fields = ARCHITECTURES[architecture]
    # One label a picture, also where there are two classes: num_labels and the labels' type would say so too.
    return CONFIGS[family](id2label=id2label, problem_type="single_label_classification", **fields)


def _rounded(size: float) -> int:
    return round(size / _STEP_PX) * _STEP_PX
