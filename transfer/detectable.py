"""How large an effect a design can find: said before the training, and in the report beside `no evidence`."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize

from envs.errors import ConfigError
from transfer.intervals import LEVEL, Array
from transfer.statistics import can_reject, correction, smallest_p

DRAWS = 20_000
"""Simulated studies; an effect is then known to about 1 %."""

LARGEST = 40.0
"""Standard deviations, beyond which no effect is looked for."""


@dataclass(frozen=True)
class _Draws:
    """Means and Welch errors of normal arms against scratch, all like scratch, one study a row (DRAWS, n_arms)."""

    differences: Array
    errors: Array
    critical: float
    """The largest |t| of all arms is above it in 1 − LEVEL of the studies."""


def detectable(n_seeds: int, n_arms: int, power: float = 0.8, *, values: int = 1) -> float | None:
    """The effect, in standard deviations of scores over seeds, that gets a verdict in `power` of such studies.

    One of `n_arms` arms differs from scratch by that much, the others do not; scores are normal with the same spread,
    and every arm has `n_seeds` seeds, scratch too. With a dial all of them are measured at each of `values` values, and
    the one differs at one of these; values are taken to be independent. The permutation test is taken to reject where
    the largest |Welch t| over all arms does at its exact level (simulated, the same at every call); benchmarks/aa.py
    holds this to the test itself. None where the design cannot reject at all. Raises ConfigError for a power outside
    (0.05, 1).
    """
    if not 1 - LEVEL < power < 1:
        raise ConfigError(f"power should lie between {1 - LEVEL:.2f} and 1, found {power:g}")
    if power_of(n_seeds, n_arms, LARGEST, values=values) < power:
        return None

    def lacking(effect: float) -> float:
        return power_of(n_seeds, n_arms, effect, values=values) - power

    return float(optimize.brentq(lacking, 0.0, LARGEST, xtol=1e-3))


def power_of(n_seeds: int, n_arms: int, effect: float, *, values: int = 1) -> float:
    """The share of such studies (see `detectable`) whose one different arm gets a verdict; 0 where none can reject."""
    corrected = correction(n_seeds, [n_seeds] * n_arms, values)
    if not can_reject(n_seeds, n_arms, corrected=corrected):
        return 0.0
    draws = _draws(n_seeds, n_arms, values, corrected)
    return float((np.abs(draws.differences[:, 0] + effect) > draws.critical * draws.errors[:, 0]).mean())


@lru_cache(maxsize=64)
def _draws(n_seeds: int, n_arms: int, values: int, corrected: int) -> _Draws:
    """Means are N(0, 1/n), variances χ²ₙ₋₁/(n − 1); scratch's are shared by the arms of one value.

    With few seeds the p values of a pair are coarse, so that its test is held to the largest of them up to 1 − LEVEL
    (at four seeds 2.9 %). Where Holm's correction is used it is pairwise at (1 − LEVEL)/corrected. The values of a dial
    are alike and independent, so that the largest of all |t| is below its level where that of one is below the level's
    root.
    """
    generator = np.random.default_rng([n_seeds, n_arms])
    means = generator.normal(0, n_seeds**-0.5, (DRAWS, n_arms + 1))
    squares = generator.chisquare(n_seeds - 1, (DRAWS, n_arms + 1)) / (n_seeds - 1) / n_seeds
    differences = means[:, 1:] - means[:, :1]
    errors = np.sqrt(squares[:, 1:] + squares[:, :1])
    t = np.abs(differences / errors)
    step = smallest_p(n_seeds, 1)
    alone = (1 - LEVEL) / corrected
    critical = float(np.quantile(t, 1 - max(step, step * np.floor(alone / step + 1e-9))))
    if corrected == 1:
        critical = max(critical, float(np.quantile(t.max(axis=1), LEVEL ** (1 / values))))
    return _Draws(differences, errors, critical)
