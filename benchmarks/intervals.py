"""How often nominal 95 % intervals hold what they estimate, by simulation: the ground on which ours were chosen.

    .venv/bin/python benchmarks/intervals.py [--simulations 4000] [--write]

Prints the tables of docs/results/statistics.md. `--write` also brings `transfer/simulated_coverage.toml` up to date,
which reports read. Everything is a matrix: one core needs about a minute. The bootstraps of one table share their
resamples, drawn once per number of seeds: each simulated study has a proper bootstrap, and thousands of them are one
product of matrices.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from transfer import aggregates

Array = NDArray[np.float64]
Ends = tuple[Array, Array]

SIZES = (5, 10, 20)
KEPT = (3, 4, 5, 6, 8, 10, 15, 20)
"""Numbers of seeds of the table that reports read."""
RESAMPLES = 999
BESIDE = " beside a steady arm"
"""Said of a distribution whose other arm has next to no spread: the hardest case for a difference."""
TABLE = Path(__file__).resolve().parent.parent / "transfer" / "simulated_coverage.toml"


@dataclass(frozen=True)
class Scores:
    """A distribution of scores over seeds."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]
    mean: float
    median: float
    iqm: float


def two_modes(share: float) -> Scores:
    """A share of the seeds around 0, the others around 1, standard deviation 0.1."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return (generator.random(shape) >= share) + generator.normal(0, 0.1, shape)

    return _with(draw, 1 - share)


def zeros(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Six of ten seeds score nothing, the others exponentially."""
    return np.where(generator.random(shape) < 0.6, 0.0, generator.exponential(size=shape))


