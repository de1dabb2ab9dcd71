"""Precision and recall of `duplicates` for each kind of edit, beside imagededup's perceptual hash and its CNN.

    REGCONV_DATA=... python -m bench.duplicates [--model starter] [--rounds 3] [--peer-python PYTHON] [--caltech]

A round hides one edit of each photograph of the second half of photos/ among all 400: the next round another one. (Thresholds
were chosen on the first half.) A pair counts as found where one group holds both. near_duplicates/ is asked as it is, by the
number in each file's name. The peer is asked about the same folder, in the same run; without --peer-python it is left out.
`--caltech` looks for duplicates among the pictures of caltech101/test, where nothing is known beforehand, and lists what is found.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from bench.duplicate_edits import EDITS, save_edited
from index.duplicate_groups import BURST, components
from index.duplicates import find_duplicates
from index.job import index_folder
from index.library import Library

Pairs = set[tuple[str, str]]
PEERS = {"phash": "imagededup PHash, distance <= 10", "cnn": "imagededup CNN at 0.9 (EfficientNet-Lite0)"}
OURS = "RegConv"


@click.command()
@click.option("--model", default="starter", show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Of up to 24, after which each photograph had each edit.")
@click.option("--peer-python", envvar="IMAGEDEDUP_PYTHON", help="Python of an environment with imagededup.")
@click.option("--caltech", is_flag=True, help="Only look for duplicates in caltech101/test.")
def main(model: str, rounds: int, peer_python: str | None, caltech: bool) -> None:
    """Prints Markdown tables."""
    data = Path(os.environ["REGCONV_DATA"])
    if caltech:
        show_caltech(data, model)
        return
    if peer_python is None:
        click.echo("imagededup is left out: --peer-python was not given.")
    asked: Counter[str] = Counter()
    found: dict[str, Counter[str]] = {}
    right: Counter[str] = Counter()
    wrong: dict[str, Pairs] = {}
    seconds: Counter[str] = Counter()
    pictures = 0
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            true = hide(sorted((data / "photos").glob("*.JPEG")), Path(folder), number)
            pictures += len(os.listdir(folder))
            asked.update(true.values())
            for tool, (pairs, took) in answers(Path(folder), model, peer_python).items():
                seconds.update(took)
                found.setdefault(tool, Counter()).update(true[pair] for pair in pairs & true.keys())
                right[tool] += len(pairs & true.keys())
                wrong.setdefault(tool, set()).update(pairs - true.keys())
    show(asked, found, right, wrong, seconds, pictures)
    show_near_duplicates(data / "near_duplicates", model, peer_python)


def hide(photos: list[Path], folder: Path, number: int) -> dict[tuple[str, str], str]:
    """Fill the folder; the true pairs of names, with the edit that makes each."""
    names = list(EDITS)
    for photo in photos:
        shutil.copy(photo, folder)
    true = {}
    for place, photo in enumerate(photos[len(photos) // 2 :]):
        name = names[(place + number) % len(names)]
        edited = save_edited(photo, name, folder / f"{photo.stem}-edited")
        true[pair(photo.name, edited.name)] = name
    return true


def answers(folder: Path, model: str, peer_python: str | None) -> dict[str, tuple[Pairs, dict[str, float]]]:
    """(pairs of names, seconds) by tool."""
    groups, took, _ = ours(folder, model)
    said = {OURS: (groups, took)}
    if peer_python is not None:
        program = Path(__file__).with_name("duplicates_peer.py")
        done = subprocess.run([peer_python, program, folder], stdout=subprocess.PIPE, text=True, check=True)
        for name, answer in json.loads(done.stdout.splitlines()[-1]).items():
            title = PEERS[name]
            said[title] = {pair(*one) for one in answer["pairs"]}, {title: answer["seconds"]}
    return said


def ours(folder: Path, model: str) -> tuple[Pairs, dict[str, float], dict[str, Any]]:
    """Pairs of names that one group holds, by way of the photos that groups keep; seconds; the report."""
    with tempfile.TemporaryDirectory() as place, Library.open(place, model=model, device="cpu", create=True) as library:
        start = time.perf_counter()
        exhaust(index_folder(library, [str(folder)]))
        indexed = time.perf_counter()
        report = exhaust(find_duplicates(library))
        took = {"index": indexed - start, OURS: time.perf_counter() - indexed}
    groups = [group for group in report["groups"] if group.kind != BURST]
    paths = {member.photo_id: member.path for group in groups for member in group.members}
    links = [(group.members[0].photo_id, member.photo_id) for group in groups for member in group.members[1:]]
    pairs = {
        pair(os.path.basename(paths[one]), os.path.basename(paths[other]))
        for joined in components(links)
        for one, other in itertools.combinations(joined, 2)
    }
    return pairs, took, report


def exhaust(steps: Iterable[Any]) -> dict[str, Any]:
    """The report of a job."""
    *_, last = steps
    return last.report


def pair(one: str, other: str) -> tuple[str, str]:
    """The same for both orders."""
    return (one, other) if one < other else (other, one)


def show(
    asked: Counter[str],
    found: dict[str, Counter[str]],
    right: Counter[str],
    wrong: dict[str, Pairs],
    seconds: Counter[str],
    pictures: int,
) -> None:
    """Recall for each edit; precision, recall and time of all."""
    click.echo(f"| edit | pairs | {' | '.join(found)} |\n|---|--:|{'--:|' * len(found)}")
    for name in EDITS:
        cells = [f"{found[tool][name] / asked[name]:.2f}" for tool in found]
        click.echo(f"| {name} | {asked[name]} | {' | '.join(cells)} |")
    total = sum(asked.values())
    rows = {
        "recall, all": [f"{right[tool] / total:.3f}" for tool in found],
        "wrong pairs": [str(len(wrong[tool])) for tool in found],
        "precision": [f"{right[tool] / max(right[tool] + len(wrong[tool]), 1):.3f}" for tool in found],
        "s for 1,000 photos": [f"{1000 * seconds[tool] / pictures:.1f}" for tool in found],
    }
    for name, cells in rows.items():
        click.echo(f"| **{name}** | {total if name == 'recall, all' else ''} | {' | '.join(cells)} |")
    click.echo(
        f"\n{OURS}'s seconds are those of `duplicates` on a library that is indexed: the index took "
        f"{1000 * seconds['index'] / pictures:.1f} s for 1,000 photos, which a search needs too. The peer reads the files anew."
    )
    click.echo(f"Wrong pairs of {OURS}: {sorted(wrong[OURS])}\n")


def show_near_duplicates(folder: Path, model: str, peer_python: str | None) -> None:
    """Recall of the pairs that the files' names tell, and what else is found."""
    with tempfile.TemporaryDirectory() as place:
        numbers: dict[str, str] = {}
        for number, path in enumerate(sorted(one for one in folder.rglob("*") if one.is_file())):
            flat = f"{number:02}-{path.name}"
            known = re.search(r"ukbench\d+", path.name)
            numbers[flat] = (
                "ukbench00120" if "alpha" in path.name else known[0] if known and "corrupt" not in flat else flat
            )
            shutil.copy(path, Path(place) / flat)
        true = {
            pair(one, other)
            for one, other in itertools.combinations(sorted(numbers), 2)
            if numbers[one] == numbers[other]
        }
        click.echo("| near_duplicates | true pairs | found | wrong | missed for lack of |\n|---|--:|--:|--:|---|")
        for tool, (pairs, _) in answers(Path(place), model, peer_python).items():
            missed = Counter(name[3:] for one in true - pairs for name in one)
            often = ", ".join(f"{name} ({count})" for name, count in missed.most_common(4))
            click.echo(f"| {tool} | {len(true)} | {len(pairs & true)} | {len(pairs - true)} | {often} |")


def show_caltech(data: Path, model: str) -> None:
    """Every group of caltech101/test, in lines to be looked at."""
    pairs, took, report = ours(data / "caltech101" / "test", model)
    click.echo(f"{report['contents']} pictures, {report['compared']} compared, {len(pairs)} pairs, seconds {took}")
    for group in report["groups"]:
        names = ", ".join(f"{os.path.relpath(member.path, data)} ({member.relation})" for member in group.members)
        click.echo(f"{group.kind}: {names}")


if __name__ == "__main__":
    main()
