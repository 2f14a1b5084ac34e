"""Designs in which several target seeds start from each of several source seeds.

The study's usual design is paired: target seed i starts from source seed i, its own. Every run of the arm is then
independent of every other and of scratch's, and the plain intervals and the permutation test are right. It is no
matched-pairs design: scratch has no source, so seed i of an arm and of scratch have nothing in common.

In a nested design a source seed has several target seeds, which are alike through their source:

    score_ij = μ + source_i + target_ij.

The unit is then the source seed. Treating the n·m runs as independent makes intervals too narrow, the more so the more
the source decides. With a single source there is nothing to say beyond this checkpoint.

Scores of such an arm are a list with one array per source seed, of its target seeds' numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from envs.errors import ConfigError
from transfer import statistics
from transfer.intervals import LEVEL, Array, Interval

RESAMPLES = 2_000


def source_means(groups: Sequence[ArrayLike]) -> Array:
    """One number per source seed, the mean of its target seeds: the units (n_sources,).

    With equally many target seeds per source and normal effects, Student's t on them is exact.
    """
    return np.array([group.mean() for group in _groups(groups)])


def mean_interval(groups: Sequence[ArrayLike]) -> Interval:
    """Student's t of the arm's mean over source seeds."""
    found = statistics.mean_interval(source_means(groups))
    return Interval(found.low, found.high, "Student t over source seeds", _alone(groups) or found.note)


def difference_interval(groups: Sequence[ArrayLike], scratch: ArrayLike) -> Interval:
    """Welch's t of the arm's mean over source seeds less scratch's over its seeds."""
    found = statistics.difference_interval(source_means(groups), scratch)
    return Interval(
        found.low, found.high, "Welch t over source seeds and scratch's seeds", _alone(groups) or found.note
    )


@dataclass(frozen=True)
class Components:
    """Where the spread of an arm's scores comes from; variances in squared units of the score."""

    source: float
    """Between source seeds, beyond what their target seeds explain; 0 where the estimate is below."""
    target: float
    """Between target seeds of one source."""

    @property
    def share(self) -> float:
        """The intraclass correlation: how alike two target seeds of one source are; 0 where nothing varies."""
        total = self.source + self.target
        return self.source / total if total else 0.0


def components(groups: Sequence[ArrayLike]) -> Components:
    """The variances of the one-way random-effects model by analysis of variance.

    target = MS_within, source = (MS_between − MS_within) / m₀ with m₀ = (N − Σ mᵢ²/N) / (n − 1), cut at 0 (Searle,
    Casella & McCulloch 1992, chapter 3). Raises ConfigError with fewer than two sources, or nowhere two target seeds.
    """
    arms = _groups(groups)
    sizes = np.array([len(group) for group in arms])
    total = sizes.sum()
    if len(arms) < 2 or total == len(arms):
        raise ConfigError("components need two source seeds, and two target seeds of one of them")
    centre = np.concatenate(arms).mean()
    between = sum(len(group) * (group.mean() - centre) ** 2 for group in arms) / (len(arms) - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in arms) / (total - len(arms))
    typical = (total - (sizes**2).sum() / total) / (len(arms) - 1)
    return Components(max(0.0, float((between - within) / typical)), float(within))


def bootstrap(
    groups: Sequence[ArrayLike],
    statistic: Callable[[Array], float],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """Percentile interval of a statistic of all runs: source seeds drawn with replacement, then their target seeds.

    For statistics that have no t interval, such as a median of runs. `statistic` takes all drawn runs (n_runs,). With
    few sources it is too narrow, as every percentile bootstrap (docs/results/statistics.md).
    """
    arms = _groups(groups)
    kind = "percentile bootstrap over source seeds, then target seeds"
    if len(arms) < 2:
        return Interval(None, None, kind, _alone(groups))
    values = []
    for _ in range(resamples):
        chosen = [arms[i] for i in generator.integers(len(arms), size=len(arms))]
        runs = np.concatenate([group[generator.integers(len(group), size=len(group))] for group in chosen])
        values.append(statistic(runs))
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), kind)


def _alone(groups: Sequence[ArrayLike]) -> str | None:
    return "one source seed: what is found holds for this checkpoint only" if len(groups) == 1 else None


def _groups(groups: Sequence[ArrayLike]) -> list[Array]:
    arms = [np.asarray(group, dtype=np.float64) for group in groups]
    if not arms or any(arm.ndim != 1 or not len(arm) for arm in arms):
        raise ConfigError("a nested arm should have one array of target seeds per source seed, none of them empty")
    return arms
