"""Do the frameworks and engines agree on one checkpoint? Every map, the pooled output and the logits, side by side.

PyTorch on the CPU, operation by operation in float32, is the reference that all else is compared with.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from regconv.backbone import choose_device
from regconv.description import ModelDescription
from regconv.errors import FrameworkMissing

Arrays = dict[str, np.ndarray]
Runner = Callable[[np.ndarray], Arrays]

# Largest difference as a share of the largest value (float32), or least cosine of a picture's output (half precision).
FRAMEWORK_BOUND, ENGINE_BOUND, HALF_COSINE = 1e-5, 1e-4, 0.9995
_BATCH = 8  # pictures at a time


@dataclass(frozen=True)
class Difference:
    """One output over all pictures. relative: absolute as a share of largest_value; cosine: of the worst picture."""

    name: str
    shape: tuple[int, ...]  # of one picture's
    largest_value: float
    absolute: float
    relative: float
    cosine: float
    ok: bool


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in values.items()}


@dataclass(frozen=True)
class Comparison:
    """One framework or engine against the reference; its bound is relative in float32, else the least cosine."""

    name: str
    kind: str  # framework, engine, half precision
    version: str
    bound: float
    differences: tuple[Difference, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every output is within the bound."""
        return all(one.ok for one in self.differences)


@dataclass(frozen=True)
class Certificate:
    """What was compared. absent: what could not take part, with the reason; it does not count against `ok`."""

    checkpoint: str
    model_type: str
    weights_digest: str
    size: int  # the pictures' side in pixels
    pictures: tuple[str, ...]
    reference: str
    comparisons: tuple[Comparison, ...]
    absent: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether something was compared and all of it is within its bound."""
        return bool(self.comparisons) and all(one.ok for one in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON, which has no NaN and no infinity: they are None there."""
        comparisons = [
            asdict(one) | {"ok": one.ok, "differences": [_finite(asdict(row)) for row in one.differences]}
            for one in self.comparisons
        ]
        return asdict(self) | {"comparisons": comparisons, "absent": dict(self.absent), "ok": self.ok}


@dataclass(frozen=True)
class Step:
    """Progress: what runs now, `done` of `total`. The last one carries the certificate, and the same as a document."""

    phase: str
    done: int
    total: int
    certificate: Certificate | None = None
    seconds_left: float | None = None
    images_per_second: float | None = None
    failed: int = 0

    @property
    def report(self) -> dict[str, Any] | None:
        """The certificate for JSON, None before it is there."""
        return None if self.certificate is None else self.certificate.as_dict()


@dataclass(frozen=True)
class _Candidate:
    name: str
    kind: str
    bound: float
    load: Callable[[], tuple[str, Runner]]  # -> version, runner


def certify(
    description: ModelDescription, pictures: np.ndarray, names: tuple[str, ...], *, device: str = "cpu"
) -> Iterator[Step]:
    """Compares every framework that is installed and every engine on `pictures`, uint8 (n, h, w, 3).

    A Step before each; the last has the certificate. device: where the engines run beside the CPU, as `load_backbone`
    has it. Raises DeviceNotFound, and as the frameworks' from_pretrained do where the checkpoint cannot be read.
    """
    if not len(pictures):
        raise ValueError("no picture was given: a certificate needs at least one")
    candidates = _candidates(description, str(choose_device(device)))
    pixels = _normalised(description, pictures)
    total = 1 + len(candidates)
    yield Step("PyTorch", 0, total)
    began = time.monotonic()
    version, run = _framework(description, "torch", "")
    expected = _outputs(run, pixels)
    comparisons, absent = [], {}
    for done, one in enumerate(candidates, start=1):
        start = time.monotonic()
        yield Step(one.name, done, total, seconds_left=(start - began) / done * (total - done))
        try:
            found_version, run = one.load()
        except FrameworkMissing as error:
            absent[one.name] = str(error)
            continue
        differences = _differences(expected, _outputs(run, pixels), one)
        seconds = round(time.monotonic() - start, 2)
        comparisons.append(Comparison(one.name, one.kind, found_version, one.bound, differences, seconds))
    reference = f"PyTorch {version}, CPU, float32, operation by operation"
    done_one = Certificate(
        description.name, description.config.model_type, description.weights_digest, int(pictures.shape[1]),
        names, reference, tuple(comparisons), absent,
    )  # fmt: skip
    yield Step("done", total, total, done_one)


