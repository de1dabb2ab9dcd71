"""The rule that chooses an index, at its thresholds."""

from __future__ import annotations

import pytest

from index.choose import EXACT, choose, has_outgrown

CPU = 8 << 30
GPU = 8 << 30


@pytest.mark.parametrize(
    ("count", "dim", "factory"),
    [
        (0, 512, "Flat"),
        (20_000, 512, "Flat"),
        (20_001, 512, "RR,RaBitQfs"),
        (20_001, 129, "RR,RaBitQfs"),
        (20_001, 128, "SQ8"),
        (500_000, 512, "RR,RaBitQfs"),
        (500_001, 512, "RR,IVF2048,RaBitQfs"),
        (250_001, 1024, "RR,IVF2048,RaBitQfs"),
        (1_000_000, 512, "RR,IVF4096,RaBitQfs"),
        (10_000_000, 512, "RR,IVF16384,RaBitQfs"),
        (10_000_000, 48, "IVF16384,SQ8"),
    ],
)
def test_on_the_cpu(count: int, dim: int, factory: str) -> None:
    choice = choose(count, dim, gpu_memory=None, cpu_memory=CPU)
    assert (choice.factory, choice.gpu) == (factory, False)
    assert choice.exact == (factory == "Flat")
    assert (choice.candidates > 0) == (factory != "Flat")
    assert (choice.lists > 0) == ("IVF" in factory)
    assert choice.probes <= choice.lists


@pytest.mark.parametrize(
    ("cpu", "gpu", "has_clone"),
    [
        (CPU, GPU, True),
        (CPU, None, False),
        (2 * 512 * 4 * 10_000, GPU, True),  # half of it holds exactly the 10,000 in float32
        (2 * 512 * 4 * 10_000 - 8, GPU, False),
        (CPU, 2 * 512 * 2 * 10_000, True),  # and in float16
        (CPU, 2 * 512 * 2 * 10_000 - 8, False),
    ],
)
def test_on_the_gpu_where_it_and_its_float32_original_fit(cpu: int, gpu: int | None, has_clone: bool) -> None:
    choice = choose(10_000, 512, gpu_memory=gpu, cpu_memory=cpu)
    assert (choice.kind, choice.gpu, choice.exact) == ("exact", has_clone, not has_clone)


def test_a_lower_latency_asks_for_lists_earlier() -> None:
    memory = {"gpu_memory": None, "cpu_memory": CPU}
    assert choose(200_000, 512, **memory).kind == "codes"  # type: ignore[arg-type]
    assert choose(200_000, 512, latency_ms=1.0, **memory).kind == "lists"  # type: ignore[arg-type]


def test_an_index_at_the_threshold_is_not_built_again_and_again() -> None:
    memory = {"gpu_memory": None, "cpu_memory": CPU}

    def outgrown(built_for: int, count: int) -> bool:
        choice = choose(built_for, 512, gpu_memory=None, cpu_memory=CPU)
        return has_outgrown(choice, count, 512, **memory)  # type: ignore[arg-type]

    assert not outgrown(20_000, 20_001)
    assert not outgrown(20_000, 30_000)
    assert outgrown(20_000, 30_002)
    assert not outgrown(500_000, 700_000)
    assert outgrown(500_000, 760_000)
    assert not outgrown(1_000_000, 6_000_000)
    assert outgrown(1_000_000, 30_000_000)
    assert not outgrown(1_000_000, 1000), "a library that has shrunk keeps its lists"
    assert has_outgrown(EXACT, 1_000_000, 512, **memory)  # type: ignore[arg-type]
