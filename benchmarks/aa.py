"""Studies where nothing helps, drawn from real runs: how often the verdict says otherwise, and what it can find.

    .venv/bin/python benchmarks/aa.py [--studies 20000] [--held 10]

The pool is `benchmarks/data/cartpole.csv`, PPO from scratch on CartPole (made by benchmarks/real_runs.py). A study
deals different runs of it to scratch and to the arms, so that all arms are the same. The rate of any `helps` or `hurts`
is given with Clopper & Pearson's 99 % interval; it should be at most 6.5 % over the whole study. Then one arm gets 0.5,
1 or 2 standard deviations of the pool added. All studies of a cell are tested at once, as products of matrices, with
999 relabellings where there are more than 252; `--held N` says how far that is from `transfer.statistics` on N of them.
"""

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from real_runs import load

from transfer import aggregates, detectable, metrics, statistics

Array = NDArray[np.float64]

RELABELLINGS = 999
BLOCK = 100
"""Studies that share the relabellings drawn for them."""
SEEDS, ARMS, EFFECTS = (5, 10), (1, 2, 3), (0.5, 1.0, 2.0)


def samples(steps: Array, scores: Array) -> dict[str, Array]:
    """What is tested, one number per run (n_runs,), larger is better."""
    threshold = float(np.median(scores[:, -3:]))
    return {
        "total reward": metrics.area(scores, steps),
        "asymptotic": metrics.final(scores),
        "jumpstart": metrics.initial(scores),
        "time to threshold": -metrics.time_to_threshold(scores, steps, threshold).steps,
    }


def deal(pool: Array, n: int, arms: int, studies: int, generator: np.random.Generator) -> Array:
    """Different runs for scratch and each arm: (studies, (arms + 1) n), scratch's columns first."""
    order = generator.random((studies, len(pool))).argsort(axis=1)[:, : n * (arms + 1)]
    return pool[order]


@dataclass(frozen=True)
class Membership:
    """Which runs each group gets under each relabelling: one (n, relabellings) of nought and one per group."""

    groups: list[Array]
    exact: bool