def _candidates(description: ModelDescription, other: str) -> list[_Candidate]:
    def framework(name: str, package: str, prefix: str, **options: Any) -> _Candidate:
        def load() -> tuple[str, Runner]:
            return _framework(description, package, prefix, **options)

        if options:
            return _Candidate(f"{name} {options['dtype']}", "half precision", HALF_COSINE, load)
        return _Candidate(name, "framework", FRAMEWORK_BOUND, load)

    def engine(where: str, precision: str) -> _Candidate:
        half = precision != "float32"
        kind, bound = ("half precision", HALF_COSINE) if half else ("engine", ENGINE_BOUND)
        return _Candidate(f"eager {precision} {where}", kind, bound, lambda: _engine(description, where, precision))

    engines = [engine("cpu", precision) for precision in ("float32", "bfloat16")]
    if other != "cpu":
        engines += [engine(other, precision) for precision in ("float32", "float16", "bfloat16")]
    return [
        framework("TensorFlow", "tensorflow", "TF"),
        framework("Flax", "flax", "Flax"),
        *engines,
        framework("TensorFlow", "tensorflow", "TF", dtype="mixed_bfloat16"),  # float32 variables, as Flax has them
        framework("Flax", "flax", "Flax", dtype="bfloat16"),
    ]


def _normalised(description: ModelDescription, pictures: np.ndarray) -> np.ndarray:
    """float32 (n, 3, h, w), as the processor makes it."""
    values = description.preprocessing
    scaled = pictures.astype(np.float64) * values["rescale_factor"] - np.asarray(values["image_mean"])
    return np.ascontiguousarray((scaled / np.asarray(values["image_std"])).astype(np.float32).transpose(0, 3, 1, 2))


def _framework(description: ModelDescription, package: str, prefix: str, **options: Any) -> tuple[str, Runner]:
    """The version of the framework `package`, and its network as a function of pixels (n, 3, h, w)."""
    networks = importlib.import_module(f"regconv.{package}")
    start = prefix + description.config.family
    bare = getattr(networks, start + "Model").from_pretrained(description.folder, **options)
    head = None
    if description.labels:
        head = getattr(networks, start + "ForImageClassification").from_pretrained(description.folder, **options)

    def run(pixels: np.ndarray) -> Arrays:
        features = bare(pixels, output_hidden_states=True)
        names = ["stem", *(f"stage{number}" for number in range(1, len(features.hidden_states)))]
        found = dict(zip(names, features.hidden_states, strict=True)) | {"pooled": features.pooler_output}
        if head is not None:
            found["logits"] = head(pixels).logits
        return {name: np.asarray(value, dtype=np.float32) for name, value in found.items()}

    version = str(importlib.import_module(package).__version__)
    return version, _for_torch(run) if package == "torch" else run


def _for_torch(run: Callable[[Any], Arrays]) -> Runner:
    import torch

    def wrapped(pixels: np.ndarray) -> Arrays:
        with torch.inference_mode():
            return run(torch.from_numpy(pixels))

    return wrapped


def _engine(description: ModelDescription, device: str, precision: str) -> tuple[str, Runner]:
    import torch

    from regconv import torch as networks
    from regconv.engines.eager import EagerEngine

    kind = "ForImageClassification" if description.labels else "Model"
    network = getattr(networks, description.config.family + kind).from_pretrained(description.folder)
    engine = EagerEngine(network, torch.device(device), precision)

    def run(pixels: np.ndarray) -> Arrays:
        found = engine(torch.from_numpy(pixels).to(device))
        return {name: value.float().cpu().numpy() for name, value in found.items()}

    return str(torch.__version__), run


def _outputs(run: Runner, pixels: np.ndarray) -> Arrays:
    batches = [run(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
    whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    # RegNet hands its pooled output out as (n, c, 1, 1); engines as (n, c).
    whole["pooled"] = whole["pooled"].reshape(len(pixels), -1)
    return whole


def _differences(expected: Arrays, found: Arrays, candidate: _Candidate) -> tuple[Difference, ...]:
    rows = []
    for name, reference in expected.items():
        other = found[name]
        if other.shape != reference.shape:
            raise ValueError(f"{candidate.name}: {name} is {other.shape}, expected {reference.shape}")
        largest = float(np.abs(reference).max())
        absolute = float(np.abs(other.astype(np.float64) - reference).max())
        relative = absolute / largest if largest > 0 else absolute
        cosine = _least_cosine(reference, other)
        # Written so that a NaN is not ok.
        ok = cosine > candidate.bound if candidate.kind == "half precision" else relative <= candidate.bound
        rows.append(Difference(name, reference.shape[1:], largest, absolute, relative, cosine, bool(ok)))
    return tuple(rows)


def _least_cosine(reference: np.ndarray, other: np.ndarray) -> float:
    """The worst picture's; two outputs of zeros count as the same."""
    one, two = (array.reshape(len(array), -1).astype(np.float64) for array in (reference, other))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    same = np.abs(one - two).max(axis=1) == 0
    cosines = np.where(same, 1.0, (one * two).sum(axis=1) / np.where(lengths > 0, lengths, 1.0))
    return float(cosines.min())
