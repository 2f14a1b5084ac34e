"""How our time and memory grow with environments, seeds and the size of a grid: `speed.py growth`.

Each term is measured at several sizes, in alternation. Its exponent is the slope of a straight line through
(log size, log median): 1 is linear. Where a constant part is large the line is flat at first, so the slope between the
two largest sizes stands beside it: that is what happens further on.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from beside import Contender, Load, Result, Table, measure, number, ours

N_ENVS = tuple(2**power for power in range(3, 13))  # 8 to 4096
SEEDS = (1, 2, 4, 8, 16, 32)
SIZES = (5, 6, 8, 10, 13, 16, 20, 25)
N_STEPS, WARM = 32, 2
ROLLOUTS, SAMPLES = 4, 65_536
"""What is timed: so many rollouts and updates, or as many as make these samples."""
LINEAR = 1.1
"""An exponent up to this is taken for linear: medians of a few runs are no sharper."""
GAME = "headstart/DoorKey-8x8-v0"

Read = Callable[[Result], float]


@dataclass(frozen=True)
class Term:
    """One thing that grows."""

    name: str
    unit: str
    sizes: Sequence[int]
    contenders: Sequence[Contender]
    seconds: Read
    seconds_are: str


def terms(options: argparse.Namespace) -> list[Term]:
    """What is measured."""
    grown = _counts(N_ENVS, options), _counts(SEEDS, options), _counts(SIZES, options)
    return [
        Term(
            "environments",
            "environments",
            grown[0],
            [_learner(f"{n} environments", n, options) for n in grown[0]],
            _seconds_of_a_rollout,
            f"s for {N_STEPS} steps of each and the update",
        ),
        Term(
            "seeds",
            "seeds",
            grown[1],
            [_learner(f"{n} seeds", 64, options).each_seed(n) for n in grown[1]],
            lambda result: result["cold_seconds"],
            "s for all, cold start included",
        ),
        Term(
            "cells of the grid",
            "cells",
            [size * size for size in grown[2]],
            [_engine(size, options) for size in grown[2]],
            lambda result: result["seconds"] / result["steps"],
            "s for a step of one environment",
        ),
    ]


def _seconds_of_a_rollout(result: Result) -> float:
    return float(result["seconds"] * result["hyperparameters"]["n_envs"] * N_STEPS / result["steps"])


def _counts(sizes: Sequence[int], options: argparse.Namespace) -> Sequence[int]:
    """All sizes, or the small half to try the command out."""
    return sizes if options.scale >= 1 else sizes[: max(3, round(len(sizes) * options.scale))]


def _learner(name: str, n_envs: int, options: argparse.Namespace) -> Contender:
    settings = {"n_envs": n_envs, "n_steps": N_STEPS, "batch_size": min(2048, n_envs * N_STEPS), "n_epochs": 4}
    rollouts = max(ROLLOUTS, SAMPLES // (n_envs * N_STEPS))
    return ours(
        name,
        "ours.py",
        f"--game={GAME}",
        "--plain",
        f"--set={json.dumps(settings)}",
        f"--steps={(WARM + rollouts) * n_envs * N_STEPS}",
        f"--warm={WARM}",
        *options.learner,
    )


def _engine(size: int, options: argparse.Namespace) -> Contender:
    seconds = f"--seconds={max(0.3, options.scale)}"
    arguments = f"--arguments={json.dumps({'size': size})}"
    return ours(f"{size}×{size}", "grid.py", "headstart", "--n-envs=1024", "--cores=1", seconds, arguments)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a least-squares line through the logarithms; NaN for fewer than two points."""
    known = [(size, value) for size, value in zip(sizes, values, strict=True) if value > 0]
    if len(known) < 2:
        return float("nan")
    x, y = np.log(np.array(known)).T
    return float(np.polyfit(x, y, 1)[0])


def tables(options: argparse.Namespace) -> list[Table]:
    """One table of sizes for each term, one of exponents, and the plot."""
    load = Load()
    head = ("", "from", "to", "exponent of time", "at the end", "exponent of memory", "at the end")
    summary_rows: list[Sequence[str]] = []
    summary = Table("How time and memory grow", head, summary_rows)
    shown: list[tuple[Term, list[float], list[float]]] = []
    pages, everybody = [], []
    for term in terms(options):
        found = measure(term.contenders, options.repeats)
        everybody += found
        seconds = [one.median(term.seconds) for one in found]
        memory = [one.median(lambda result: result["peak_bytes"] / 2**20) for one in found]
        shown.append((term, seconds, memory))
        rows = [
            (f"{size:,}", f"{second:.3g}", number(held))
            for size, second, held in zip(term.sizes, seconds, memory, strict=True)
        ]
        pages.append(Table(f"Growth with {term.name}", (term.unit, term.seconds_are, "MiB, peak"), rows))
        slopes = [
            slope
            for values in (seconds, memory)
            for slope in (exponent(term.sizes, values), exponent(term.sizes[-2:], values[-2:]))
        ]
        ends = (f"{min(term.sizes):,}", f"{max(term.sizes):,}")
        summary_rows.append((term.name, *ends, *(f"{slope:.2f}" for slope in slopes)))
        worst = max(slopes[1], slopes[3])
        verdict = "cannot be told" if np.isnan(worst) else "met" if worst <= LINEAR else "**not met**"
        summary.notes.append(f"Goal: no worse than linear in {term.name}: at most {worst:.2f} at the end, {verdict}.")
    summary.describe(everybody, options.repeats, load)
    plot(shown, options.plot)
    summary.notes.append(f"Plot: {options.plot.name}")
    return [summary, *pages]


def plot(shown: Sequence[tuple[Term, Sequence[float], Sequence[float]]], path: Path) -> None:
    """Both quantities over each size, on logarithmic axes, with a line of slope 1 through the last point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter

    figure, axes = pyplot.subplots(2, len(shown), figsize=(4 * len(shown), 6.5), squeeze=False)
    for column, (term, seconds, memory) in enumerate(shown):
        sizes = np.array(term.sizes, dtype=float)
        for axis, values, label in ((axes[0, column], seconds, term.seconds_are), (axes[1, column], memory, "MiB")):
            axis.plot(sizes, values, "o-", color="black", markersize=4)
            axis.plot(sizes, values[-1] * sizes / sizes[-1], "--", color="grey", label="linear")
            axis.set(xscale="log", yscale="log", xlabel=term.unit, ylabel=label)
            axis.set_xticks(sizes[:: max(1, len(sizes) // 5)], minor=False)
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.grid(alpha=0.3)
            axis.legend(frameon=False)
        axes[0, column].set_title(f"with {term.name}")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    print(f"written: {path}")
