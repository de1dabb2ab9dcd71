"""The rule that chooses an index, at its thresholds."""

from __future__ import annotations

import pytest

from index.choose import Choice, choose

DIM = 512
CPU = 8 * DIM * 1000  # half of it holds 1,000 float32 vectors
GPU = 4 * DIM * 1000  # half of it holds 1,000 float16 vectors


@pytest.mark.parametrize(
    ("count", "gpu_memory", "expected"),
    [
        (0, None, Choice("float32", gpu=False, exact=True)),
        (999, None, Choice("float32", gpu=False, exact=True)),
        (1000, None, Choice("float32", gpu=False, exact=True)),
        (1001, None, Choice("float16", gpu=False, exact=False)),
        (0, GPU, Choice("float32", gpu=True, exact=False)),
        (1000, GPU, Choice("float32", gpu=True, exact=False)),
        (1001, GPU, Choice("float16", gpu=False, exact=False)),
        (1001, 2 * GPU, Choice("float16", gpu=False, exact=False)),
        (1000, 0, Choice("float32", gpu=False, exact=True)),
    ],
)
def test_the_choice_at_its_thresholds(count: int, gpu_memory: int | None, expected: Choice) -> None:
    assert choose(count, DIM, gpu_memory=gpu_memory, cpu_memory=CPU) == expected


def test_wider_vectors_reach_the_threshold_sooner() -> None:
    assert choose(500, 2 * DIM, gpu_memory=None, cpu_memory=CPU).storage == "float32"
    assert choose(501, 2 * DIM, gpu_memory=None, cpu_memory=CPU).storage == "float16"
