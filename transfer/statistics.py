"""The verdict: a permutation test, which needs no normal scores, held over all arms at once by closed testing.

The seed is the unit. What is permuted are independent runs: target seed i of an arm starts from source seed i, scratch
from none, so that an arm and scratch share nothing and make no pairs; where several target seeds start from one source,
`transfer.nested` says what the runs are then. The intervals of `transfer.intervals` can be had here too.
"""

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer.intervals import LEVEL as LEVEL
from transfer.intervals import Array as Array
from transfer.intervals import Interval as Interval
from transfer.intervals import difference_interval as difference_interval
from transfer.intervals import mean_interval as mean_interval
from transfer.intervals import median_interval as median_interval
from transfer.intervals import ratio_interval as ratio_interval

PERMUTATIONS = 10_000
"""Drawn where there are more than `EXACT` relabellings."""
EXACT = 200_000
"""Relabellings up to which all are counted."""
CLOSED = 8
"""Arms up to which every subset is tested; beyond that, Holm's correction of the pairwise tests."""
WORK = 2_000_000_000
"""Scores up to which the drawn relabellings of all subsets are gone through (100 seeds of 8 arms: 1.28 billion); beyond
that, Holm's correction, too."""
PIECE = 1_000_000
"""Scores that are relabelled at a time."""


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
    corrected: int = 1
    """Comparisons over which Holm's correction holds the error; 1 where every set of arms was tested instead."""


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
    if not is_closed(len(base), [len(sample) for sample in samples.values()], permutations):
        pairs = pairwise(base, samples, generator, permutations)
        single = {name: p for name, (p, _) in pairs.items()}
        why = f"more than {CLOSED} arms" if len(samples) > CLOSED else "too many seeds to relabel every set of arms"
        method = f"Holm's correction of pairwise permutation tests ({why})"
        drawn = not all(exact for _, exact in pairs.values())
        return Test(holm(single), single, method, permutations if drawn else None, len(single))
    drawn = False
    adjusted = dict.fromkeys(samples, 0.0)
    single = {}
    for subset in _subsets(list(samples)):
        p, exact = max_t(base, [samples[name] for name in subset], generator, permutations)
        drawn = drawn or not exact
        if len(subset) == 1:
            single[subset[0]] = p
        for name in subset:
            adjusted[name] = max(adjusted[name], p)
    method = "closed testing over all sets of arms, max-T permutation"
    return Test(adjusted, single, method, permutations if drawn else None)


def is_closed(n_scratch: int, seeds: Sequence[int], permutations: int = PERMUTATIONS) -> bool:
    """Whether every set of these arms is tested: at most `CLOSED`, of so few seeds that it is not more than `WORK`.

    An arm is in half of the 2ᵏ sets, and scratch in all.
    """
    if len(seeds) > CLOSED:
        return False
    return len(seeds) == 1 or permutations * (2 ** len(seeds) * n_scratch + 2 ** (len(seeds) - 1) * sum(seeds)) <= WORK


