"""The metrics of transfer (Taylor & Stone 2009, section 3): arrays in, numbers out.

Throughout, `scores` has shape (n_seeds, n_evaluations): the mean return of each evaluation's episodes, one row per
seed; `steps` has shape (n_evaluations,): the target steps of the evaluations, increasing. `transfer` and `scratch`
are the scores of two arms; they may differ in seeds, not in evaluations.

A metric compares two arms; what it compares is one number per seed, and the functions for that come first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.errors import ConfigError

Array = NDArray[np.float64]

TAIL = 0.1
"""The share of the evaluations, the last ones, whose mean is called final."""
FLAT = 0.05
"""A curve whose last tenth differs by at most this share of the scale from the tenth before it has levelled off."""


# One number per seed


def initial(scores: ArrayLike) -> Array:
    """R(0): the first evaluation (n_seeds,)."""
    return _checked(scores)[:, 0]


def tail(n_evaluations: int) -> int:
    """How many evaluations are the last tenth: rounded up, at least two where there are two."""
    return min(n_evaluations, max(2, math.ceil(TAIL * n_evaluations)))


def final(scores: ArrayLike) -> Array:
    """R(∞) as far as the budget shows it: the mean over the last tenth of the evaluations (n_seeds,)."""
    table = _checked(scores)
    return np.asarray(table[:, -tail(table.shape[1]) :].mean(axis=1))


def area(scores: ArrayLike, steps: ArrayLike) -> Array:
    """A = (1/B) ∫₀ᴮ R(t) dt by trapezoids over the evaluated steps, B their length; unit: return (n_seeds,)."""
    table = _checked(scores, steps)
    at = np.asarray(steps, dtype=np.float64)
    if len(at) == 1:
        return table[:, 0]
    return np.asarray(np.trapezoid(table, at, axis=1) / (at[-1] - at[0]))


@dataclass(frozen=True)
class Times:
    """When each seed reached a threshold."""

    steps: Array
    """Target steps (n_seeds,); the budget where `reached` is False, which censors the run there."""
    reached: NDArray[np.bool_]
    """(n_seeds,)"""

    @property
    def restricted_mean(self) -> float:
        """Mean time, no run counted for longer than the budget: a lower bound where one was censored."""
        return float(self.steps.mean())

    @property
    def solved(self) -> float:
        """The share of seeds that reached the threshold."""
        return float(self.reached.mean())


def time_to_threshold(scores: ArrayLike, steps: ArrayLike, threshold: float) -> Times:
    """The first of two consecutive evaluations at or above the threshold; censored at the last evaluation.

    One evaluation alone is not enough: with twenty episodes it may be luck.
    """
    table = _checked(scores, steps)
    at = np.asarray(steps, dtype=np.float64)
    above = table >= threshold
    twice = above[:, :-1] & above[:, 1:]
    reached = np.asarray(twice.any(axis=1), dtype=np.bool_)
    if not twice.shape[1]:
        return Times(np.full(len(table), at[-1]), reached)
    return Times(np.where(reached, at[twice.argmax(axis=1)], at[-1]), reached)


# Two arms


def jumpstart(transfer: ArrayLike, scratch: ArrayLike) -> float:
    """J = R_T(0) − R_S(0), means over seeds. A jumpstart only if no target step was taken before."""
    return float(initial(transfer).mean() - initial(scratch).mean())


def after(steps: ArrayLike, taken: float) -> int | None:
    """The index of the first evaluation after `taken` target steps; None if there is none.

    After, not at: steps are booked when they are taken, and what is learnt from the last of them comes later. The last
    evaluation alone comes after all that is learnt.
    """
    at = np.asarray(steps, dtype=np.float64)
    later = np.flatnonzero(at > taken)
    if len(later):
        return int(later[0])
    return len(at) - 1 if taken <= at[-1] else None


def asymptotic(transfer: ArrayLike, scratch: ArrayLike) -> float:
    """R_T(∞) − R_S(∞), means over seeds of the last tenth. An asymptote only if both have a `plateau`."""
    return float(final(transfer).mean() - final(scratch).mean())


def total_reward(transfer: ArrayLike, scratch: ArrayLike, steps: ArrayLike) -> float:
    """A_T − A_S, means over seeds of the area under the curve per step of the budget; unit: return."""
    return float(area(transfer, steps).mean() - area(scratch, steps).mean())


def transfer_ratio(area_transfer: ArrayLike, area_scratch: ArrayLike) -> float:
    """r = (A_T − A_S) / A_S of mean areas (n_seeds,) normalised by `normalise`.

    Normalise first: the ratio depends on where 0 is, and with negative returns even its sign is wrong. Raises
    ConfigError where A_S is 0; whether A_S can be told from 0 is for the statistics to say.
    """
    scratch = _mean(area_scratch)
    if scratch == 0:
        raise ConfigError("transfer ratio: scratch's area is 0, the random score; the ratio is undefined")
    return (_mean(area_transfer) - scratch) / scratch


def gap_closed(area_transfer: ArrayLike, area_scratch: ArrayLike, area_reference: float = 1.0) -> float:
    """(A_T − A_S) / (A_ref − A_S): the share of what scratch left to gain, areas normalised, A_ref = 1.

    Bounded above by 1 where nobody beats the reference (Continual World's forward transfer, Wołczyk et al. 2021).
    Raises ConfigError where A_S is A_ref.
    """
    scratch = _mean(area_scratch)
    if scratch == area_reference:
        raise ConfigError("gap closed: scratch's area is the reference's; nothing was left to gain")
    return (_mean(area_transfer) - scratch) / (area_reference - scratch)


def forward_transfer(area_transfer: ArrayLike, area_scratch: ArrayLike) -> float:
    """FT = (AUC − AUC_b) / (1 − AUC_b) of one target: the forward transfer of Continual World (Wołczyk et al. 2021).

    AUC and AUC_b are mean areas (n_seeds,) of the arm and of scratch, normalised so that 1 is the most there is:
    success rates there, `normalise`d returns here. It is the gap closed; its interval is
    `intervals.forward_transfer_interval`. Raises ConfigError where scratch's area is 1 or more.
    """
    if _mean(area_scratch) >= 1:
        raise ConfigError(
            f"forward transfer: scratch's normalised area is {_mean(area_scratch):.3g}; it should be below 1"
        )
    return gap_closed(area_transfer, area_scratch)


def mean_forward_transfer(areas_transfer: Sequence[ArrayLike], areas_scratch: Sequence[ArrayLike]) -> float:
    """FT = (1/N) Σᵢ FTᵢ over N targets, each of areas (n_seeds,)."""
    pairs = zip(areas_transfer, areas_scratch, strict=True)
    return float(np.mean([forward_transfer(own, base) for own, base in pairs]))


def normalise(scores: ArrayLike, random: float, reference: float) -> Array:
    """(score − random) / (reference − random): 0 plays like random actions, 1 like the reference.

    Raises ConfigError unless reference > random.
    """
    if not reference > random:
        raise ConfigError(f"reference score {reference:g} should be above the random score {random:g}")
    return (np.asarray(scores, dtype=np.float64) - random) / (reference - random)


# What a claim needs


@dataclass(frozen=True)
class Plateau:
    """Whether an arm's mean curve has levelled off."""

    reached: bool | None
    """None where the evaluations are too few to tell."""
    drift: float | None
    """Mean of the last tenth of the evaluations less the mean of the tenth before it; unit: return."""


def plateau(scores: ArrayLike, scale: float) -> Plateau:
    """Compare the last tenth of the evaluations with the tenth before it, means over seeds.

    Levelled off where they differ by at most `FLAT` of `scale` (reference − random, or the range of all mean
    curves). Needs two disjoint tails.
    """
    table = _checked(scores)
    length = tail(table.shape[1])
    if table.shape[1] < 2 * length or length < 2:
        return Plateau(None, None)
    mean = table.mean(axis=0)
    drift = float(mean[-length:].mean() - mean[-2 * length : -length].mean())
    return Plateau(abs(drift) <= FLAT * scale, drift)


# The source's steps charged


def charge(scores: ArrayLike, steps: ArrayLike, source_steps: float, before: float) -> Array:
    """The curve over total steps: `before` while the source was learnt, then the curve itself, shifted right.

    C(t) = before for t < source_steps, else R(t − source_steps), on the same evaluated steps (linear between
    evaluations). (n_seeds, n_evaluations)
    """
    table = _checked(scores, steps)
    at = np.asarray(steps, dtype=np.float64) - source_steps
    own = np.asarray(steps, dtype=np.float64)
    shifted = np.array([np.interp(at, own, row) for row in table]).reshape(table.shape)
    return np.where(at < own[0], before, shifted)


def charged_area(scores: ArrayLike, steps: ArrayLike, source_steps: float, before: float) -> Array:
    """A of the charged curve over the same budget B, exact at the step where it starts (n_seeds,).

    (1/B) (s·before + ∫₀ᴮ⁻ˢ R(t) dt), s = min(source_steps, B).
    """
    table = _checked(scores, steps)
    at = np.asarray(steps, dtype=np.float64)
    budget = at[-1] - at[0]
    left = budget - source_steps
    if left <= 0:
        return np.full(len(table), float(before))
    inside = np.append(at[at < at[0] + left], at[0] + left)
    rows = np.array([np.interp(inside, at, row) for row in table]).reshape(len(table), len(inside))
    return np.asarray((source_steps * before + np.trapezoid(rows, inside, axis=1)) / budget)


def break_even(source_steps: float, saved: float) -> float | None:
    """k = source_steps / steps saved per target: how many targets pay for the source. None if nothing is saved."""
    return source_steps / saved if saved > 0 else None


def _mean(sample: ArrayLike) -> float:
    return float(np.asarray(sample, dtype=np.float64).mean())


def _checked(scores: ArrayLike, steps: ArrayLike | None = None) -> Array:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise ConfigError(f"scores should have shape (n_seeds, n_evaluations), found {table.shape}")
    if steps is not None:
        at = np.asarray(steps, dtype=np.float64)
        if at.shape != table.shape[1:] or (np.diff(at) <= 0).any():
            raise ConfigError(f"steps should be {table.shape[1]} increasing numbers, found shape {at.shape}")
    return table
