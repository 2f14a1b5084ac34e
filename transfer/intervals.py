"""Intervals of means, differences, ratios, medians and interquartile means. The seed is the unit; episodes never are.

Which method serves which statistic was chosen by simulation (benchmarks/intervals.py, docs/results/statistics.md):
Student's and Welch's t for means, since at five seeds the percentile and BCa bootstraps of a mean, called 95 %, cover
85 % of normal scores; order statistics for the median; an expanded percentile bootstrap for the interquartile mean.
What each covers when scores are not normal is in `transfer.simulated`, for the report to print beside it. Two arms are
two independent samples: the source seeds that arms share are not scratch's, which makes no pairs with it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
"""Nominal level of all intervals; 1 − LEVEL is the level of the test."""
RESAMPLES = 10_000
"""Of the bootstrap of an interquartile mean."""
DRAWN = 2_000_000
"""Scores that its resamples may hold together: beyond 200 seeds there are fewer resamples, at least `FEWEST`."""
FEWEST = 1_000


@dataclass(frozen=True)
class Interval:
    """A nominal 95 % interval, or why there is none."""

    low: float | None
    high: float | None
    kind: str
    """How it was made."""
    note: str | None = None
    """Why there is none, or what is to be doubted."""


def mean_interval(sample: ArrayLike) -> Interval:
    """Student's t interval of the mean of one sample (n_seeds,)."""
    x = np.asarray(sample, dtype=np.float64)
    kind = "Student t over seeds"
    if len(x) < 2:
        return _none(kind, "one seed gives no interval" if len(x) else "no seed finished")
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 1)) * math.sqrt(_variance(x) / len(x))
    return _around(float(x.mean()), half, kind)


def difference_interval(transfer: ArrayLike, scratch: ArrayLike) -> Interval:
    """Welch's t interval of mean(transfer) − mean(scratch); samples (n_seeds,), independent, variances unequal.

    Degrees of freedom by Welch & Satterthwaite.
    """
    x, y = np.asarray(transfer, dtype=np.float64), np.asarray(scratch, dtype=np.float64)
    kind = "Welch t over seeds"
    if min(len(x), len(y)) < 2:
        return _none(kind, "an arm with fewer than two seeds gives no interval")
    u, v = _variance(x) / len(x), _variance(y) / len(y)
    half = _t(u, v, len(x), len(y)) * math.sqrt(u + v)
    return _around(float(x.mean() - y.mean()), half, kind)


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike) -> Interval:
    """Fieller's interval (1954) of mean(numerator) / mean(denominator), two independent samples (n_seeds,).

    {ρ : (x̄ − ρȳ)² ≤ t² (u + ρ²v)} with u, v the squared standard errors and t at Welch & Satterthwaite's degrees of
    freedom for x̄ − ρ̂ȳ. It is bounded only where ȳ can be told from 0.
    """
    x, y = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    kind = "Fieller over seeds"
    if min(len(x), len(y)) < 2:
        return _none(kind, "an arm with fewer than two seeds gives no interval")
    top, bottom = float(x.mean()), float(y.mean())
    u, v = _variance(x) / len(x), _variance(y) / len(y)
    ratio = top / bottom if bottom else math.inf
    t = _t(u, ratio**2 * v, len(x), len(y)) if bottom else 0.0
    a = bottom**2 - t**2 * v
    if not bottom or a <= 0:
        return _none(kind, "the denominator cannot be told from 0, so the interval has no end")
    half = t * math.sqrt(max(0.0, u * a + v * top**2)) / a  # b² − ac, rewritten so that nothing cancels
    return _around(top * bottom / a, half, kind)


def forward_transfer_interval(transfer: ArrayLike, scratch: ArrayLike) -> Interval:
    """Of `metrics.forward_transfer`, 1 − (1 − A_T)/(1 − A_S): Fieller's interval, turned round; areas (n_seeds,).

    None where scratch's area cannot be told from 1, which leaves nothing to gain.
    """
    left, base = (1 - np.asarray(area, dtype=np.float64) for area in (transfer, scratch))
    found = ratio_interval(left, base)
    if found.low is None or found.high is None:
        return found
    return Interval(1 - found.high, 1 - found.low, found.kind, found.note)


