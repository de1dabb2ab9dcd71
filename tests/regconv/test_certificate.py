"""The certificate: every framework and engine beside PyTorch on real photographs, for small checkpoints of every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.sample import photographs
from regconv import certificate as module
from regconv.certificate import ENGINE_BOUND, FRAMEWORK_BOUND, HALF_COSINE, Certificate, certify
from regconv.certificate_text import markdown, summary, write_certificate
from regconv.description import ModelDescription, describe
from regconv.errors import DeviceNotFound, FrameworkMissing, RegconvError
from regconv.images import prepare

PICTURES = 3


def made(folder: Path, description: ModelDescription | None = None) -> Certificate:
    description = description or describe(str(folder))
    paths = photographs()[:PICTURES]
    pictures = np.stack([prepare(path, description.recipe) for path in paths])
    *_, last = certify(description, pictures, tuple(Path(path).name for path in paths))
    assert last.certificate is not None
    assert last.report == last.certificate.as_dict()
    return last.certificate


@pytest.fixture
def only_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other framework is loaded, which takes its time."""
    candidates = module._candidates

    def engines(description: ModelDescription, other: str) -> list[Any]:
        return [one for one in candidates(description, other) if one.name.startswith("eager")]

    monkeypatch.setattr(module, "_candidates", engines)


@pytest.mark.parametrize("family", ["regnet-x", "regnet-y", "convnext", "convnextv2"])
def test_every_framework_and_engine_agrees(tiny_checkpoint: Callable[..., Path], family: str) -> None:
    pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")
    pytest.importorskip("flax", reason="needs requirements-jax.txt")
    certificate = made(tiny_checkpoint(family))
    assert certificate.ok, markdown(certificate)
    assert certificate.absent == {}
    kinds = {one.name: one.kind for one in certificate.comparisons}
    assert kinds == {
        "TensorFlow": "framework", "Flax": "framework", "eager float32 cpu": "engine",
        "eager bfloat16 cpu": "half precision", "TensorFlow mixed_bfloat16": "half precision",
        "Flax bfloat16": "half precision",
    }  # fmt: skip
    for one in certificate.comparisons:
        names = [row.name for row in one.differences]
        assert names == ["stem", "stage1", "stage2", "stage3", "pooled", "logits"]
        assert all(row.largest_value > 0 for row in one.differences)
        for row in one.differences:
            if one.kind == "half precision":
                assert HALF_COSINE < row.cosine < 1 - 1e-9, f"{one.name}, {row.name}: is that half precision?"
            else:
                assert row.relative <= (FRAMEWORK_BOUND if one.kind == "framework" else ENGINE_BOUND)


def test_a_network_without_a_head_has_no_logits(tiny_checkpoint: Callable[..., Path], only_engines: None) -> None:
    certificate = made(tiny_checkpoint("regnet-y", head=False))
    assert certificate.ok
    assert [row.name for row in certificate.comparisons[0].differences] == [
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "pooled",
    ]


@pytest.mark.parametrize("fault", [1e-3, np.nan])
def test_one_wrong_value_is_found_and_said(
    tiny_checkpoint: Callable[..., Path], only_engines: None, monkeypatch: pytest.MonkeyPatch, fault: float
) -> None:
    folder = tiny_checkpoint("convnext")
    engine = module._engine

    def faulty(description: ModelDescription, device: str, precision: str) -> tuple[str, Any]:
        version, run = engine(description, device, precision)

        def wrong(pixels: np.ndarray) -> dict[str, np.ndarray]:
            found = {name: value.copy() for name, value in run(pixels).items()}
            found["stage2"].flat[7] += fault * np.abs(found["stage2"]).max()
            return found

        return version, wrong if precision == "float32" else run

    monkeypatch.setattr(module, "_engine", faulty)
    certificate = made(folder)
    bad = {one.name: [row.name for row in one.differences if not row.ok] for one in certificate.comparisons}
    assert bad == {"eager float32 cpu": ["stage2"], "eager bfloat16 cpu": []}
    assert not certificate.ok
    assert "**Beyond the bound: eager float32 cpu.**" in markdown(certificate)
    assert "BAD  eager float32 cpu" in summary(certificate)
    assert ("largest difference nan" in summary(certificate)) == np.isnan(fault)
    (path, _) = write_certificate(certificate, folder)
    rows = json.loads(path.read_text(), parse_constant=pytest.fail)["comparisons"][0]["differences"]
    assert [row["name"] for row in rows if row["relative"] is None] == (["stage2"] if np.isnan(fault) else [])


def test_a_framework_that_is_not_installed_is_said_and_does_not_count(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    framework = module._framework

    def missing(description: ModelDescription, package: str, prefix: str, **options: Any) -> Any:
        if package != "torch":
            raise FrameworkMissing("TensorFlow", "requirements-tensorflow.txt")
        return framework(description, package, prefix, **options)

    monkeypatch.setattr(module, "_framework", missing)
    certificate = made(tiny_checkpoint("regnet-x"))
    assert certificate.ok
    assert set(certificate.absent) == {"TensorFlow", "Flax", "TensorFlow mixed_bfloat16", "Flax bfloat16"}
    assert "not compared: TensorFlow: TensorFlow is not installed" in markdown(certificate)
    assert not replace(certificate, comparisons=()).ok, "nothing compared is nothing certified"


def test_it_is_written_whole_as_markdown_and_json(
    tiny_checkpoint: Callable[..., Path], only_engines: None, tmp_path: Path
) -> None:
    certificate = made(tiny_checkpoint("regnet-y"))
    paths = write_certificate(certificate, tmp_path / "out")
    assert [path.name for path in paths] == ["certificate.json", "certificate.md"]
    document = json.loads(paths[0].read_text())
    assert document["ok"] is True
    assert len(document["pictures"]) == PICTURES
    assert document["comparisons"][0]["differences"][0]["shape"] == [10, 32, 32]
    text = paths[1].read_text()
    assert document["weights_digest"] in text
    assert text.count("| logits | 7 |") == len(certificate.comparisons)


def test_bad_asks_are_refused_in_words(tiny_checkpoint: Callable[..., Path]) -> None:
    description = describe(str(tiny_checkpoint("regnet-y")))
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="needs at least one"):
        next(iter(certify(description, picture[:0], ())))
    with pytest.raises(DeviceNotFound):
        next(iter(certify(description, picture, ("x",), device="cuda:9")))
    assert issubclass(DeviceNotFound, RegconvError)
