"""The rule that chooses an index, at its thresholds."""

from __future__ import annotations

import pytest

from index.choose import EXACT, as_codes, choose, has_outgrown, in_lists

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
    choice = choose(count, dim, gpu_memory=None)
    assert (choice.factory, choice.gpu) == (factory, False)
    assert choice.exact == (factory == "Flat")
    assert (choice.candidates > 0) == (factory != "Flat")
    assert (choice.lists > 0) == ("IVF" in factory)
    assert choice.probes <= choice.lists


@pytest.mark.parametrize(
    ("count", "gpu", "has_copy"),
    [
        (100_000, GPU, True),
        (100_000, None, False),
        (20_000, GPU, False),
        (100_000, 2 * 512 * 2 * 100_000, True),  # half of it holds exactly the 100,000 in float16
        (100_000, 2 * 512 * 2 * 100_000 - 8, False),
        (10_000_000, 40 << 30, True),
        (10_000_000, GPU, False),
    ],
)
def test_on_the_gpu_where_a_large_library_fits(count: int, gpu: int | None, has_copy: bool) -> None:
    choice = choose(count, 512, gpu_memory=gpu)
    assert choice.gpu == has_copy
    assert choice.exact == (count == 20_000)
    if has_copy:
        assert choice.factory == "RR,RaBitQfs"  # stands by for what the GPU cannot do


@pytest.mark.parametrize(("dim", "candidates"), [(512, 200), (2048, 200), (256, 400), (192, 533), (64, 100)])
def test_the_narrower_the_more_candidates_but_for_codes_of_bytes(dim: int, candidates: int) -> None:
    assert as_codes(dim).candidates == in_lists(dim, 64).candidates == candidates


def test_a_lower_latency_asks_for_lists_earlier() -> None:
    assert choose(200_000, 512, gpu_memory=None).kind == "codes"
    assert choose(200_000, 512, latency_ms=1.0, gpu_memory=None).kind == "lists"


def test_an_index_at_the_threshold_is_not_built_again_and_again() -> None:

    def outgrown(built_for: int, count: int) -> bool:
        choice = choose(built_for, 512, gpu_memory=None)
        return has_outgrown(choice, count, 512)

    assert not outgrown(20_000, 20_001)
    assert not outgrown(20_000, 30_000)
    assert outgrown(20_000, 30_002)
    assert not outgrown(500_000, 700_000)
    assert outgrown(500_000, 760_000)
    assert not outgrown(1_000_000, 6_000_000)
    assert outgrown(1_000_000, 30_000_000)
    assert not outgrown(1_000_000, 1000), "a library that has shrunk keeps its lists"
    assert has_outgrown(EXACT, 1_000_000, 512)