def median_interval(times: ArrayLike, reached: ArrayLike) -> tuple[float | None, Interval]:
    """Median of times censored at the budget (n_seeds,), with an interval by order statistics.

    The k-th smallest and k-th largest time enclose the median with probability 1 − 2·P(Bin(n, ½) < k), whatever the
    distribution; the largest k that keeps 95 % is taken, k = 1 where none does, and the level is named. An end that
    falls on a censored run is None.
    """
    seen = np.asarray(reached, dtype=np.bool_)
    x = np.sort(np.where(seen, np.asarray(times, dtype=np.float64), math.inf))
    n = len(x)
    if n == 0:
        return None, _none("order statistics", "no seed finished")
    half = n // 2
    median = float(x[half] if n % 2 else (x[half - 1] + x[half]) / 2)
    levels = 1 - 2 * stats.binom.cdf(np.arange(half), n, 0.5)
    rank = max(1, int((levels >= LEVEL).sum()))
    level = max(0.0, 1 - 2 * float(stats.binom.cdf(rank - 1, n, 0.5)))
    low, high = (_finite(float(x[rank - 1])), _finite(float(x[n - rank])))
    kind = f"order statistics, {100 * level:.1f} %"
    if n < 2:
        return _finite(median), _none("order statistics", "one seed gives no interval")
    note = "no upper end: too few seeds reached the threshold" if high is None else None
    return _finite(median), Interval(low, high, kind, note)


def order_interval(sample: ArrayLike) -> Interval:
    """The median of one sample (n_seeds,), by order statistics: at five seeds the smallest and the largest, 93.8 %."""
    x = np.asarray(sample, dtype=np.float64)
    return median_interval(x, np.ones(len(x), dtype=np.bool_))[1]


def iqm_interval(sample: ArrayLike, generator: np.random.Generator) -> Interval:
    """The expanded percentile bootstrap of the interquartile mean of one sample (n_seeds,), `RESAMPLES` resamples.

    The percentile bootstrap at the levels Φ(± √(n/(n − 1)) tₙ₋₁), which make up for how little few numbers say of their
    own spread (Hesterberg 2015, section 3.2). At five seeds these are the smallest and the largest.
    """
    x = np.asarray(sample, dtype=np.float64)
    kind, n = "expanded percentile bootstrap over seeds", len(x)
    if n < 2:
        return _none(kind, "one seed gives no interval" if n else "no seed finished")
    tail = float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1)))
    cut = n // 4
    resamples = min(RESAMPLES, max(FEWEST, DRAWN // n))
    drawn = np.sort(x[generator.integers(n, size=(resamples, n))], axis=1)[:, cut : n - cut].mean(axis=1)
    low, high = np.quantile(drawn, tail, method="lower"), np.quantile(drawn, 1 - tail, method="higher")
    note = "width nought: the scores of all seeds are identical" if low == high else None
    return Interval(float(low), float(high), kind, note)


def _variance(x: Array) -> float:
    """The sample's variance; exactly 0 for identical scores, which rounding would miss."""
    return float(x.var(ddof=1)) if np.ptp(x) > 0 else 0.0


def _t(u: float, v: float, n: int, m: int) -> float:
    """The t quantile at Welch & Satterthwaite's degrees of freedom for squared standard errors u and v."""
    if u + v == 0:
        return 0.0
    share = u / (u + v)
    freedom = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _around(centre: float, half: float, kind: str) -> Interval:
    if half == 0:
        return Interval(centre, centre, kind, "width nought: the scores of all seeds are identical")
    return Interval(centre - half, centre + half, kind)


def _none(kind: str, why: str) -> Interval:
    return Interval(None, None, kind, why)


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
