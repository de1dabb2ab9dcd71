"""Pictures in, vectors out: the one door through which the application reaches a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regconv.configuration import RegNetConfig
from regconv.description import ModelDescription, StageInfo, describe
from regconv.errors import CheckpointError, DeviceNotFound
from regconv.similarity_maps import Pooling

if TYPE_CHECKING:
    import torch

__all__ = ["Backbone", "Features", "ModelDescription", "Parts", "StageInfo", "describe", "load_backbone"]

Floats = npt.NDArray[np.float32]
HALF_BOUND = 0.9995  # cosine between vectors in half precision and in float32, for engines that share a space
_TOP_LABELS = 5
_BATCH_SIZES = {"cpu": 16, "cuda": 128}


@dataclass(frozen=True)
class Parts:
    """The vectors of n pictures: per part float32 (n, d) of unit length and their lengths before, float32 (n,).

    A vector of zeros stays one, with norm 0. labels: int64 (n, k), best first, and their softmax scores float32
    (n, k); k is at most 5, and 0 without a head.
    """

    names: tuple[str, ...]
    vectors: dict[str, Floats]
    norms: dict[str, Floats]
    labels: npt.NDArray[np.int64]
    scores: Floats


@dataclass(frozen=True)
class Features:
    """All that the network computes of n pictures, float32: maps (n, c, h, w), pooled (n, d), logits (n, num_labels)."""

    stem: Floats
    stages: tuple[Floats, ...]
    pooled: Floats
    logits: Floats | None


def load_backbone(model: str | ModelDescription, device: str = "auto", precision: str = "float32") -> Backbone:
    """The backbone of a hub model, a folder, "starter" or a description of one of these.

    device: "auto" (CUDA when torch sees it), "cpu", "cuda" or "cuda:1". precision: "float32", "bfloat16", "float16", or
    "half": float16 where its vectors of some generated pictures are within HALF_BOUND of those in float32, else float32.
    Raises DeviceNotFound, and as `describe`.
    """
    from regconv import torch as networks
    from regconv.engines.eager import EagerEngine

    place = choose_device(device)
    description = model if isinstance(model, ModelDescription) else describe(model)
    kind = "ForImageClassification" if description.labels else "Model"

    def loaded(precision: str) -> Backbone:
        network = getattr(networks, description.config.family + kind).from_pretrained(description.folder)
        return Backbone(description, EagerEngine(network, place, precision))

    if precision != "half":
        return loaded(precision)
    whole, half = loaded("float32"), loaded("float16")
    return half if _least_cosine(whole, half) > HALF_BOUND else whole


def _least_cosine(whole: Backbone, half: Backbone) -> float:
    """Over all parts of pictures from large patches to noise; -1 where values are not finite."""
    random = np.random.default_rng(0)
    side = whole.description.recipe.size
    pictures = np.empty((8, side, side, 3), np.uint8)
    for number, picture in enumerate(pictures):
        cells = 2 ** (number + 1)
        at = np.arange(side) * cells // side
        picture[:] = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)[at[:, None], at]
    try:
        ours, reference = half.embed(pictures).vectors, whole.embed(pictures).vectors
    except CheckpointError:
        return -1.0
    return min(float((ours[part] * reference[part]).sum(axis=1).min()) for part in reference)


class Backbone:
    """A loaded network: `embed` for the index, `features` for the page. batch_size is how many run at a time."""

    def __init__(self, description: ModelDescription, engine: Any) -> None:
        import torch

        self.description = description
        self.device = str(engine.device)
        self.engine: str = engine.name
        self.provenance: dict[str, str] = engine.provenance()
        self.batch_size = _BATCH_SIZES[engine.device.type]
        self._run = engine
        values = description.preprocessing
        std = torch.tensor(values["image_std"], dtype=torch.float64)
        mean = torch.tensor(values["image_mean"], dtype=torch.float64)
        # (x * rescale - mean) / std as one multiplication and one addition, with factors rounded once.
        self._factor = (values["rescale_factor"] / std).float().to(engine.device)
        self._offset = (-mean / std).float().to(engine.device)

    @property
    def pooling(self) -> Pooling | None:
        """The norm that makes the part "pooled" of the mean of the last map; None where there is no such part."""
        config = self.description.config
        if isinstance(config, RegNetConfig):
            return None
        norm = self._run.network.base_model.layernorm
        gain = norm.weight.detach().double().cpu().numpy()
        bias = getattr(norm, "bias", None)
        bias = np.zeros_like(gain) if bias is None else bias.detach().double().cpu().numpy()
        return Pooling(gain, bias, norm.eps, config.norm_type)

    def embed(self, pictures: npt.NDArray[np.uint8]) -> Parts:
        """The parts of pictures, uint8 (n, h, w, 3) as `regconv.images.prepare` makes them; any n, also 0.

        Raises CheckpointError when the network gives values that are not finite.
        """
        names = tuple(name for name, _ in self.description.parts)
        batches = [self._embed_batch(names, batch) for batch in self._batches(pictures)]
        columns = [np.concatenate(column) for column in zip(*batches, strict=True)]
        vectors, norms = {}, {}
        for name, raw in zip(names, columns, strict=False):
            if not np.isfinite(raw).all():
                raise CheckpointError(f"{self.description.name}: {name} has values that are not finite; bad weights?")
            norms[name] = np.linalg.norm(raw.astype(np.float64), axis=1).astype(np.float32)
            vectors[name] = (raw / np.where(norms[name] > 0, norms[name], 1)[:, None]).astype(np.float32)
        return Parts(names, vectors, norms, labels=columns[-2], scores=columns[-1])

    def features(self, pictures: npt.NDArray[np.uint8]) -> Features:
        """Every map, the pooled vectors and the logits of pictures, uint8 (n, h, w, 3)."""
        batches = [
            {name: t.float().cpu().contiguous().numpy() for name, t in self._run(self._normalised(batch)).items()}
            for batch in self._batches(pictures)
        ]
        whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        stages = tuple(whole[stage.name] for stage in self.description.stages[1:])
        return Features(whole["stem"], stages, whole["pooled"], whole.get("logits"))

    def _batches(self, pictures: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            raise ValueError(f"pictures are {pictures.dtype} {pictures.shape}, expected uint8 (n, h, w, 3)")
        starts = range(0, max(1, len(pictures)), self.batch_size)  # one empty batch has the right widths
        return [pictures[start : start + self.batch_size] for start in starts]

    def _normalised(self, pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
        import torch

        # uint8 crosses to the device: a quarter of the bytes that floats would be.
        pixels = torch.from_numpy(np.require(pictures, requirements=["C", "W"])).to(self.device)
        return (pixels.float() * self._factor + self._offset).permute(0, 3, 1, 2)

    def _embed_batch(self, names: tuple[str, ...], pictures: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        import torch

        tensors = self._run(self._normalised(pictures))
        with torch.inference_mode():
            raw = [tensors[name].float().mean(dim=(2, 3)) if name != "pooled" else tensors[name] for name in names]
            logits = tensors.get("logits")
            if logits is None:
                logits = torch.empty(len(pictures), 0)
            best = logits.float().softmax(dim=1).topk(min(_TOP_LABELS, logits.shape[1]), dim=1)
            return [tensor.cpu().numpy() for tensor in (*(vector.float() for vector in raw), best.indices, best.values)]


def choose_device(name: str) -> torch.device:
    """The device for "auto" (CUDA where torch sees it), "cpu", "cuda" or "cuda:1". Raises DeviceNotFound."""
    import torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in _BATCH_SIZES:
        raise DeviceNotFound(f"device got {name!r}, expected auto, cpu, cuda or cuda:0, cuda:1, …")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        build = "" if torch.version.cuda else "; this torch is built for the CPU only"
        raise DeviceNotFound(f"device {name!r} is not there: torch sees {count} CUDA devices{build}. Use --device cpu")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