def membership(n: int, groups: int, generator: np.random.Generator) -> Membership:
    """All relabellings of two groups of five, else drawn ones."""
    total = n * groups
    if groups == 2 and n == 5:
        first = np.array([np.isin(range(total), chosen) for chosen in itertools.combinations(range(total), n)])
        return Membership([first.T.astype(float), (~first).T.astype(float)], True)
    places = generator.random((total, RELABELLINGS)).argsort(axis=0)
    return Membership([(places // n == group).astype(float) for group in range(groups)], False)


def largest(x: Array, groups: list[Array], n: int) -> Array:
    """The statistic of `transfer.statistics.statistic` by sums and sums of squares: (studies, relabellings)."""
    squares, floor = x**2, 1e-9
    means, errors = [], []
    for group in groups:
        mean = x @ group / n
        means.append(mean)
        errors.append(np.maximum(squares @ group - n * mean**2, 0) / (n * (n - 1)))
    t = [
        np.abs(mean - means[0]) / np.maximum(np.sqrt(error + errors[0]), floor)
        for mean, error in zip(means[1:], errors[1:], strict=True)
    ]
    return np.asarray(np.max(t, axis=0))


def p_values(x: Array, n: int, arms: tuple[int, ...], generator: np.random.Generator) -> Array:
    """p of the null that these arms (numbered from 1) are like scratch, for each study (studies,)."""
    columns = np.concatenate([np.arange(n) + group * n for group in (0, *arms)])
    own = x[:, columns]
    own = own - np.median(own, axis=1, keepdims=True)
    spread = np.ptp(own, axis=1, keepdims=True)
    own = own / np.where(spread > 0, spread, 1.0)
    identity = [
        np.repeat(np.arange(len(arms) + 1) == group, n).astype(float)[:, None] for group in range(len(arms) + 1)
    ]
    observed = largest(own, identity, n)
    found = []
    for first in range(0, len(own), BLOCK):
        drawn = membership(n, len(arms) + 1, generator)
        hits = (
            largest(own[first : first + BLOCK], drawn.groups, n) >= observed[first : first + BLOCK] * (1 - 1e-7)
        ).sum(1)
        found.append(hits / drawn.groups[0].shape[1] if drawn.exact else (1 + hits) / (1 + RELABELLINGS))
    return np.concatenate(found)


def adjusted(x: Array, n: int, arms: int, generator: np.random.Generator) -> Array:
    """p values held over all arms by closed testing: (studies, arms)."""
    p = np.zeros((len(x), arms))
    for size in range(1, arms + 1):
        for subset in itertools.combinations(range(1, arms + 1), size):
            one = p_values(x, n, subset, generator)
            for arm in subset:
                p[:, arm - 1] = np.maximum(p[:, arm - 1], one)
    return p


def said(p: Array, differences: Array) -> Array:
    """Whether each arm's verdict is `helps` or `hurts`, as `statistics.verdict` has it (any shape)."""
    judge = np.vectorize(lambda p, d: statistics.verdict(p, d) != "no evidence", otypes=[bool])
    return np.asarray(judge(p, differences))


def differences(x: Array, n: int, arms: int) -> Array:
    """Mean of each arm less scratch's: (studies, arms)."""
    means = x.reshape(len(x), arms + 1, n).mean(axis=2)
    return means[:, 1:] - means[:, :1]


def false_alarms(pools: dict[str, Array], studies: int, generator: np.random.Generator) -> None:
    """Print how often any arm gets a verdict though all are the same, metric by metric and over all cells."""
    print(f"Any `helps` or `hurts` where all arms are the same, {studies:,} studies a cell: % (upper 99 % bound)\n")
    print("| metric | " + " | ".join(f"{arms} arm{'s' * (arms > 1)}, {n} seeds" for n in SEEDS for arms in ARMS) + " |")
    print("|---|" + "---|" * (len(SEEDS) * len(ARMS)))
    for name, pool in pools.items():
        cells = []
        for n, arms in itertools.product(SEEDS, ARMS):
            if n * (arms + 1) > len(pool):
                cells.append("too few runs")
                continue
            x = deal(pool, n, arms, studies, generator)
            wrong = int(said(adjusted(x, n, arms, generator), differences(x, n, arms)).any(axis=1).sum())
            upper = aggregates.clopper_pearson(wrong, studies, 0.99)[1]
            cells.append(f"{100 * wrong / studies:.1f} ({100 * float(upper):.1f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def power(pool: Array, studies: int, generator: np.random.Generator) -> None:
    """Print how often an arm with an effect is found, the others without, beside what `detectable` says."""
    spread = float(pool.std(ddof=1))
    print(
        f"\nShare of {studies:,} studies that find the one arm with an effect, in % (what normal scores would give)\n"
    )
    heads = [f"{effect:g} sd" for effect in EFFECTS]
    print(
        "| seeds | arms | " + " | ".join(heads) + " | found with power 80 % |\n|---|---|" + "---|" * (len(EFFECTS) + 1)
    )
    for n, arms in itertools.product(SEEDS, ARMS):
        x = deal(pool, n, arms, studies, generator)
        cells = []
        for effect in EFFECTS:
            moved = x.copy()
            moved[:, n : 2 * n] += effect * spread
            p = adjusted(moved, n, arms, generator)[:, 0]
            rate = float(said(p, differences(moved, n, arms)[:, 0]).mean())
            cells.append(f"{100 * rate:.0f} ({100 * detectable.power_of(n, arms, effect):.0f})")
        least = detectable.detectable(n, arms)
        print(f"| {n} | {arms} | " + " | ".join(cells) + f" | {least:.2f} sd |", flush=True)


def held(pool: Array, studies: int, generator: np.random.Generator) -> None:
    """Print the largest difference between these p values and those of `transfer.statistics`."""
    print(f"\nLargest difference of p from transfer.statistics.permutation_test, {studies} studies a cell")
    for n, arms in itertools.product(SEEDS, ARMS):
        x = deal(pool, n, arms, studies, generator)
        ours = adjusted(x, n, arms, generator)
        off = 0.0
        for study, p in zip(x.reshape(studies, arms + 1, n), ours, strict=True):
            others = {str(arm): study[arm + 1] for arm in range(arms)}
            test = statistics.permutation_test(study[0], others, generator, RELABELLINGS)
            off = max(off, float(np.abs(np.array(list(test.adjusted.values())) - p).max()))
        print(f"{n} seeds, {arms} arms: {off:.3f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--studies", type=int, default=20_000, help="of a cell; a fifth of them where there is an effect"
    )
    parser.add_argument("--held", type=int, default=10, help="studies tested by transfer.statistics too")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    scores, steps = load("cartpole")
    pools = samples(steps, scores)
    print(
        f"{len(scores)} runs; standard deviations: " + ", ".join(f"{k} {v.std(ddof=1):.4g}" for k, v in pools.items())
    )
    print()
    false_alarms(pools, options.studies, generator)
    power(pools["total reward"], max(1, options.studies // 5), generator)
    if options.held:
        held(pools["total reward"], options.held, generator)


if __name__ == "__main__":
    main()