def max_t(
    scratch: Array, arms: Sequence[Array], generator: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[float, bool]:
    """p of the null that all arms have scratch's distribution, and whether every relabelling was counted.

    Drawn relabellings count the observed one too: (1 + hits) / (1 + draws), which keeps the level (Phipson &
    Smyth 2010).
    """
    found = null(scratch, arms, generator, permutations)
    return found.tail(found.observed), found.exact


def pairwise(
    scratch: Array, arms: Mapping[str, Array], generator: np.random.Generator, permutations: int
) -> dict[str, tuple[float, bool]]:
    """`max_t` of each arm alone. Arms with equally many seeds share the relabellings that are drawn.

    Each p value is as good as by draws of its own, and Holm's correction allows any dependence between them.
    """
    found: dict[str, tuple[float, bool]] = {}
    for n in dict.fromkeys(len(arm) for arm in arms.values()):
        alike = {name: arm for name, arm in arms.items() if len(arm) == n}
        if relabellings((len(scratch), n)) <= EXACT:
            found |= {name: max_t(scratch, [arm], generator, permutations) for name, arm in alike.items()}
        else:
            p = _drawn_pairs(scratch, list(alike.values()), generator, permutations)
            found |= {name: (value, False) for name, value in zip(alike, p, strict=True)}
    return {name: found[name] for name in arms}


def _drawn_pairs(
    scratch: Array, arms: Sequence[Array], generator: np.random.Generator, permutations: int
) -> list[float]:
    """p of each arm against scratch: which seeds are called scratch's is drawn, for all arms at once.

    A relabelling is a row of ones for those; sums over them, and sums of squares, are then matrix products.
    """
    sizes = (len(scratch), len(arms[0]))
    pooled = np.array([np.concatenate([scratch, arm]) for arm in arms])  # (n_arms, n)
    pooled = pooled - np.median(pooled, axis=1, keepdims=True)
    least = statistic(pooled, sizes) * (1 - 1e-9)  # equal labellings may differ in the last digit
    ones = np.repeat([1.0, 0.0], sizes)
    at_once, hits = max(1, PIECE // len(ones)), np.zeros(len(arms))
    for done in range(0, permutations, at_once):
        shape = (min(at_once, permutations - done), len(ones))
        labels = generator.permuted(np.broadcast_to(ones, shape), axis=1)
        hits += (_welch(labels, pooled, sizes) >= least).sum(axis=0)
    return [float(p) for p in (1 + hits) / (1 + permutations)]


def _welch(labels: Array, pooled: Array, sizes: tuple[int, int]) -> Array:
    """`statistic` of each arm under each relabelling: (n_draws, n) and (n_arms, n) → (n_draws, n_arms)."""
    total, squares = pooled.sum(axis=1), (pooled**2).sum(axis=1)
    first, second = labels @ pooled.T, labels @ (pooled**2).T
    means, errors = [], np.zeros_like(first)
    for n, sums, of_squares in ((sizes[0], first, second), (sizes[1], total - first, squares - second)):
        means.append(sums / n)
        spread = (of_squares - sums**2 / n) / (n - 1)
        errors += np.where(spread > 1e-12 * squares / len(pooled[0]), spread, 0.0) / n  # 0 but for rounding
    floor = 1e-9 * np.ptp(pooled, axis=1)
    floor[floor == 0] = 1.0
    return np.asarray(np.abs(means[0] - means[1]) / np.maximum(np.sqrt(errors), floor))


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
        values = statistic(pooled[_assignments(sizes)].T, sizes)
    else:
        values = np.concatenate(list(_drawn(pooled, sizes, generator, permutations)))
    return Null(observed, np.sort(values), exact)


def _drawn(pooled: Array, sizes: Sequence[int], generator: np.random.Generator, permutations: int) -> Iterator[Array]:
    """The statistic of relabellings drawn at random, some at a time, as all of them would not fit for many seeds."""
    at_once = max(1, PIECE // len(pooled))
    for done in range(0, permutations, at_once):
        shape = (min(at_once, permutations - done), len(pooled))
        rows = generator.permuted(np.broadcast_to(pooled, shape), axis=1)
        if len(pooled) < len(rows):  # a seed's column in one piece makes the sums over few seeds several times faster
            rows = np.asfortranarray(rows)
        yield statistic(rows, sizes)


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


def correction(n_scratch: int, seeds: Sequence[int], values: int = 1) -> int:
    """Over how many comparisons Holm's correction holds the error of these arms; 1 where every set of them is tested.

    With a dial the arms are compared at each of so many values.
    """
    return 1 if is_closed(n_scratch, seeds) else len(seeds) * values


def smallest_p(
    n_seeds: int,
    n_arms: int,
    permutations: int = PERMUTATIONS,
    *,
    n_scratch: int | None = None,
    corrected: int | None = None,
) -> float:
    """The smallest p value that an arm can get in this design, however large its effect; 1 with fewer than 2 seeds.

    Of the C(m + n, n) relabellings of scratch's m seeds and the arm's n, the observed one is as extreme as itself, and
    where m = n so is its mirror image. `n_scratch` is m, by default n. `n_arms` counts the arms besides scratch, at one
    value of a dial. `corrected` is Holm's factor, which comes on top; by default that of `correction`.
    """
    sizes = (n_seeds if n_scratch is None else n_scratch, n_seeds)
    if min(sizes) < 2 or n_arms < 1:
        return 1.0
    factor = correction(sizes[0], [n_seeds] * n_arms) if corrected is None else corrected
    exact = relabellings(sizes) <= EXACT and (n_arms == 1 or factor > 1)
    drawn = 0.0 if exact else 1 / (1 + permutations)
    pair = max((2 if sizes[0] == sizes[1] else 1) / relabellings(sizes), drawn)
    return min(1.0, pair * factor)


def can_reject(n_seeds: int, n_arms: int, permutations: int = PERMUTATIONS, *, corrected: int | None = None) -> bool:
    """Whether this design can give a verdict other than "no evidence" at all."""
    return smallest_p(n_seeds, n_arms, permutations, corrected=corrected) <= 1 - LEVEL + 1e-12


def generator_for(name: str) -> np.random.Generator:
    """The generator of a study's permutations: the same for the same name, on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def relabellings(sizes: Sequence[int]) -> int:
    """In how many ways the seeds can be dealt to groups of these sizes: n! / Π nᵢ!"""
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


@lru_cache(maxsize=8)
def _assignments(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Every way to deal the seeds: columns of indices, the first group's seeds first (n, relabellings)."""

    def deal(left: tuple[int, ...], sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
        if len(sizes) == 1:
            return [left]
        return [
            chosen + rest
            for chosen in itertools.combinations(left, sizes[0])
            for rest in deal(tuple(seed for seed in left if seed not in chosen), sizes[1:])
        ]

    return np.ascontiguousarray(np.array(deal(tuple(range(sum(sizes))), sizes), dtype=np.int64).T)


def _subsets(names: list[str]) -> list[tuple[str, ...]]:
    return [subset for size in range(1, len(names) + 1) for subset in itertools.combinations(names, size)]
