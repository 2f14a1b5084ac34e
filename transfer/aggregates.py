"""Aggregates of scores over runs and tasks, after Agarwal et al. 2021 (*RL at the edge of the statistical precipice*).

Scores have shape (n_runs, n_tasks), normalised so that tasks can be averaged; one task may be given as (n_runs,).
Definitions are those of the `rliable` package, whose numbers these are (tests/transfer/test_aggregates.py). A run is a
seed. Runs of two arms are independent, and runs of two tasks are resampled independently.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from envs.errors import ConfigError
from transfer.intervals import LEVEL, Array, Interval, iqm_interval, mean_interval, order_interval

RESAMPLES = 2_000
"""Bootstrap resamples of designs with several tasks."""

Aggregate = Callable[[ArrayLike], float]


def mean(scores: ArrayLike) -> float:
    """The mean over tasks of the mean over runs."""
    return float(_table(scores).mean(axis=0).mean())


def median(scores: ArrayLike) -> float:
    """The median over tasks of the mean over runs; with one task this is the mean (see `run_median`)."""
    return float(np.median(_table(scores).mean(axis=0)))


def run_median(scores: ArrayLike) -> float:
    """The median of all scores, runs and tasks together."""
    return float(np.median(_table(scores)))


def iqm(scores: ArrayLike) -> float:
    """The interquartile mean: the mean of all scores without the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest."""
    return float(stats.trim_mean(_table(scores), proportiontocut=0.25, axis=None))


def optimality_gap(scores: ArrayLike, optimum: float = 1.0) -> float:
    """optimum − mean of min(score, optimum): how far runs fall short of it, none made good by a better one."""
    return float(optimum - np.minimum(_table(scores), optimum).mean())


def probability_of_improvement(transfer: ArrayLike, scratch: ArrayLike) -> float:
    """The mean over tasks of P(X > Y) + ½ P(X = Y), X a run of `transfer`, Y one of `scratch`.

    Mann & Whitney's U over the number of pairs. The two may differ in runs, not in tasks.
    """
    x, y = _pair(transfer, scratch)
    wins = (x[:, None] > y[None]).mean(axis=(0, 1)) + (x[:, None] == y[None]).mean(axis=(0, 1)) / 2
    return float(wins.mean())


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Array:
    """The share of runs above each threshold, averaged over tasks: (n_thresholds,), falling as they rise.

    F(τ) = (1/MN) Σₘ Σₙ 1[score > τ], strictly above, as in the paper.
    """
    table = _table(scores)
    at = np.asarray(thresholds, dtype=np.float64)
    return np.array([(table > threshold).mean() for threshold in at])


def average_profile(scores: ArrayLike, thresholds: ArrayLike) -> Array:
    """The share of tasks whose mean over runs is above each threshold (n_thresholds,)."""
    means = _table(scores).mean(axis=0)
    return np.array([(means > threshold).mean() for threshold in np.asarray(thresholds, dtype=np.float64)])


# Intervals


def aggregate_interval(name: str, scores: ArrayLike, generator: np.random.Generator) -> tuple[float | None, Interval]:
    """Value and interval of `mean`, `median`, `iqm` or `optimality_gap`; the value is None without a run.

    With one task, the method that benchmarks/intervals.py chose: Student's t for the mean and for the gap, order
    statistics for the median (of runs), the expanded percentile bootstrap for the IQM. With several, the percentile
    bootstrap stratified by task, as in rliable. Raises ConfigError for another name.
    """
    if name not in AGGREGATES:
        raise ConfigError(f"no aggregate {name!r}; expected one of {', '.join(AGGREGATES)}")
    table = _table(scores)
    if not table.shape[0]:
        return None, Interval(None, None, "none", "no seed finished")
    if table.shape[1] > 1:
        return AGGREGATES[name](table), stratified_bootstrap([table], lambda x: AGGREGATES[name](x[0]), generator)
    runs = table[:, 0]
    if name == "median":
        return run_median(runs), order_interval(runs)
    if name == "iqm":
        return iqm(runs), iqm_interval(runs, generator)
    if name == "mean":
        return mean(runs), mean_interval(runs)
    below = mean_interval(1 - np.minimum(runs, 1.0))
    return optimality_gap(runs), _at_least_nought(below)


def improvement_interval(transfer: ArrayLike, scratch: ArrayLike, generator: np.random.Generator) -> Interval:
    """Of the probability of improvement: `newcombe` with one task, the stratified bootstrap with several."""
    x, y = _pair(transfer, scratch)
    if x.shape[1] > 1:
        return stratified_bootstrap([x, y], lambda pair: probability_of_improvement(pair[0], pair[1]), generator)
    return newcombe(probability_of_improvement(x, y), len(x), len(y))


def newcombe(probability: float, n: int, m: int) -> Interval:
    """Newcombe's score interval of P(X > Y) + ½ P(X = Y) from n and m independent runs (2006, method 5).

    The θ with (θ̂ − θ)² = z² V(θ), Hanley & McNeil's variance under exponential scores, both samples of mean size:

        V(θ) = θ(1−θ)/(nm) · [1 + ((n+m)/2 − 1) · ((1−θ)/(2−θ) + θ/(1+θ))].

    It needs no spread in the samples: when every run of one arm beats every run of the other it is still an interval.
    """
    kind = "Newcombe's score interval over seeds"
    if min(n, m) < 2:
        return Interval(None, None, kind, "an arm with fewer than two seeds gives no interval")
    inside = 1 - 1e-9  # 0 and 1 themselves solve the equation where nothing was lost, or won
    z, others = float(stats.norm.ppf((1 + LEVEL) / 2)), (n + m) / 2 - 1

    def off(theta: float) -> float:
        variance = theta * (1 - theta) / (n * m) * (1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
        return float((probability - theta) ** 2 - z**2 * variance)

    low = 0.0 if probability <= 0 else float(optimize.brentq(off, 0.0, min(probability, inside)))
    high = 1.0 if probability >= 1 else float(optimize.brentq(off, max(probability, 1 - inside), 1.0))
    return Interval(low, high, kind)


def profile_band(scores: ArrayLike, thresholds: ArrayLike, generator: np.random.Generator) -> tuple[Array, Array]:
    """Pointwise 95 % band of the performance profile: two of (n_thresholds,).

    With one task Clopper & Pearson's exact interval of a share of n runs, which covers at least 95 %; with several the
    stratified percentile bootstrap.
    """
    table, at = _table(scores), np.asarray(thresholds, dtype=np.float64)
    if table.shape[1] == 1:
        return clopper_pearson((table > at).sum(axis=0), len(table))
    ends = np.quantile(
        [performance_profile(_resampled(table, generator), at) for _ in range(RESAMPLES)],
        [(1 - LEVEL) / 2, (1 + LEVEL) / 2],
        axis=0,
    )
    return ends[0], ends[1]


def clopper_pearson(hits: ArrayLike, n: int, level: float = LEVEL) -> tuple[Array, Array]:
    """Exact interval of a binomial share (1934): `hits` of any shape out of n; two arrays of that shape."""
    k = np.asarray(hits, dtype=np.float64)
    tail = (1 - level) / 2
    low = np.where(k == 0, 0.0, stats.beta.ppf(tail, np.maximum(k, 1e-9), n - k + 1))
    high = np.where(k == n, 1.0, stats.beta.ppf(1 - tail, k + 1, np.maximum(n - k, 1e-9)))
    return low, high


def stratified_bootstrap(
    tables: list[Array],
    statistic: Callable[[list[Array]], float],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """Percentile interval of a statistic of several tables (n_runs, n_tasks), runs resampled within task and table.

    With few runs it is too narrow (docs/results/statistics.md); many tasks make up for that.
    """
    kind = "percentile bootstrap over seeds, stratified by task"
    if min(len(table) for table in tables) < 2:
        return Interval(None, None, kind, "one seed gives no interval")
    values = [statistic([_resampled(table, generator) for table in tables]) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), kind)


def _resampled(table: Array, generator: np.random.Generator) -> Array:
    """Each task's runs drawn with replacement, on their own."""
    rows = generator.integers(len(table), size=table.shape)
    return np.asarray(np.take_along_axis(table, rows, axis=0))


def _at_least_nought(interval: Interval) -> Interval:
    if interval.low is None or interval.high is None:
        return interval
    return Interval(max(0.0, interval.low), max(0.0, interval.high), interval.kind, interval.note)


def _table(scores: ArrayLike) -> Array:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or not table.shape[1]:
        raise ConfigError(f"scores should have shape (n_runs, n_tasks) or (n_runs,), found {table.shape}")
    return table


def _pair(transfer: ArrayLike, scratch: ArrayLike) -> tuple[Array, Array]:
    x, y = _table(transfer), _table(scratch)
    if x.shape[1] != y.shape[1]:
        raise ConfigError(f"both arms should have the same tasks, found {x.shape[1]} and {y.shape[1]}")
    return x, y


AGGREGATES: dict[str, Aggregate] = {"iqm": iqm, "mean": mean, "median": median, "optimality_gap": optimality_gap}
"""By name, in the order of the paper's figure."""
