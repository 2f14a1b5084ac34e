"""Figures of shares of seeds: how many had reached a threshold by when, and how many scored more than so much."""

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from transfer.report.figures import STYLE, axes_of, legend, short_steps, style_of
from transfer.report.words import LEVEL_NAMES, exact

WIDTH = 2.0
"""Line width in points."""


def draw(document: dict[str, Any]) -> dict[str, Figure]:
    """The figures by file name; one that has nothing to show is left out."""
    arms = {name: arm for name, arm in document["arms"].items() if arm["profile"]}
    if not arms:
        return {}
    with mpl.rc_context(STYLE):
        figures = {"profile": _profiles(document, arms)}
        if all(arm["survival"] for arm in arms.values()):
            figures["survival"] = _survival(document, arms)
    return figures


def _survival(document: dict[str, Any], arms: dict[str, Any]) -> Figure:
    """Kaplan & Meier's curves at the foremost threshold, each with its band."""
    figure, axes = axes_of(4.6, 3.3)
    for name, arm in arms.items():
        curve, style = arm["survival"][0], style_of(document, name)
        steps = curve["steps"]
        axes.fill_between(
            steps, curve["low"], curve["high"], step="post", color=style["color"], alpha=_shade(arms), linewidth=0
        )
        line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": WIDTH}
        axes.step(steps, curve["reached"], where="post", label=name, **line)
        jumps = range(1, len(steps) - 1) if len(steps) > 2 else ()
        at = [steps[i] for i in jumps]
        axes.plot(at, [curve["reached"][i] for i in jumps], style["marker"], color=style["color"], markersize=4.5)
    axes.xaxis.set_major_formatter(FuncFormatter(short_steps))
    threshold = next(iter(arms.values()))["survival"][0]["threshold"]
    axes.set_xlabel(f"target steps to a return of {exact(threshold)}")
    axes.set_xlim(0, document["measured"]["budget"])
    _shares(axes, "seeds that got there")
    legend(figure, axes)
    return figure


def _shade(arms: dict[str, Any]) -> float:
    """How opaque a band is: lighter where many lie over one another."""
    return min(0.09, 0.27 / len(arms))


def _profiles(document: dict[str, Any], arms: dict[str, Any]) -> Figure:
    """The share of seeds above each return."""
    figure, axes = axes_of(4.6, 3.3)
    for name, arm in arms.items():
        found, style = arm["profile"], style_of(document, name)
        at = found["returns"]
        axes.fill_between(
            at, found["low"], found["high"], step="post", color=style["color"], alpha=_shade(arms), linewidth=0
        )
        line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": WIDTH}
        axes.step(at, found["share"], where="post", label=name, **line)
    level = LEVEL_NAMES[next(iter(arms.values()))["profile"]["of"]]
    axes.set_xlabel(f"return τ ({level})")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.01)
    _shares(axes, "seeds above τ")
    legend(figure, axes)
    return figure


def _shares(axes: Axes, what: str) -> None:
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel(what)
