"""Times to a threshold that some runs never reach: Kaplan & Meier's curve, and the restricted mean with its interval.

A run that never got there is censored where its evaluations end. Nobody is dropped, and no time is made up.
The estimator itself is scipy's (`scipy.stats.ecdf` of `CensoredData`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from envs.errors import ConfigError
from transfer.aggregates import clopper_pearson
from transfer.intervals import LEVEL, Array, Interval


@dataclass(frozen=True)
class Curve:
    """The share of runs that reached a threshold, a step function of target steps: `reached[i]` from `steps[i]` on."""

    steps: Array
    """Where it begins (0), where it jumps, and the budget: rising (n_points,)."""
    reached: Array
    """1 − S(t) (n_points,)."""
    low: Array
    """Pointwise 95 % interval (n_points,)."""
    high: Array
    """(n_points,)"""
    interval: str
    """How the interval was made."""


def kaplan_meier(times: ArrayLike, reached: ArrayLike, budget: float) -> Curve:
    """The share of seeds that have reached a threshold by each step (Kaplan & Meier 1958).

    Times (n_seeds,) are target steps; where `reached` is False the run was watched that long and had not got there.
    With all runs watched to the budget the share at t is binomial, and its interval Clopper & Pearson's, exact; with a
    run that ended early, Greenwood's on the log-log scale. Raises ConfigError for no seeds or times not in [0, budget].
    """
    x, seen = _checked(times, reached, budget)
    found = stats.ecdf(stats.CensoredData(uncensored=x[seen], right=x[~seen]))
    at = found.sf.quantiles
    share = 1 - found.sf.probabilities
    jumps = np.isin(at, x[seen])
    steps = np.concatenate([[0.0], at[jumps], [budget]])
    curve = np.concatenate([[0.0], share[jumps], share[jumps][-1:] if jumps.any() else [0.0]])
    if (x[~seen] >= (x[seen].max() if seen.any() else 0.0)).all():
        low, high = clopper_pearson(np.round(curve * len(x)), len(x))
        return _once(Curve(steps, curve, low, high, "Clopper and Pearson, pointwise"))
    low, high = _greenwood(x, seen, steps, curve)
    return _once(Curve(steps, curve, low, high, "Greenwood on the log-log scale, pointwise"))


def restricted_mean(times: ArrayLike, reached: ArrayLike, budget: float) -> tuple[float, Interval]:
    """∫₀ᴮ S(t) dt: the mean of min(T, B), with its interval; unit: steps.

    The variance is Greenwood's, Σ Aᵢ² dᵢ / (Yᵢ (Yᵢ − dᵢ)) with Aᵢ the area under S after the i-th time, dᵢ the runs
    that got there then and Yᵢ those still on their way (Klein & Moeschberger, section 4.5), times n / (n − 1), and the
    quantile Student's, n − 1 degrees of freedom. Where all runs are watched to the budget this is Student's interval
    of min(T, B), clipped to [0, B]. Raises ConfigError as `kaplan_meier`.
    """
    x, seen = _checked(times, reached, budget)
    at, events = np.unique(x[seen], return_counts=True)
    risk = np.array([(x >= t).sum() for t in at], dtype=np.float64)
    survival = np.cumprod(1 - events / risk)
    widths = np.diff(np.concatenate([[0.0], at, [budget]]))
    pieces = np.concatenate([[1.0], survival]) * widths
    mean = float(pieces.sum())
    kind = "Student t over seeds, Greenwood's variance"
    if len(x) < 2:
        return mean, Interval(None, None, kind, "one seed gives no interval")
    if not seen.any():
        return mean, Interval(None, None, kind, "no seed reached it; all count with the budget")
    after = pieces[::-1].cumsum()[::-1][1:]
    left = risk - events
    terms = np.divide(after**2 * events, risk * left, out=np.zeros_like(risk), where=left > 0)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 1)) * math.sqrt(terms.sum() * len(x) / (len(x) - 1))
    note = None if seen.all() else f"a lower bound: {int((~seen).sum())} of {len(x)} seeds never got there"
    return mean, Interval(max(0.0, mean - half), min(float(budget), mean + half), kind, note)


def _greenwood(x: Array, seen: NDArray[np.bool_], steps: Array, curve: Array) -> tuple[Array, Array]:
    """exp(−exp(log(−log S) ± z √(Σ d/(Y(Y−d))) / |log S|)), 0 to 1 where S is 0 or 1."""
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    low, high = np.zeros_like(curve), np.ones_like(curve)
    for i, (t, share) in enumerate(zip(steps, curve, strict=True)):
        if not 0 < share < 1:
            continue
        at, events = np.unique(x[seen & (x <= t)], return_counts=True)
        risk = np.array([(x >= one).sum() for one in at])
        spread = math.sqrt(float((events / (risk * (risk - events))).sum())) / abs(math.log(1 - share))
        ends = [math.exp(-math.exp(math.log(-math.log(1 - share)) + side * z * spread)) for side in (-1, 1)]
        low[i], high[i] = 1 - ends[0], 1 - ends[1]
    return low, high


def _once(curve: Curve) -> Curve:
    """The last point of each step alone, where a jump falls on 0 or on the budget."""
    keep = np.append(np.diff(curve.steps) > 0, True)
    ends = (curve.steps[keep], curve.reached[keep], curve.low[keep], curve.high[keep])
    return Curve(*ends, curve.interval)


def _checked(times: ArrayLike, reached: ArrayLike, budget: float) -> tuple[Array, NDArray[np.bool_]]:
    x, seen = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=np.bool_)
    if x.ndim != 1 or x.shape != seen.shape or not len(x):
        raise ConfigError(f"times and reached should both be (n_seeds,), found shapes {x.shape} and {seen.shape}")
    if not ((x >= 0) & (x <= budget)).all():
        raise ConfigError(
            f"times should lie between 0 and the budget of {budget:g} steps, found {x.min():g}–{x.max():g}"
        )
    return x, seen
