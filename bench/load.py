"""Whether the server bears many at once: errors, times, and memory, with an index job at work all the while.

    REGCONV_DATA=... python -m bench.load [LIBRARY] [--clients 50] [--seconds 300] [--pause 5] [--photos 2000] [--json FILE]

Half of the clients are browsers on the page, in Gradio's protocol (each opens, uploads, pages, clicks, looks into tabs, leaves and
comes back as somebody new), half are programs on the interface. Each has an address of its own, 127.0.0.2 and on: the interface
gives turns by address, and 50 clients behind one would be one client to it. All wait about --pause seconds after each thing done,
as people do; --pause 0 asks for as much as can be had. Uploads and new photos are photographs with bytes of their own, so that
nothing is known already. A LIBRARY that is given is copied first. Errors are answers with another status than 200, events of the
page that fail, and pages that show a problem.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import psutil

from bench.load_clients import TIMEOUT_S, Client, Page, Program, Record, Visitor, changed, must_be

SAMPLED_S = 2.0
BATCH = 200  # new photos a job
MB = 1e6


@dataclass(frozen=True)
class Sample:
    """The server at a moment."""

    second: float
    server_mb: float
    workers_mb: float  # all its processes besides
    files: int  # open
    threads: int
    temporary_mb: float  # files, uploads above all


class Watch:
    """Looks at a server's process all the while."""

    def __init__(self, pid: int, temporary: Path) -> None:
        self.process, self.temporary = psutil.Process(pid), temporary
        self.started = time.monotonic()
        self.samples: list[Sample] = []

    async def work(self) -> None:
        """Until it is cancelled."""
        while True:
            self.samples.append(await asyncio.to_thread(self.look))
            await asyncio.sleep(SAMPLED_S)

    def look(self) -> Sample:
        """As it is now."""
        memory = 0
        for child in self.process.children(recursive=True):
            try:
                memory += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # it was exchanged for another
        files = size_below(self.temporary)
        return Sample(
            time.monotonic() - self.started, self.process.memory_info().rss / MB, memory / MB,
            self.process.num_fds(), self.process.num_threads(), files / MB,
        )  # fmt: skip


async def index_all_the_while(base: str, pictures: Sequence[bytes], folder: Path, record: Record) -> None:
    """A job after the other over photos that are new, until it is cancelled."""
    client = Client(base, None, record, 0)
    async with client.http:
        for number in count():
            batch = folder / f"batch-{number}"
            batch.mkdir(parents=True)
            for place in range(BATCH):
                (batch / f"{place}.jpg").write_bytes(changed(pictures[place % len(pictures)]))
            await client.ask("api: start a job", "POST", "/api/index", 202, json={"folders": [str(batch)]})
            while True:
                await asyncio.sleep(1)
                state = await client.ask("api: job", "GET", "/api/index")
                if state is not None and not state.json()["running"]:
                    break


async def load(
    base: str,
    clients: int,
    seconds: float,
    pause_s: float,
    pictures: Sequence[bytes],
    new: Path,
    rounds: int | None = None,
) -> Record:
    """What so many clients met with in that time, or in so many rounds, while a job indexed new photos below `new`."""
    record = Record()
    async with httpx.AsyncClient(base_url=base, timeout=60) as first:
        page = Page.of(must_be(await first.get("/config")).json())
    addresses = [f"127.0.0.{number + 2}" if sys.platform == "linux" else None for number in range(clients)]
    people = [
        Visitor(base, address, record, number, page) if number % 2 == 0 else Program(base, address, record, number)
        for number, address in enumerate(addresses)
    ]
    job = asyncio.create_task(index_all_the_while(base, pictures, new, record))
    tasks = [asyncio.create_task(one.work(pictures, pause_s, rounds)) for one in people]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    ended = [task for task in (job, *tasks) if task.done()]
    for task in (job, *tasks):
        task.cancel()
    await asyncio.gather(job, *tasks, return_exceptions=True)
    for task in ended:
        task.result()  # raises what was wrong with this program itself
    for one in people:
        await one.http.aclose()
    return record


