"""The figures, drawn from results.json's document: readable in grey, in the dark and on a phone."""

import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from transfer.report.words import NAMES, exact

INK, MUTED, GRID = "#1e2329", "#67707c", "#d9dde3"
COLOURS = ("#59626e", "#0b62b0", "#c2500a", "#0b7a52", "#8b3fa8", "#8a6d00", "#b0285a", "#0f7489", "#5a4fcf")
"""Scratch first. The page's style sheet names their counterparts for the dark."""
LINES = ((0, (4, 2)), "solid", (0, (6, 1.5, 1, 1.5)), (0, (1.2, 1.2)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "osD^vPX*<"
LINES_SHOWN, DOTS_SHOWN = 50, 200
"""Seeds of an arm, the first ones, that are drawn as thin lines and as dots; all of them are in results.json."""
STYLE: Any = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def draw(document: dict[str, Any]) -> dict[str, Figure]:
    """The figures of a study by file name; one that has nothing to show is left out."""
    arms = {name: arm for name, arm in document["arms"].items() if arm["curve"]}
    if not arms:
        return {}
    with mpl.rc_context(STYLE):
        figures = {"learning_curves": _learning_curves(document, arms)}
        for metric in ("jumpstart", "asymptotic", "total_reward"):
            if "scratch" in arms and len(arms) > 1:
                figures[metric] = _differences(document, arms, metric)
        if document["arms"]["scratch"]["time_to_threshold"].get("thresholds"):
            figures["time_to_threshold"] = _times(document, arms)
        if document["source"]["steps"] and len(arms) > 1:
            figures["learning_curves_charged"] = _learning_curves(document, arms, charged=True)
    return figures


def to_svg(figure: Figure, name: str) -> str:
    """A figure as SVG text, the same bytes for the same figure."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": name})
    return buffer.getvalue()


def to_png(figure: Figure) -> bytes:
    """A figure as PNG on white, for places that show no SVG."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=200, facecolor="white")
    return buffer.getvalue()


def inline(svg: str, name: str) -> str:
    """SVG text for a page: ids of its own, colours as the page's variables, as wide as the page lets it."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", text, count=1)
    text = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", text, count=1)
    variables = {INK: "ink", MUTED: "muted", GRID: "grid", **{colour: f"c{i}" for i, colour in enumerate(COLOURS)}}
    for colour, variable in variables.items():
        text = text.replace(colour, f"var(--{variable})")
    return text.strip()


def over_distance(document: dict[str, Any]) -> Figure:
    """The difference from scratch over a dial's values: the primary metric, and the jumpstart beside it."""
    dial, primary = document["dial"], document["primary"]
    panels = list(dict.fromkeys((primary, "jumpstart")))
    styles = {"arms": dict.fromkeys(["scratch", *dial["arms"]])}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 0.5 + 2.8 * len(panels)), layout="constrained")
        FigureCanvasAgg(figure)
        drawn = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, metric in zip(drawn, panels, strict=True):
            axes.axhline(0, color=MUTED, linewidth=1)
            for name, aside in zip(dial["arms"], _asides(len(dial["arms"])), strict=True):
                entries = [entry.get("saved", entry) for entry in dial["arms"][name][metric]]
                style = {"label": name, **style_of(styles, name)}
                _over_values(axes, dial["values"], entries, style, aside)
            _dial_axis(axes, dial)
            steps = metric == "time_to_threshold"
            axes.set_ylabel("target steps saved" if steps else "difference from scratch")
            name = NAMES[metric]
            axes.set_title(f"{name[0].upper()}{name[1:]}" + (" (primary)" if metric == primary else ""), loc="left")
        legend(figure, drawn[0])
    return figure


def _asides(n: int) -> list[float]:
    """By how many points each of n arms is drawn beside a dial's value, so that no interval hides another."""
    return [4.0 * (i - (n - 1) / 2) for i in range(n)]


