"""A short run of bench/load.py: several clients on the page and the interface at once, while photos are indexed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bench.load import load
from index.job import index_folder
from index.library import Library

CLIENTS, AT_MOST_S = 8, 240


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of Gradio's own use of pandas
def test_several_clients_at_once_meet_no_error(
    empty_server: str, empty_library: Library, photo_folder: Path, tmp_path: Path
):
    for _ in index_folder(empty_library, [str(photo_folder)]):
        pass
    pictures = [(photo_folder / name).read_bytes() for name in ("moon.jpg", "coffee.jpg", "astronaut.jpg")]
    record = asyncio.run(load(empty_server, CLIENTS, AT_MOST_S, 0.1, pictures, tmp_path / "new", rounds=1))
    assert {kind: dict(words) for kind, words in record.errors.items()} == {}
    visits = {"page: open": 1, "page: look": 1, "page: next page": 2, "page: photo clicked": 1, "page: other tab": 2}
    programs = {"api: look": 1, "api: search by upload": 1, "api: page of a search": 3, "photo": 1, "health": 1}
    for kind, times in (visits | programs).items():
        assert len(record.seconds[kind]) == times * CLIENTS // 2, kind
    assert record.seconds["thumbnail"]
    assert record.seconds["api: start a job"]
    deadline = time.monotonic() + AT_MOST_S
    while (
        empty_library.catalog.counts(empty_library.space_id)["present"] == 14
    ):  # on two cores the clients may be faster
        assert time.monotonic() < deadline, "the job that was started at the same time stored nothing"
        time.sleep(0.2)