@contextmanager
def serving(library: Path, temporary: Path) -> Iterator[tuple[str, int]]:
    """(address, process) of a server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "ui", "--library", str(library), "--port", str(port)]
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}  # what it keeps of uploads lies there
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        base = f"http://127.0.0.1:{port}"
        try:
            while not _answers(base):
                if server.poll() is not None:
                    raise click.ClickException(f"The server ended at once, with {server.returncode}.")
                time.sleep(0.1)
            yield base, server.pid
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(TIMEOUT_S)


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def rows(record: Record, seconds: float) -> list[dict[str, Any]]:
    """The figures of each kind of request; milliseconds."""
    found = []
    for kind in sorted(record.seconds.keys() | record.errors.keys()):
        times = np.array(record.seconds.get(kind, [])) * 1000
        p50, p95, p99 = np.percentile(times, (50, 95, 99)).round().tolist() if times.size else (None, None, None)
        errors = sum(record.errors[kind].values()) if kind in record.errors else 0
        found.append(
            {
                "kind": kind,
                "count": times.size,
                "errors": errors,
                "p50": p50,
                "p95": p95,
                "p99": p99,
                "a second": round(times.size / seconds, 2),
            }
        )
    return found


def growth(samples: Sequence[Sample]) -> dict[str, Any]:
    """Memory before, after the first quarter and at the end, and what the second half grew by a minute, in MB."""
    quarter, half, last = samples[len(samples) // 4], samples[len(samples) // 2 :], samples[-1]
    minutes = np.array([one.second for one in half]) / 60
    slopes = {
        name: round(float(np.polyfit(minutes, [getattr(one, name) for one in half], 1)[0]), 2)
        for name in ("server_mb", "workers_mb", "temporary_mb")
    }
    return {
        "before": vars(samples[0]), "after a quarter": vars(quarter), "at the end": vars(last), "a minute, second half": slopes,
    }  # fmt: skip


def size_below(folder: Path) -> int:
    """Bytes of the files in a folder and below; what goes meanwhile counts as gone."""
    total = 0
    for place, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def photographs(folder: Path) -> list[bytes]:
    """JPEGs of REGCONV_DATA, or else of the sample library."""
    from index.sample import make_sample

    data = os.environ.get("REGCONV_DATA")
    if data is None:
        make_sample(folder)
    files = sorted((Path(data) / "photos" if data else folder).iterdir())
    return [file.read_bytes() for file in files if file.suffix.lower() in (".jpg", ".jpeg")]


def library_of(pictures: Sequence[bytes], photos: int, place: Path) -> Path:
    """A library of so many photos with the starter model."""
    from index.job import index_folder
    from index.library import Library

    folder = place / "photos"
    folder.mkdir()
    for number in range(photos):
        (folder / f"{number:05d}.jpg").write_bytes(changed(pictures[number % len(pictures)]))
    with Library.open(place / "library", model="starter", create=True) as library:
        for _ in index_folder(library, [str(folder)]):
            pass
    return place / "library"


@click.command(help=__doc__)
@click.argument("library", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clients", default=50)
@click.option("--seconds", default=300.0)
@click.option("--pause", default=5.0, help="Seconds on average")
@click.option("--photos", default=2000, help="Of the library, where none is given")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Every sample of memory besides")
def main(library: Path | None, clients: int, seconds: float, pause: float, photos: int, file: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        pictures = photographs(place / "sample")
        if library is None:
            copy = library_of(pictures, photos, place)
        else:
            copy = Path(shutil.copytree(library, place / "library"))
        kept = place / "kept"
        with serving(copy, kept) as (base, pid):
            must_be(
                httpx.post(f"{base}/api/look", files={"file": ("a.jpg", pictures[0], "image/jpeg")}, timeout=TIMEOUT_S)
            )
            watch = Watch(pid, kept)
            before = httpx.get(f"{base}/health").json()
            record = asyncio.run(_watched(watch, load(base, clients, seconds, pause, pictures, place / "new")))
            after = httpx.get(f"{base}/health", timeout=TIMEOUT_S).json()
    report = {
        "clients": clients, "seconds": seconds, "pause": pause, "photos before": before["photos"], "photos after": after["photos"],
        "requests": rows(record, seconds), "errors": {kind: dict(words) for kind, words in record.errors.items()},
        "memory": growth(watch.samples),
    }  # fmt: skip
    if file is not None:
        file.write_text(json.dumps(report | {"samples": [vars(one) for one in watch.samples]}, indent=1))
    click.echo(_table(report))
    sys.exit(1 if record.failed else 0)


async def _watched(watch: Watch, loaded: Any) -> Record:
    looking = asyncio.create_task(watch.work())
    try:
        record = await loaded
        if looking.done():
            looking.result()  # raises what ended it: half a run's memory is none
        return record
    finally:
        looking.cancel()


def _table(report: dict[str, Any]) -> str:
    lines = ["| request | count | errors | p50 ms | p95 ms | p99 ms | a second |", "|---|--:|--:|--:|--:|--:|--:|"]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in report["requests"]]
    lines += [f"{report['clients']} clients, {report['seconds']:.0f} s, pause {report['pause']} s, "]
    lines[-1] += f"{report['photos before']} photos before, {report['photos after']} after"
    for when, figures in report["memory"].items():
        lines.append(f"{when}: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()))
    lines += [
        f"{kind}: {times} x {words}"
        for kind, all_words in report["errors"].items()
        for words, times in all_words.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