def _over_values(
    axes: Axes, values: list[float], entries: list[dict[str, Any]], style: dict[str, Any], aside: float
) -> None:
    """One arm's line through the values at which it has one, an interval at each, all so many points aside."""
    known = [(x, entry) for x, entry in zip(values, entries, strict=True) if entry["value"] is not None]
    known.sort(key=lambda found: found[0])
    lines = []
    for x, entry in known:
        if entry["low"] is not None and entry["high"] is not None:
            lines += axes.plot([x, x], [entry["low"], entry["high"]], color=style["color"], linewidth=1.6, alpha=0.6)
    means = [entry["value"] for _, entry in known]
    lines += axes.plot([x for x, _ in known], means, linewidth=1.9, markersize=5.5, **style)
    beside = axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    for line in lines:  # moved once they are in the axes, whose limits are those of the data
        line.set_transform(beside)


def _dial_axis(axes: Axes, dial: dict[str, Any]) -> None:
    """A tick at each value; by powers where they spread over an order of magnitude."""
    values = sorted(dial["values"])
    if values[0] > 0 and values[-1] / values[0] >= 8:
        axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(values, [exact(value) for value in values])
    axes.set_xlabel(dial["argument"])


def _learning_curves(document: dict[str, Any], arms: dict[str, Any], *, charged: bool = False) -> Figure:
    """Mean curves with their bands, and every seed faintly behind."""
    figure, axes = axes_of(4.6, 3.6)
    steps = np.asarray(document["measured"]["steps"], dtype=np.float64)
    for name, arm in arms.items():
        style, curve = style_of(document, name), arm["curve"]
        at = steps + (arm["source_steps"] if charged else 0)
        if not charged:
            for seed in arm["per_seed"][:LINES_SHOWN]:
                axes.plot(at, seed["scores"], color=style["color"], linewidth=0.6, alpha=0.3)
        if curve["low"][0] is not None:
            axes.fill_between(at, curve["low"], curve["high"], color=style["color"], alpha=0.16, linewidth=0)
        often = max(1, len(at) // 8)
        axes.plot(at, curve["mean"], label=name, linewidth=1.9, markersize=4.5, markevery=often, **style)
    _levels(document, axes, [value for arm in arms.values() for s in arm["per_seed"] for value in s["scores"]])
    axes.xaxis.set_major_formatter(FuncFormatter(short_steps))
    axes.set_xlabel("steps, the source's counted first" if charged else "target steps")
    axes.set_ylabel("mean return")
    axes.margins(x=0.01)
    legend(figure, axes)
    return figure


def _levels(document: dict[str, Any], axes: Axes, values: list[float]) -> None:
    """Random and reference score, where they are near the curves; the limits are those of the means and bands.

    They are named beside the axes, where no curve runs through the names.
    """
    low, high = min(values), max(values)
    room = 0.35 * (high - low or 1.0)
    for name in ("random", "reference"):
        score = document["measured"]["scores"][name]
        if score is not None and low - room <= score <= high + room:
            axes.axhline(score, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
            where = axes.get_yaxis_transform()
            axes.text(1.015, score, name, color=MUTED, fontsize=8, ha="left", va="center", transform=where)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _differences(document: dict[str, Any], arms: dict[str, Any], metric: str) -> Figure:
    """Each arm's difference from scratch with its interval, and every seed's."""
    level = {"jumpstart": "initial", "asymptotic": "final", "total_reward": "total_reward"}[metric]
    figure, axes = axes_of(4.6, 1.15 + 0.42 * len(arms))
    centre = arms["scratch"]["levels"][level]["value"]
    axes.axvline(0, color=MUTED, linewidth=1)
    for row, (name, arm) in enumerate(arms.items()):
        style = style_of(document, name)
        dots = [seed[level] - centre for seed in arm["per_seed"][:DOTS_SHOWN]]
        _row(axes, row, dots, style)
        entry = arm[metric] if name != "scratch" else {"value": 0.0, "low": None, "high": None}
        _estimate(axes, row, entry, style)
    _rows(axes, list(arms))
    axes.set_xlabel("return, difference from scratch")
    axes.set_title(_title(document, metric), fontsize=10, loc="left")
    return figure


def _times(document: dict[str, Any], arms: dict[str, Any]) -> Figure:
    """Restricted mean time to the foremost threshold; a seed that never reached it is an arrow at the budget."""
    figure, axes = axes_of(4.6, 1.15 + 0.42 * len(arms))
    budget = document["measured"]["budget"]
    for row, (name, arm) in enumerate(arms.items()):
        style, entry = style_of(document, name), arm["time_to_threshold"]
        first = [seed["time_to_threshold"][0] for seed in arm["per_seed"][:DOTS_SHOWN]]
        _row(axes, row, [time["steps"] for time in first if time["reached"]], style)
        lost = [time["steps"] for time in first if not time["reached"]]
        axes.plot(lost, _spread(row, len(lost)), ">", color=style["color"], alpha=0.7, markersize=5, linestyle="none")
        if entry["reached"]:
            _estimate(axes, row, entry, style)
        text = f"{entry['reached']}/{entry['n_seeds']}"
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.text(1.02, -0.75, "solved", transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=MUTED)
    _rows(axes, list(arms))
    axes.set_xlim(-0.03 * budget, 1.04 * budget)
    axes.xaxis.set_major_formatter(FuncFormatter(short_steps))
    threshold = arms[next(iter(arms))]["time_to_threshold"]["threshold"]
    axes.set_xlabel(f"target steps to a return of {exact(threshold)}")
    axes.set_title(_title(document, "time_to_threshold"), fontsize=10, loc="left")
    return figure


def _title(document: dict[str, Any], metric: str) -> str:
    """The metric, and whether it is the one that was declared."""
    labels = {arm["jumpstart"].get("label") for arm in document["arms"].values()} - {None, "jumpstart"}
    name = "first evaluation" if metric == "jumpstart" and labels else NAMES[metric]
    moving = any(arm["asymptotic"].get("plateau") is not True for arm in _others(document))
    if metric == "asymptotic" and moving:
        name = "final performance"
    return f"{name[0].upper()}{name[1:]}" + (" (primary)" if metric == document["primary"] else "")


def _others(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [arm for name, arm in document["arms"].items() if name != "scratch" and arm["state"] != "failed"]


def legend(figure: Figure, axes: Axes) -> None:
    """The lines' names above the axes, as many beside each other as fit; further rows make the figure higher."""
    handles, labels = axes.get_legend_handles_labels()
    widest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), 4, int(58 / (widest + 8))))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows - 1))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=3, columnspacing=1.4)


