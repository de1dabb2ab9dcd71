"""Pictures of figures. matplotlib is imported only where one is drawn: it takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_LINE, _STEPS, _BANDS = "#b5482a", "#1f5673", ("#eef3f6", "#ffffff")


def design_plot(document: dict[str, Any], path: Path) -> None:
    """Writes a PNG of `ui.verbs.designs.design_document`: widths over blocks, the line that they follow, the stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    blocks, depths = document["blocks"], document["config"]["depths"]
    numbers = range(len(blocks["built"]))
    figure = Figure(figsize=(8, 4.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    axes = figure.add_subplot()
    edges = [number - 0.5 for number in (*numbers, len(numbers))]
    axes.stairs(blocks["built"], edges, baseline=None, color=_STEPS, lw=2, label="width as built")
    axes.plot(
        numbers, blocks["quantised"], "o", color=_STEPS, mfc="white", ms=4, label="quantised, before whole groups"
    )
    axes.plot(numbers, blocks["linear"], "-", color=_LINE, lw=1.5, label="line w_0 + w_a · j")
    axes.set_ylim(0, 1.15 * max(*blocks["built"], *blocks["linear"]))
    axes.set_xlim(-0.5, len(numbers) - 0.5)
    start = 0
    for stage, depth in enumerate(depths):
        axes.axvspan(start - 0.5, start + depth - 0.5, color=_BANDS[stage % 2], zorder=0)
        middle, has_room = start + (depth - 1) / 2, depth >= 0.02 * len(numbers)
        if has_room:
            place = axes.get_xaxis_transform()
            axes.text(middle, 0.985, str(stage + 1), transform=place, ha="center", va="top", color="#555555")
        start += depth
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("block j (stages numbered above)")
    axes.set_ylabel("width in channels")
    axes.set_title(_title(document), fontsize=10, loc="left")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, format="png")


def _title(document: dict[str, Any]) -> str:
    numbers = ", ".join(f"{name} {value}" for name, value in document["design"].items() if name != "se")
    kind = document["name"] or ("RegNetY" if document["design"]["se"] else "RegNetX")
    cost = (
        f"{document['flops'] / 1e9:.2f} G multiply-adds, {document['parameters'] / 1e6:.1f} M parameters, "
        f"{document['activations'] / 1e6:.1f} M activations at {document['size']} px"
    )
    return f"{kind}: {numbers}\n{cost}"
