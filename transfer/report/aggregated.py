"""Beside the means: aggregates that outliers do not move, profiles, and how many seeds got there by when."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from transfer import aggregates, metrics, statistics, survival
from transfer.report.compare import Entry, Levels, Scale, entry, nothing
from transfer.report.measured import BASELINE, Measured

LEVELS = {"jumpstart": "initial", "asymptotic": "final"}
"""Which of a seed's levels stands behind a primary metric; behind all others the total reward."""
POINTS = 41
"""Returns at which a performance profile is given."""


def level(primary: str) -> str:
    """`initial`, `final` or `total_reward`: the return per seed that a primary metric compares."""
    return LEVELS.get(primary, "total_reward")


def of_arm(measured: Measured, name: str) -> dict[str, Any]:
    """An arm's `aggregates`, `profile` and `survival`; null where no seed finished."""
    if not len(measured.scores[name]):
        return {"aggregates": None, "profile": None, "survival": []}
    return {
        "aggregates": _aggregates(measured, name),
        "profile": _profile(measured, name),
        "survival": _survival(measured, name),
    }


def sample(levels: Levels, primary: str) -> metrics.Array:
    """One return per seed (n_seeds,)."""
    return {"initial": levels.initial, "final": levels.final, "total_reward": levels.area}[level(primary)]


def _aggregates(measured: Measured, name: str) -> dict[str, Any]:
    """Mean, median, interquartile mean and optimality gap of an arm, and how often it beats scratch."""
    own = sample(measured.levels(name), measured.primary)
    generator = statistics.generator_for(measured.data.name)
    found: dict[str, Any] = {"of": level(measured.primary)}
    for kind in ("mean", "median", "iqm"):
        found[kind] = entry(*aggregates.aggregate_interval(kind, own, generator))
    found["optimality_gap"] = _gap(own, measured.scale, generator)
    found["improvement"] = _improvement(measured, name, own, generator)
    return found


def _gap(own: metrics.Array, scale: Scale, generator: np.random.Generator) -> Entry:
    """How far the seeds fall short of the reference score, as a share of reference − random."""
    if scale.random is None or scale.reference is None or not scale.known:
        return nothing("undefined: the game's random and reference scores are not both known")
    shares = metrics.normalise(own, scale.random, scale.reference)
    return entry(*aggregates.aggregate_interval("optimality_gap", shares, generator))


def _improvement(measured: Measured, name: str, own: metrics.Array, generator: np.random.Generator) -> Entry:
    """P(a seed of the arm > a seed of scratch) + ½ P(equal)."""
    if name == BASELINE:
        return nothing("scratch is what the others are compared with")
    base = sample(measured.levels(BASELINE), measured.primary)
    if not len(base):
        return nothing("no seed of scratch finished")
    value = aggregates.probability_of_improvement(own, base)
    return entry(value, aggregates.improvement_interval(own, base, generator))


def _profile(measured: Measured, name: str) -> dict[str, Any]:
    """The share of seeds above each return, on one grid of returns for all arms."""
    levels = {arm: measured.levels(arm) for arm, scores in measured.scores.items() if len(scores)}
    own = {arm: sample(of, measured.primary) for arm, of in levels.items()}
    low, high = _ends(own)
    at = np.linspace(low, high, POINTS)
    band = aggregates.profile_band(own[name], at, statistics.generator_for(measured.data.name))
    share = aggregates.performance_profile(own[name], at)
    return {"of": level(measured.primary), "returns": at, "share": share, "low": band[0], "high": band[1]}


def _ends(samples: Mapping[str, metrics.Array]) -> tuple[float, float]:
    """From below the lowest to the highest return of all arms."""
    every = np.concatenate(list(samples.values()))
    low, high = float(every.min()), float(every.max())
    room = 0.02 * (high - low) or 1.0
    return low - room, high


def _survival(measured: Measured, name: str) -> list[dict[str, Any]]:
    """Kaplan & Meier's curve for each threshold, in the thresholds' order."""
    curves = []
    for threshold in measured.thresholds:
        times = metrics.time_to_threshold(measured.scores[name], measured.data.steps, threshold)
        curve = survival.kaplan_meier(times.steps, times.reached, measured.budget)
        curves.append({"threshold": threshold, **vars(curve)})
    return curves
