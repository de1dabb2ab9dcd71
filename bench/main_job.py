"""The main job beside the plain way to do it: a loop over the files with transformers' processor and network.

    REGCONV_DATA=… python -m bench.main_job [--photos 200] [--pairs 3]

Both read the same photographs and the same weights in subprocesses, in turns. Ours also hashes, makes thumbnails, labels and
a catalogue, and survives a kill. Also: start-up of the page and of a search, and peak memory (all processes together).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PEER = """
import sys, time, json
from pathlib import Path
import numpy as np, torch, transformers
from PIL import Image
from transformers import AutoModel, ConvNextImageProcessorPil
folder, model, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
start = time.perf_counter()
network = AutoModel.from_pretrained(model).float().eval()
processor = ConvNextImageProcessorPil.from_pretrained(model)
files = sorted(Path(folder).iterdir())[:count]
vectors = []
with torch.inference_mode():
    for first in range(0, len(files), 16):
        pictures = [Image.open(file).convert("RGB") for file in files[first : first + 16]]
        output = network(processor(pictures, return_tensors="pt")["pixel_values"])
        vectors.append(output.pooler_output.flatten(1).numpy())
np.save(sys.argv[4], np.concatenate(vectors))
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def peak_of(command: list[str]) -> tuple[dict, float, float]:
    """(the JSON that a command prints, its wall seconds, peak resident MiB of it and its children)."""
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            # Pages shared between workers are counted once, as the kernel does.
            peak = max(peak, sum(member.memory_full_info().pss for member in family) / 2**20)
        except psutil.Error:
            pass
        time.sleep(0.25)
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"failed: {command}")
    return json.loads(output), time.perf_counter() - start, peak


def save_convnext(folder: Path) -> None:
    """A ConvNeXt-Tiny at 224 px with random weights: the cost of a common network."""
    import torch

    from regconv import ConvNextConfig, ConvNextForImageClassification, ConvNextImageProcessor

    torch.manual_seed(0)
    ConvNextForImageClassification(ConvNextConfig(num_labels=1000)).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875, resample=3).save_pretrained(folder)


def compare(photos: Path, count: int, model: str, pairs: int) -> None:
    from regconv.backbone import describe

    ours, theirs, memory = [], [], []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as scratch:
            some = Path(scratch) / "photos"
            some.mkdir()
            for file in sorted(photos.iterdir())[:count]:
                if file.suffix == ".JPEG":
                    (some / file.name).symlink_to(file)
            command = [
                sys.executable,
                "app.py",
                "index",
                str(some),
                "--library",
                f"{scratch}/library",
                "--model",
                model,
                "--json",
            ]
            report, wall, peak = peak_of(command)
            ours.append(report["embedded"] / wall)
            _, again, _ = peak_of(command)
            peer = [
                sys.executable,
                "-c",
                PEER,
                str(some),
                str(describe(model).folder),
                str(count),
                f"{scratch}/vectors.npy",
            ]
            _, peer_wall, peer_peak = peak_of(peer)
            theirs.append(report["embedded"] / peer_wall)
            memory.append((peak, peer_peak, again))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    peak, peer_peak, again = (statistics.median(values) for values in zip(*memory, strict=True))
    name = "ConvNeXt-Tiny, 224 px" if Path(model).exists() else f"{model}"
    print(
        f"| {name} | {statistics.median(ours):.1f} | {statistics.median(theirs):.1f} | {ratio:.2f} | {peak:.0f} | "
        f"{peer_peak:.0f} | {again:.1f} |",
        flush=True,
    )


def start_ups(photos: Path) -> None:
    """Seconds from the command to the first answer, on a library that exists."""
    import httpx

    with tempfile.TemporaryDirectory() as scratch:
        library = ["--library", f"{scratch}/library", "--model", "starter"]
        peak_of([sys.executable, "app.py", "index", str(photos), *library, "--json"])
        searches = [
            peak_of([sys.executable, "app.py", "search", str(next(photos.glob("*.JPEG"))), *library, "--json"])[1]
            for _ in range(3)
        ]
        pages = []
        for _ in range(3):
            start = time.perf_counter()
            server = subprocess.Popen([sys.executable, "app.py", "--port", "7867", *library], stdout=subprocess.DEVNULL)
            while True:
                try:
                    httpx.get("http://127.0.0.1:7867/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.05)
            pages.append(time.perf_counter() - start)
            server.terminate()
            server.wait()
    search, page = statistics.median(searches), statistics.median(pages)
    print(f"\nStart-up: a search from the command line {search:.1f} s, the page {page:.1f} s.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    data = os.environ.get("REGCONV_DATA") or sys.exit(
        "REGCONV_DATA is not set: there are no photographs to measure on."
    )
    photos = Path(data) / "photos"
    import transformers

    print(
        f"{os.cpu_count()} cores, transformers {transformers.__version__}, {options.photos} photographs, {options.pairs} pairs\n"
    )
    print(
        "| network | ours, images/s | transformers loop, images/s | ratio | ours, peak MiB | loop, peak MiB | unchanged again, s |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        save_convnext(Path(folder))
        compare(photos, options.photos, "starter", options.pairs)
        compare(photos, options.photos, folder, options.pairs)
    start_ups(photos)


if __name__ == "__main__":
    main()
