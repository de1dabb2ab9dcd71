"""Which FAISS index suits how many vectors: a pure function, so that the rule can be read and tested.

Sources: FAISS' guidelines (github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index) say exact search up to some
10,000 vectors. One bit a number after a random rotation (RaBitQ, Gao and Long 2024, arXiv 2405.12497) proposes candidates
that are ranked again by the stored vectors. The times and recalls behind the thresholds: bench/RESULTS.md, "Search".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MEMORY_SHARE = 0.5  # of what is free on the GPU: the rest is for the network
EXACT_UP_TO = 20_000
# One bit a number tells too little where there are few numbers: those get a byte each.
NARROW = 128
# Of one core, for each code, measured; grows with the width: of a bit a number for 512 of them, of a byte for NARROW.
CODES_MS, CODES_BY_BYTES_MS = 10e-6, 13e-6
LATENCY_MS = 5.0
LISTS_PER_ROOT = 4  # lists for sqrt(count) vectors, by FAISS' guidelines
PROBES = 128
CANDIDATES = 200  # of codes of a bit a number at a width of 512: the fewer numbers, the rougher the codes' order
CANDIDATES_BY_BYTES = 100  # of codes of a byte a number, whose order is nearly right


@dataclass(frozen=True)
class Choice:
    """A kind of index, and how it is asked.

    kind: "exact" (float32, brute force), "codes" (short codes of all vectors), "lists" (the same in lists, of which `probes`
    are read), each but the first with `candidates` ranked again in float32. factory: FAISS' own words for it. gpu: a float16
    copy on the GPU proposes the candidates.
    """

    kind: str
    factory: str
    gpu: bool = False
    candidates: int = 0
    lists: int = 0
    probes: int = 0

    @property
    def exact(self) -> bool:
        """Whether ids and scores are those of brute force in float32."""
        return self.kind == "exact"


EXACT = Choice("exact", "Flat")


def choose(count: int, dim: int, *, gpu_memory: int | None, latency_ms: float = LATENCY_MS) -> Choice:
    """The index for `count` vectors of width `dim`, given the GPU's free bytes (None: no GPU for FAISS).

    Exact up to EXACT_UP_TO, which takes a millisecond; then codes, then lists once reading all codes would take longer than
    `latency_ms`. Where half of the GPU's free memory holds all vectors in float16 it searches those, and the codes stand by
    for what it cannot do.
    """
    if count <= EXACT_UP_TO:
        return EXACT
    if gpu_memory is not None and count * dim * 2 <= gpu_memory * MEMORY_SHARE:
        return replace(as_codes(dim), gpu=True)
    if count * _code_ms(dim) <= latency_ms:
        return as_codes(dim)
    return in_lists(dim, 2 ** round(math.log2(LISTS_PER_ROOT * math.sqrt(count))))


def as_codes(dim: int) -> Choice:
    """Short codes of vectors of width `dim`, all of them read for a query."""
    return Choice("codes", _code(dim), candidates=_candidates(dim))


def in_lists(dim: int, lists: int) -> Choice:
    """The same in so many lists."""
    rotation, _, code = _code(dim).rpartition(",")
    factory = f"{rotation + ',' if rotation else ''}IVF{lists},{code}"
    return Choice("lists", factory, candidates=_candidates(dim), lists=lists, probes=min(lists, PROBES))


def _code_ms(dim: int) -> float:
    return CODES_BY_BYTES_MS * dim / NARROW if dim <= NARROW else CODES_MS * dim / 512


def _candidates(dim: int) -> int:
    return CANDIDATES_BY_BYTES if dim <= NARROW else max(CANDIDATES, CANDIDATES * 512 // dim)


def _code(dim: int) -> str:
    return "SQ8" if dim <= NARROW else "RR,RaBitQfs"


def has_outgrown(choice: Choice, count: int, dim: int) -> bool:
    """Whether an index of this kind should be built anew as another one.

    Only well beyond the threshold, so that a library at its edge is not built again and again.
    """
    if choice.gpu:
        return False
    kinds = ("exact", "codes", "lists")
    fitting = choose(int(count / 1.5), dim, gpu_memory=None)
    if kinds.index(fitting.kind) > kinds.index(choice.kind):
        return True
    return choice.kind == "lists" and fitting.lists > 2 * choice.lists
