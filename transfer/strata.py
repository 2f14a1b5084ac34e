"""The verdict over a dial: every arm at every value against scratch at the same value, held over all of them at once.

The values of a dial share no scratch, so their seeds are relabelled each on its own, and the distribution of the
largest statistic is the product of the values' distributions: closed testing over all sets of comparisons needs the
sets of each value only. Values that share seeds and sources move together; the product is then too cautious, not too
bold (Šidák 1967, exact for normal scores).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from transfer.statistics import CLOSED, PERMUTATIONS, Array, Null, Test, holm, is_closed, null, pairwise

Sets = dict[tuple[str, ...], Null]
"""The sets of one value's arms, each with what its statistic is under relabelling."""


@dataclass(frozen=True)
class Stratum:
    """One value of a dial: scratch and the arms, one number per seed, at least two of each."""

    scratch: ArrayLike
    arms: Mapping[str, ArrayLike]


def stratified_test(
    strata: Sequence[Stratum], generator: np.random.Generator, permutations: int = PERMUTATIONS
) -> list[Test]:
    """Which arms differ from scratch at which values, with the family-wise error held over all arms and values.

    Closed testing with max-T, as `transfer.statistics.permutation_test`, the labels permuted within each value alone
    (Westfall & Young 1993 on strata). A set S of comparisons falls into S_v, those at value v; with t the largest
    statistic in S,

        p(S) = 1 − Πᵥ (1 − P(max T over S_v ≥ t)),

    and a comparison's p value is the largest p(S) among the sets that hold it. With more than `CLOSED` arms at a value,
    or with too many seeds to relabel every set, Holm's correction of the pairwise tests. Returns a test per stratum, in
    order; with one it is `permutation_test`.
    """
    if not all(_closed(stratum, permutations) for stratum in strata):
        return _holm(strata, generator, permutations)
    sets = [_sets(stratum, generator, permutations) for stratum in strata]
    drawn = not all(found.exact for of_value in sets for found in of_value.values())
    seen = sorted({found.observed for of_value in sets for found in of_value.values()})
    largest = [{t: _largest(of_value, t) for t in seen} for of_value in sets]
    tests = []
    for v, of_value in enumerate(sets):
        single = {arms[0]: found for arms, found in of_value.items() if len(arms) == 1}
        adjusted = {name: _adjusted(name, v, sets, largest, seen) for name in single}
        alone = {name: found.tail(found.observed) for name, found in single.items()}
        method = "closed testing over all sets of arms and values of the dial, max-T permutation within each value"
        tests.append(Test(adjusted, alone, method, permutations if drawn else None))
    return tests


def _adjusted(
    name: str, value: int, sets: Sequence[Sets], largest: Sequence[Mapping[float, float]], seen: Sequence[float]
) -> float:
    """The largest p(S) among the sets that hold an arm at a value.

    Given t, the sets of each value are chosen on their own: of those whose statistic is at most t, the one whose tail
    at t is the largest. Where no chosen set attains t, p at a smaller t is larger still, and found there.
    """
    of_value = sets[value]
    worst = 0.0
    for t in (t for t in seen if t >= of_value[name,].observed):
        kept = 1 - max(found.tail(t) for arms, found in of_value.items() if name in arms and found.observed <= t)
        for other, tails in enumerate(largest):
            kept *= 1 - tails[t] if other != value else 1.0
        worst = max(worst, 1 - kept)
    return worst


def _largest(of_value: Sets, t: float) -> float:
    """The largest tail at t among the sets whose statistic is at most t; 0 where no set is."""
    return max((found.tail(t) for found in of_value.values() if found.observed <= t), default=0.0)


def _closed(stratum: Stratum, permutations: int) -> bool:
    arms = [len(np.asarray(sample)) for sample in stratum.arms.values()]
    return is_closed(len(np.asarray(stratum.scratch)), arms, permutations)


def _sets(stratum: Stratum, generator: np.random.Generator, permutations: int) -> Sets:
    base = np.asarray(stratum.scratch, dtype=np.float64)
    samples: dict[str, Array] = {name: np.asarray(x, dtype=np.float64) for name, x in stratum.arms.items()}
    return {
        arms: null(base, [samples[name] for name in arms], generator, permutations)
        for size in range(1, len(samples) + 1)
        for arms in itertools.combinations(samples, size)
    }


def _holm(strata: Sequence[Stratum], generator: np.random.Generator, permutations: int) -> list[Test]:
    """Pairwise tests, corrected over all arms and values."""
    pairs = []
    for stratum in strata:
        samples: dict[str, Array] = {name: np.asarray(x, dtype=np.float64) for name, x in stratum.arms.items()}
        scratch = np.asarray(stratum.scratch, dtype=np.float64)
        pairs.append(pairwise(scratch, samples, generator, permutations))
    adjusted = holm({f"{v} {name}": p for v, found in enumerate(pairs) for name, (p, _) in found.items()})
    most = max(len(found) for found in pairs)
    why = f"more than {CLOSED} arms" if most > CLOSED else "too many seeds to relabel every set of arms"
    method = f"Holm's correction over all arms and values of the dial of pairwise permutation tests ({why})"
    drawn = permutations if any(not exact for found in pairs for _, exact in found.values()) else None
    return [
        Test(
            {name: adjusted[f"{v} {name}"] for name in found},
            {name: p for name, (p, _) in found.items()},
            method,
            drawn,
            len(adjusted),
        )
        for v, found in enumerate(pairs)
    ]
