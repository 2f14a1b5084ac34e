"""Heat maps of transfer, sources × targets: blue where an arm is better than scratch, orange where it is worse."""

import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from transfer.report import figures
from transfer.report.figures import COLOURS, MUTED, STYLE, axes_of
from transfer.report.words import number

BETTER, WORSE = COLOURS[1], COLOURS[2]
STRONGEST = 0.5
"""Opacity of an effect as large as the scale; the colour of text stays readable on it in light and dark."""
SIGNS = {"helps": "▲", "hurts": "▼"}


def draw(document: dict[str, Any], arm: str) -> Figure:
    """One arm's matrix."""
    cells, scales = document["arms"][arm], document["scales"]
    rows, columns = len(document["sources"]), len(document["targets"])
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(max(4.6, 1.9 + 1.05 * columns), 1.5 + 0.62 * rows)
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                _cell(axes, i, j, cell, scales[j])
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_xticks(range(columns), [_wrapped(target) for target in document["targets"]], fontsize=9)
        axes.set_yticks(range(rows), [_wrapped(source) for source in document["sources"]], fontsize=9)
        axes.set_xlabel("target")
        axes.set_ylabel("source")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def inline(svg: str, name: str) -> str:
    """As `figures.inline`."""
    return re.sub(r"<title>.*?</title>", "", figures.inline(svg, name), flags=re.DOTALL)


def _cell(axes: Axes, row: int, column: int, cell: dict[str, Any] | None, scale: float | None) -> None:
    """A square whose strength is the effect as a share of the target's scale, and the number in it."""
    corner = (column - 0.47, row - 0.46)
    if cell is None or cell["value"] is None:
        axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor="none", edgecolor=MUTED, linewidth=0.6, linestyle=":"))
        axes.text(column, row, "–", ha="center", va="center", color=MUTED)
        return
    share = min(1.0, abs(cell["value"]) / scale) if scale else 0.0
    colour = BETTER if cell["value"] >= 0 else WORSE
    axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=colour, alpha=STRONGEST * share, linewidth=0))
    axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor="none", edgecolor=colour, linewidth=0.8))
    sign = SIGNS.get(cell["verdict"] or "", "")
    axes.text(column, row - 0.1, number(cell["value"], signed=True), ha="center", va="center", fontsize=11)
    under = f"{sign} {cell['verdict']}".strip() if cell["verdict"] else "not tested"
    axes.text(column, row + 0.24, under, ha="center", va="center", fontsize=8)


def _wrapped(name: str) -> str:
    """A game's name without its package's, broken to fit a cell."""
    return figures.wrapped(name.removeprefix("headstart/"), 17)