def axes_of(width: float, height: float) -> tuple[Figure, Axes]:
    """Inches; no pyplot, so that nothing global remains."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def style_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """An arm's colour, line and marker: scratch's are always the first."""
    names = ["scratch", *(other for other in document["arms"] if other != "scratch")]
    i = names.index(name)
    turn = (i - 1) % (len(COLOURS) - 1) + 1 if i else 0
    return {
        "color": COLOURS[turn],
        "linestyle": LINES[(i - 1) % (len(LINES) - 1) + 1 if i else 0],
        "marker": MARKERS[i % len(MARKERS)],
    }


def _spread(row: int, n: int) -> list[float]:
    """Heights that keep seeds with equal scores apart."""
    return [row + 0.18 + 0.2 * (i / (n - 1) if n > 1 else 0.5) for i in range(n)]


def _row(axes: Axes, row: int, values: list[float], style: dict[str, Any]) -> None:
    """A dot per seed, below the estimate."""
    axes.plot(
        values, _spread(row, len(values)), "o", color=style["color"], alpha=0.55, markersize=3.5, linestyle="none"
    )


def _estimate(axes: Axes, row: int, entry: dict[str, Any], style: dict[str, Any]) -> None:
    """A value as the arm's marker, its interval as a bar."""
    if entry["value"] is None:
        return
    if entry["low"] is not None and entry["high"] is not None:
        axes.plot([entry["low"], entry["high"]], [row, row], color=style["color"], linewidth=2.4, solid_capstyle="butt")
    axes.plot([entry["value"]], [row], style["marker"], color=style["color"], markersize=7)


def wrapped(name: str, width: int) -> str:
    """A name on several lines of about so many characters, broken after its own marks."""
    lines = [""]
    for part in re.split(r"(?<=[-+@/_ ])", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), [wrapped(name, 15) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def short_steps(x: float, _: object = None) -> str:
    """``50k``, ``1.5M``."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:g}{unit}"
    return f"{x:g}"