def _with(draw: Callable[[np.random.Generator, tuple[int, ...]], Array], mean: float) -> Scores:
    """The median and the interquartile mean are those of four million draws."""
    many = np.sort(draw(np.random.default_rng(99), (4_000_000,)))
    return Scores(draw, mean, float(np.median(many)), float(many[len(many) // 4 : 3 * len(many) // 4].mean()))


def distributions() -> dict[str, Scores]:
    """Those of the tables."""
    return {
        "normal": Scores(lambda generator, shape: generator.normal(size=shape), 0.0, 0.0, 0.0),
        "bimodal 50/50": two_modes(0.5),
        "bimodal 80/20": two_modes(0.8),
        "lognormal": _with(lambda generator, shape: generator.lognormal(size=shape), math.exp(0.5)),
        "beta(2, 5)": _with(lambda generator, shape: generator.beta(2, 5, size=shape), 2 / 7),
        "many zeros": _with(zeros, 0.4),
    }


# Candidates: scores (n_studies, n_seeds) to the ends of an interval for each study


def student(x: Array) -> Ends:
    """Student's t."""
    n = x.shape[1]
    half = stats.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def johnson(x: Array) -> Ends:
    """Johnson's t (1978), which moves the centre by μ₃ / 6 s² n for skewness."""
    n = x.shape[1]
    low, high = student(x)
    variance = np.maximum(x.var(axis=1, ddof=1), 1e-300)
    third = ((x - x.mean(axis=1, keepdims=True)) ** 3).mean(axis=1)
    return low + third / (6 * variance * n), high + third / (6 * variance * n)


def hulls(x: Array) -> Ends:
    """The smallest and the largest seed."""
    return x.min(axis=1), x.max(axis=1)


def order(x: Array) -> Ends:
    """Order statistics, as `transfer.intervals.median_interval` ranks them."""
    n, sorted_x = x.shape[1], np.sort(x, axis=1)
    ranks = [k for k in range(1, n // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95] or [1]
    return sorted_x[:, ranks[-1] - 1], sorted_x[:, n - ranks[-1]]


def trimmed(x: Array) -> Ends:
    """Tukey & McLaughlin's t of the 25 % trimmed mean, on h = n − 2⌊n/4⌋ seeds."""
    n, s = x.shape[1], np.sort(x, axis=1)
    g = n // 4
    h = n - 2 * g
    pulled = np.clip(s, s[:, [g]], s[:, [n - 1 - g]])
    half = stats.t.ppf(0.975, h - 1) * pulled.std(axis=1, ddof=1) * math.sqrt((n - 1) / (h * (h - 1)))
    centre = s[:, g : n - g].mean(axis=1)
    return centre - half, centre + half


def resamples(n: int) -> Array:
    """How often each seed is drawn in each resample: (RESAMPLES, n)."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)


def percentile(x: Array) -> Ends:
    """The percentile bootstrap of the mean."""
    means = x @ resamples(x.shape[1]).T / x.shape[1]
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return low, high


def bca(x: Array) -> Ends:
    """Efron's bias-corrected and accelerated bootstrap of the mean (1987)."""
    n = x.shape[1]
    means = np.sort(x @ resamples(n).T / n, axis=1)
    centre = x.mean(axis=1, keepdims=True)
    below = ((means < centre).mean(axis=1) + (means <= centre).mean(axis=1)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    about = x - centre
    spread = np.maximum((about**2).sum(axis=1), 1e-60)
    skew = (about**3).sum(axis=1) / (6 * spread**1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        level = stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        ends.append(np.take_along_axis(means, np.rint(level * (RESAMPLES - 1)).astype(int)[:, None], axis=1)[:, 0])
    return ends[0], ends[1]


def studentised(x: Array) -> Ends:
    """The bootstrap t of the mean; a resample without spread counts as infinitely far out."""
    n = x.shape[1]
    weights = resamples(n).T / n
    centre = x.mean(axis=1, keepdims=True)
    about = x - centre
    means, squares = about @ weights, about**2 @ weights
    errors = np.sqrt(np.maximum(squares - means**2, 0) / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 1e-9, means / errors, np.sign(means) * np.inf)
    t[np.isnan(t)] = 0.0
    t.sort(axis=1)
    first, last = (t[:, round(q * (RESAMPLES - 1))] for q in (0.025, 0.975))
    error = x.std(axis=1, ddof=1) / math.sqrt(n)
    with np.errstate(invalid="ignore"):
        low, high = centre[:, 0] - last * error, centre[:, 0] - first * error
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def percentile_median(x: Array) -> Ends:
    """The percentile bootstrap of the median, from the same resamples."""
    return _percentile(x, np.median)


def percentile_iqm(x: Array) -> Ends:
    """The percentile bootstrap of the interquartile mean, as rliable's for one task."""
    return _percentile(x, _middle)


def expanded_iqm(x: Array) -> Ends:
    """The expanded percentile bootstrap, as `transfer.intervals.iqm_interval` with fewer resamples."""
    n = x.shape[1]
    return _percentile(x, _middle, float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))), 1_999)


def expanded_mean(x: Array) -> Ends:
    """The same of the mean."""
    n = x.shape[1]
    tail = float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)))
    return _percentile(x, np.mean, tail, 1_999)


def _middle(values: Array, axis: int) -> Array:
    g = values.shape[axis] // 4
    return np.asarray(np.sort(values, axis=axis)[..., g : values.shape[axis] - g].mean(axis=axis))


def _percentile(x: Array, statistic: Callable[..., Array], tail: float = 0.025, draws: int = 499) -> Ends:
    """A statistic that is no product of matrices, on the first thousand studies."""
    rows = np.random.default_rng(x.shape[1]).integers(x.shape[1], size=(draws, x.shape[1]))
    values = np.array([statistic(study[rows], axis=-1) for study in x[:1_000]])
    low, high = (
        np.quantile(values, tail, axis=1, method="lower"),
        np.quantile(values, 1 - tail, axis=1, method="higher"),
    )
    return low, high


CANDIDATES: dict[str, dict[str, Callable[[Array], Ends]]] = {
    "mean": {
        "Student t": student,
        "Johnson t": johnson,
        "percentile bootstrap": percentile,
        "BCa bootstrap": bca,
        "expanded percentile bootstrap": expanded_mean,
        "studentised bootstrap": studentised,
        "smallest to largest": hulls,
    },
    "median": {"order statistics": order, "percentile bootstrap": percentile_median},
    "iqm": {
        "expanded percentile bootstrap": expanded_iqm,
        "percentile bootstrap": percentile_iqm,
        "trimmed t": trimmed,
        "smallest to largest": hulls,
    },
}


def held(ends: Ends, truth: float) -> float:
    """The share of intervals that hold the truth."""
    slack = 1e-12
    return float(((ends[0] <= truth + slack) & (truth - slack <= ends[1])).mean())


def print_tables(kinds: dict[str, Scores], simulations: int) -> None:
    """One table per statistic: candidates by distribution, at each number of seeds."""
    for statistic, candidates in CANDIDATES.items():
        print(f"\nCoverage of nominal 95 % intervals of the {statistic}; {', '.join(map(str, SIZES))} seeds\n")
        print("| interval | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
        for name, ends in candidates.items():
            cells = []
            for kind in kinds.values():
                rates = []
                for n in SIZES:
                    x = kind.draw(np.random.default_rng(n), (simulations, n))
                    rates.append(held(ends(x), getattr(kind, statistic)))
                cells.append(" ".join(f"{100 * rate:.0f}" for rate in rates))
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def print_widths(kinds: dict[str, Scores], simulations: int) -> None:
    """What the coverage of the studentised bootstrap costs at the fewest seeds."""
    n = SIZES[0]
    print(
        f"\nWidth of the studentised bootstrap's interval over Student's at {n} seeds, median; without an end, in %\n"
    )
    print("| | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    widths, endless = [], []
    for kind in kinds.values():
        x = kind.draw(np.random.default_rng(n), (simulations, n))
        (low, high), (first, last) = studentised(x), student(x)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            widths.append(float(np.nanmedian((high - low) / (last - first))))
        endless.append(100 * float(np.isinf(high - low).mean()))
    print("| width | " + " | ".join(f"{width:.1f}" for width in widths) + " |")
    print("| without an end | " + " | ".join(f"{share:.0f}" for share in endless) + " |")


# The intervals that reports give, at more numbers of seeds


def welch(x: Array, y: Array) -> Ends:
    """Welch's t of mean(x) − mean(y), as `transfer.intervals.difference_interval`."""
    n = x.shape[1]
    u, v = x.var(axis=1, ddof=1) / n, y.var(axis=1, ddof=1) / n
    both = np.maximum(u + v, 1e-300)
    freedom = (n - 1) / np.maximum((u / both) ** 2 + (v / both) ** 2, 1e-300)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(u + v)
    centre = x.mean(axis=1) - y.mean(axis=1)
    return centre - half, centre + half


def improvement(x: Array, y: Array) -> Ends:
    """Newcombe's interval of P(X > Y), as `transfer.aggregates.newcombe`; it takes few values, each worked out once."""
    found = ((x[:, :, None] > y[:, None]) + (x[:, :, None] == y[:, None]) / 2).mean(axis=(1, 2))
    values, which = np.unique(found, return_inverse=True)
    made = [aggregates.newcombe(float(value), x.shape[1], y.shape[1]) for value in values]
    return np.array([one.low for one in made])[which], np.array([one.high for one in made])[which]


def reported(kinds: dict[str, Scores], simulations: int) -> dict[str, dict[int, dict[str, float]]]:
    """Coverage by kind of interval, number of seeds and distribution."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for n in KEPT:
        for name, kind in kinds.items():
            generator = np.random.default_rng([n, 1])
            x, y = (kind.draw(generator, (simulations, n)) for _ in range(2))
            steady = generator.normal(kind.mean + 1, 0.01, (simulations, n))
            rates = {
                "Student t over seeds": held(student(x), kind.mean),
                "order statistics": held(order(x), kind.median),
                "expanded percentile bootstrap over seeds": held(expanded_iqm(x), kind.iqm),
                "Welch t over seeds": held(welch(x + 1, y), 1.0),
                "Newcombe's score interval over seeds": held(improvement(x, y), 0.5),
            }
            for interval, rate in rates.items():
                found.setdefault(interval, {}).setdefault(n, {})[name] = round(rate, 3)
            alone = held(welch(steady, x), 1.0)
            found["Welch t over seeds"][n][name + BESIDE] = round(alone, 3)
    return found


def write(found: dict[str, dict[int, dict[str, float]]], simulations: int) -> None:
    """The table that `transfer.simulated` reads."""
    lines = [
        f"# Written by benchmarks/intervals.py --write: the share of {simulations:,} simulated nominal 95 % intervals"
    ]
    lines += ["# that held the truth, by kind of interval, number of seeds and distribution of scores."]
    for interval, sizes in found.items():
        for n, rates in sizes.items():
            lines += ["", f'["{interval}".{n}]', *(f'"{name}" = {rate}' for name, rate in rates.items())]
    TABLE.write_text("\n".join(lines) + "\n")
    print(f"\nwrote {TABLE}")


def main() -> None:
    """Print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=4_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    kinds = distributions()
    print_tables(kinds, options.simulations)
    print_widths(kinds, options.simulations)
    found = reported(kinds, 5 * options.simulations)
    print("\nThe intervals that reports give; of two arms: both with such scores, or the other one steady\n")
    print("| interval | seeds | " + " | ".join(kinds) + " |\n|---|---|" + "---|" * len(kinds))
    for interval, sizes in found.items():
        for n, rates in sizes.items():
            for suffix in ("", BESIDE) if any(name.endswith(BESIDE) for name in rates) else ("",):
                cells = (f"{100 * rates[name + suffix]:.1f}" for name in kinds)
                print(f"| {interval}{suffix} | {n} | " + " | ".join(cells) + " |")
    if options.write:
        write(found, 5 * options.simulations)


if __name__ == "__main__":
    main()
