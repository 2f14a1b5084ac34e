"""Intervals and the verdict. The seed is the unit; evaluation episodes never are.

Intervals are Welch's t: at five seeds the percentile and BCa bootstraps of a mean, called 95 %, cover 85 % of normal
scores, because they cannot know how little five numbers say about their own spread (benchmarks/verdict.py). Two arms
are two independent samples: the source seeds that arms share are not scratch's, which makes no pairs with it.

The verdict is a permutation test, which needs no normal scores. It is held over all arms at once by closed testing.
"""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
"""Nominal level of all intervals; 1 − LEVEL is the level of the test."""
PERMUTATIONS = 10_000
"""Drawn where there are more than `EXACT` relabellings."""
EXACT = 200_000
"""Relabellings up to which all are counted."""
CLOSED = 8
"""Arms up to which every subset is tested; beyond that, Holm's correction of the pairwise tests."""


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
    ranks = [k for k in range(1, half + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= LEVEL] or [1]
    level = max(0.0, 1 - 2 * float(stats.binom.cdf(ranks[-1] - 1, n, 0.5)))
    low, high = (_finite(float(x[ranks[-1] - 1])), _finite(float(x[n - ranks[-1]])))
    kind = f"order statistics, {100 * level:.1f} %"
    if n < 2:
        return _finite(median), _none("order statistics", "one seed gives no interval")
    note = "no upper end: too few seeds reached the threshold" if high is None else None
    return _finite(median), Interval(low, high, kind, note)


# The verdict


@dataclass(frozen=True)
class Test:
    """The outcome of the permutation test, by arm."""

    adjusted: dict[str, float]
    """p values that hold over all arms together."""
    single: dict[str, float]
    """p values of each arm against scratch alone, uncorrected."""
    method: str
    """What was done, in words."""
    permutations: int | None
    """Drawn for each set of arms whose relabellings were too many to count; None if all were counted."""


def permutation_test(
    scratch: ArrayLike,
    arms: Mapping[str, ArrayLike],
    generator: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> Test:
    """Which arms differ from scratch, with the family-wise error held: closed testing with max-T.

    Scores are one number per seed; every arm has at least two. For each set S of arms, the labels are permuted among
    the seeds of S and scratch; the statistic is the largest |difference of means| / Welch's standard error over S.
    An arm's p value is the largest among the sets that hold it (Marcus, Peritz & Gabriel 1976). A set's null
    hypothesis is that its arms' scores have scratch's distribution; the sets of the arms for which that is true are
    tested exactly, whatever the other arms do, which one permutation over all arms would not give.
    """
    base = np.asarray(scratch, dtype=np.float64)
    samples = {name: np.asarray(sample, dtype=np.float64) for name, sample in arms.items()}
    closed = len(samples) <= CLOSED
    drawn = False
    adjusted = dict.fromkeys(samples, 0.0)
    single: dict[str, float] = {}
    for subset in _subsets(list(samples), len(samples) if closed else 1):
        p, exact = max_t(base, [samples[name] for name in subset], generator, permutations)
        drawn = drawn or not exact
        if len(subset) == 1:
            single[subset[0]] = p
        for name in subset:
            adjusted[name] = max(adjusted[name], p)
    method = "closed testing over all sets of arms, max-T permutation"
    if not closed:
        adjusted = holm(single)
        method = f"Holm's correction of pairwise permutation tests (more than {CLOSED} arms)"
    return Test(adjusted, single, method, permutations if drawn else None)


def max_t(
    scratch: Array, arms: Sequence[Array], generator: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[float, bool]:
    """p of the null that all arms have scratch's distribution, and whether every relabelling was counted.

    Drawn relabellings count the observed one too: (1 + hits) / (1 + draws), which keeps the level (Phipson &
    Smyth 2010).
    """
    found = null(scratch, arms, generator, permutations)
    return found.tail(found.observed), found.exact


@dataclass(frozen=True)
class Null:
    """What the statistic of a set of arms is under relabelling."""

    observed: float
    """Under the labels as they are."""
    values: Array
    """Under the others, in rising order."""
    exact: bool
    """Whether every relabelling was counted; otherwise they were drawn."""

    def tail(self, t: float) -> float:
        """P(statistic ≥ t) under relabelling."""
        least = t * (1 - 1e-9)  # equal labellings may differ in the last digit
        hits = len(self.values) - int(np.searchsorted(self.values, least))
        return hits / len(self.values) if self.exact else (1 + hits) / (1 + len(self.values))


def null(
    scratch: Array, arms: Sequence[Array], generator: np.random.Generator, permutations: int = PERMUTATIONS
) -> Null:
    """The statistic of these arms under the labels as they are, and under all others, or `permutations` of them."""
    groups = [scratch, *arms]
    sizes = tuple(len(group) for group in groups)
    pooled = np.concatenate(groups)
    pooled = pooled - np.median(pooled)
    observed = float(statistic(pooled[None, :], sizes)[0])
    exact = relabellings(sizes) <= EXACT
    if exact:
        rows = pooled[_assignments(sizes)]
    else:
        rows = generator.permuted(np.broadcast_to(pooled, (permutations, len(pooled))), axis=1)
    return Null(observed, np.sort(statistic(rows, sizes)), exact)


def statistic(rows: Array, sizes: Sequence[int]) -> Array:
    """max over arms of |mean − scratch's mean| / Welch's standard error, for each row: (n_rows, n) → (n_rows,).

    The columns are scratch's seeds, then each arm's. A standard error of 0 (identical scores within both groups)
    is replaced by a billionth of the row's range: larger than any other value of the statistic, finite, and 0 where
    the means are equal.
    """
    ends = np.cumsum([0, *sizes])
    parts = [rows[:, first:last] for first, last in itertools.pairwise(ends)]
    means = [part.mean(axis=1) for part in parts]
    squares = [part.var(axis=1, ddof=1) / part.shape[1] for part in parts]
    floor = 1e-9 * np.ptp(rows, axis=1)
    floor[floor == 0] = 1.0
    values = [
        np.abs(mean - means[0]) / np.maximum(np.sqrt(square + squares[0]), floor)
        for mean, square in zip(means[1:], squares[1:], strict=True)
    ]
    return np.asarray(np.max(values, axis=0))


def verdict(p: float, difference: float) -> Literal["helps", "hurts", "no evidence"]:
    """What an adjusted p value and the difference from scratch (positive is better) allow to say."""
    if p > 1 - LEVEL + 1e-12:
        return "no evidence"
    return "helps" if difference > 0 else "hurts"


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979): the i-th smallest of m is multiplied by m − i, kept increasing."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p}


def smallest_p(n_seeds: int, n_arms: int, permutations: int = PERMUTATIONS, *, n_scratch: int | None = None) -> float:
    """The smallest p value that an arm can get in this design, however large its effect; 1 with fewer than 2 seeds.

    Of the C(m + n, n) relabellings of scratch's m seeds and the arm's n, the observed one is as extreme as itself, and
    where m = n so is its mirror image. `n_scratch` is m, by default n. `n_arms` counts the arms besides scratch; beyond
    `CLOSED` of them, Holm's factor comes on top.
    """
    sizes = (n_seeds if n_scratch is None else n_scratch, n_seeds)
    if min(sizes) < 2 or n_arms < 1:
        return 1.0
    exact = relabellings(sizes) <= EXACT and (n_arms == 1 or n_arms > CLOSED)
    drawn = 0.0 if exact else 1 / (1 + permutations)
    pair = max((2 if sizes[0] == sizes[1] else 1) / relabellings(sizes), drawn)
    return min(1.0, pair * (n_arms if n_arms > CLOSED else 1))


def can_reject(n_seeds: int, n_arms: int, permutations: int = PERMUTATIONS) -> bool:
    """Whether this design can give a verdict other than "no evidence" at all."""
    return smallest_p(n_seeds, n_arms, permutations) <= 1 - LEVEL + 1e-12


def generator_for(name: str) -> np.random.Generator:
    """The generator of a study's permutations: the same for the same name, on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def relabellings(sizes: Sequence[int]) -> int:
    """In how many ways the seeds can be dealt to groups of these sizes: n! / Π nᵢ!"""
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


@lru_cache(maxsize=8)
def _assignments(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Every way to deal the seeds: rows of indices, the first group's seeds first (relabellings, n)."""

    def deal(left: tuple[int, ...], sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
        if len(sizes) == 1:
            return [left]
        return [
            chosen + rest
            for chosen in itertools.combinations(left, sizes[0])
            for rest in deal(tuple(seed for seed in left if seed not in chosen), sizes[1:])
        ]

    return np.array(deal(tuple(range(sum(sizes))), sizes), dtype=np.int64)


def _subsets(names: list[str], largest: int) -> list[tuple[str, ...]]:
    return [subset for size in range(1, largest + 1) for subset in itertools.combinations(names, size)]


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
