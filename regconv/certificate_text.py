"""A certificate in words and as files: Markdown, a table for each framework and engine, and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from regconv.certificate import Certificate, Comparison
from regconv.checkpoint import write_files


def write_certificate(certificate: Certificate, folder: Path) -> list[Path]:
    """certificate.json and certificate.md in the folder, which is made where it is missing; their paths."""
    texts = {
        "certificate.json": json.dumps(certificate.as_dict(), indent=2, allow_nan=False) + "\n",
        "certificate.md": markdown(certificate),
    }
    write_files(folder, {name: text.encode() for name, text in texts.items()})
    return [folder / name for name in texts]


def markdown(certificate: Certificate) -> str:
    """The whole certificate."""
    failed = [one.name for one in certificate.comparisons if not one.ok]
    verdict = f"**Beyond the bound: {', '.join(failed)}.**" if failed else "Everything compared is within its bound."
    lines = [
        f"# Parity certificate of {certificate.checkpoint}",
        "",
        verdict,
        "",
        f"- model type {certificate.model_type}, sha256 of the weights {certificate.weights_digest}",
        f"- reference: {certificate.reference}",
        f"- {len(certificate.pictures)} pictures of {certificate.size} x {certificate.size} pixels: "
        + ", ".join(certificate.pictures),
        *(f"- not compared: {name}: {reason}" for name, reason in certificate.absent.items()),
    ]
    for one in certificate.comparisons:
        lines += ["", *_table(one)]
    return "\n".join(lines) + "\n"


def summary(certificate: Certificate) -> str:
    """A line for each comparison: its worst output, NaN where there is any, and whether it is within the bound."""
    lines = []
    for one in certificate.comparisons:
        if one.kind == "half precision":
            worst = f"least cosine {np.min([row.cosine for row in one.differences]):.6f}, bound {one.bound}"
        else:
            worst = f"largest difference {np.max([row.relative for row in one.differences]):.1e}, bound {one.bound:.0e}"
        lines.append(f"{'ok  ' if one.ok else 'BAD '} {one.name} {one.version}: {worst}")
    return "\n".join(lines + [f"     {name}: not compared, {reason}" for name, reason in certificate.absent.items()])


def _table(one: Comparison) -> list[str]:
    bound = (
        f"least cosine above {one.bound}"
        if one.kind == "half precision"
        else f"difference at most {one.bound:.0e} of the largest value"
    )
    rows = [
        f"| {row.name} | {' x '.join(map(str, row.shape))} | {row.largest_value:.4g} | {row.absolute:.1e} | "
        f"{row.relative:.1e} | {row.cosine:.7f} | {'yes' if row.ok else '**no**'} |"
        for row in one.differences
    ]
    return [
        f"## {one.name}",
        "",
        f"{one.kind}, version {one.version}, {one.seconds} s with loading; bound: {bound}",
        "",
        "| output | shape | largest value | largest difference | of the largest value | least cosine | within |",
        "|---|---|--:|--:|--:|--:|---|",
        *rows,
    ]
