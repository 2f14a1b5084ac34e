"""Two arms, number by number: each metric's value, its interval, and why there is none where there is none."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from transfer import metrics, statistics
from transfer.metrics import Array, Times
from transfer.statistics import Interval

Entry = dict[str, Any]
"""`value`, `low`, `high`, `interval`, and `note` where something is to be said about them."""

COST_UNKNOWN = "the source's steps are not known"
"""Why nothing is charged for a source that came without its run."""


@dataclass(frozen=True)
class Scale:
    """Between which scores one plays."""

    random: float | None
    reference: float | None
    spread: float
    """Range of all arms' mean curves."""

    @property
    def known(self) -> bool:
        """Whether scores can be normalised."""
        return self.random is not None and self.reference is not None and self.reference > self.random

    @property
    def width(self) -> float:
        """Reference less random, else the range of the curves; unit: return."""
        if self.random is not None and self.reference is not None and self.known:
            return self.reference - self.random
        return self.spread

    @property
    def width_in_words(self) -> str:
        """What `width` is."""
        return "reference − random" if self.known else "the range of all mean curves"


@dataclass(frozen=True)
class Levels:
    """One number per seed for each metric (n_seeds,)."""

    initial: Array
    final: Array
    area: Array
    why_none: tuple[str, str] = ("", "")
    """Why `initial`, or `final`, is empty though there are seeds."""

    @classmethod
    def of(cls, scores: Array, steps: ArrayLike) -> Self:
        """From a table (n_seeds, n_evaluations)."""
        return cls(metrics.initial(scores), metrics.final(scores), metrics.area(scores, steps))


def entry(value: float | None, interval: Interval) -> Entry:
    """A value with its interval."""
    made: Entry = {"value": value, "low": interval.low, "high": interval.high, "interval": interval.kind}
    if interval.note:
        made["note"] = interval.note
    return made


def nothing(why: str) -> Entry:
    """No value, and why."""
    return {"value": None, "low": None, "high": None, "interval": None, "note": why}


def levels(arm: Levels) -> dict[str, Entry]:
    """An arm's own performance: the means over seeds."""
    return {
        name: entry(float(sample.mean()), statistics.mean_interval(sample))
        for name, sample in (("initial", arm.initial), ("final", arm.final), ("total_reward", arm.area))
    }


def differences(transfer: Levels, scratch: Levels, scale: Scale) -> dict[str, Entry]:
    """Jumpstart, asymptotic performance, total reward and transfer ratio of an arm over scratch."""
    return {
        "jumpstart": _difference(transfer.initial, scratch.initial, scale, transfer.why_none[0]),
        "asymptotic": _difference(transfer.final, scratch.final, scale, transfer.why_none[1]),
        "total_reward": _difference(transfer.area, scratch.area, scale),
        "transfer_ratio": {
            **_ratio(transfer.area, scratch.area, scale),
            "gap_closed": _gap(transfer.area, scratch.area, scale),
        },
    }


def jumpstart_after(transfer: Array, scratch: Array, steps: ArrayLike, taken: int, scale: Scale) -> Entry:
    """The difference from scratch at the first evaluation after `taken` target steps, scratch's at the same step.

    `steps` says at which; tables of scores (n_seeds, n_evaluations).
    """
    at = metrics.after(steps, taken)
    if at is None:
        return {"steps": None, **nothing(f"no evaluation after the {taken:,} target steps taken before learning")}
    own, base = transfer[:, at], scratch[:, at]
    return {"steps": int(np.asarray(steps)[at]), **_difference(own, base, scale)}


def _difference(transfer: Array, scratch: Array, scale: Scale, why: str = "") -> Entry:
    """Mean less scratch's mean in returns, and as a share of reference − random."""
    if not len(transfer) or not len(scratch):
        return nothing(why or "no seed finished")
    value = float(transfer.mean() - scratch.mean())
    made = entry(value, statistics.difference_interval(transfer, scratch))
    made["normalised"] = value / scale.width if scale.known else None
    return made


def _ratio(transfer: Array, scratch: Array, scale: Scale) -> Entry:
    """(A_T − A_S) / A_S on areas above the random score; the reference cancels."""
    if not len(transfer) or not len(scratch):
        return nothing("no seed finished")
    if scale.random is None:
        return nothing("undefined: the game's random score is not known, so there is no zero to take a ratio from")
    own, base = transfer - scale.random, scratch - scale.random
    around = statistics.mean_interval(base)
    if around.low is None or around.high is None:
        return nothing("undefined: with one seed of scratch it cannot be told from the random score")
    if around.high <= 0:
        return nothing("undefined: scratch's area is below the random score")
    if around.low <= 0:
        return nothing("undefined: the interval of scratch's area includes the random score")
    interval = _shifted(statistics.ratio_interval(own, base), -1.0, 1.0)
    return entry(metrics.transfer_ratio(own, base), interval)


def _gap(transfer: Array, scratch: Array, scale: Scale) -> Entry:
    """(A_T − A_S) / (A_ref − A_S) = 1 − (A_ref − A_T) / (A_ref − A_S); the random score cancels."""
    if not len(transfer) or not len(scratch):
        return nothing("no seed finished")
    if scale.reference is None:
        return nothing("undefined: the game's reference score is not known")
    around = statistics.mean_interval(scratch)
    if around.low is None or around.high is None:
        return nothing("undefined: with one seed of scratch it cannot be told from the reference score")
    if around.high >= scale.reference:
        return nothing("undefined: scratch's area cannot be told from the reference score; nothing was left to gain")
    left, base = scale.reference - transfer, scale.reference - scratch
    interval = _shifted(statistics.ratio_interval(left, base), 1.0, -1.0)
    return entry(metrics.gap_closed(transfer, scratch, scale.reference), interval)


def _shifted(interval: Interval, add: float, times: float) -> Interval:
    """The interval of add + times·ρ."""
    if interval.low is None or interval.high is None:
        return interval
    low, high = sorted((add + times * interval.low, add + times * interval.high))
    return Interval(low, high, interval.kind, interval.note)


def times(own: Times, scratch: Times | None, budget: float, source_steps: float = 0.0) -> Entry:
    """Time to one threshold: restricted mean, solved fraction, median, and the steps saved against scratch.

    With `source_steps` they are counted before the target's; solved or not stays what it was.
    """
    n = len(own.steps)
    if not n:
        return nothing("no seed finished")
    interval = statistics.mean_interval(own.steps)
    made = entry(own.restricted_mean + source_steps, _clipped(interval, source_steps, source_steps + budget))
    if not own.reached.any():
        made |= {"low": None, "high": None, "interval": None, "note": "no seed reached it; all count with the budget"}
    elif not own.reached.all():
        made["note"] = f"{n - int(own.reached.sum())} of {n} seeds never reached it and count with the budget"
    median, around = statistics.median_interval(own.steps + source_steps, own.reached)
    made |= {"reached": int(own.reached.sum()), "n_seeds": n, "solved": own.solved, "median": entry(median, around)}
    if median is None:
        made["median"]["note"] = "fewer than half of the seeds reached it"
    made["saved"] = _saved(own, scratch, source_steps)
    return made


def _saved(own: Times, scratch: Times | None, source_steps: float) -> Entry:
    """Scratch's restricted mean less the arm's: positive where the arm was sooner."""
    if scratch is None:
        return nothing("scratch is what the others are compared with")
    if not len(scratch.steps):
        return nothing("no seed of scratch finished")
    if not own.reached.any() and not scratch.reached.any():
        return nothing("no seed of either arm reached it")
    interval = statistics.difference_interval(scratch.steps, own.steps + source_steps)
    made = entry(scratch.restricted_mean - own.restricted_mean - source_steps, interval)
    if bound := _bound(own, scratch):
        made["note"] = bound
    return made


def _bound(own: Times, scratch: Times) -> str:
    """Which way counting censored runs with the budget moves the steps saved."""
    lost, missed = int((~own.reached).sum()), int((~scratch.reached).sum())
    if missed and not lost:
        return f"at least: {missed} of {len(scratch.steps)} of scratch never got there"
    if lost and not missed:
        return f"at most: {lost} of {len(own.steps)} of this arm never got there"
    return "seeds of both arms never got there" if lost else ""


def _clipped(interval: Interval, low: float, high: float) -> Interval:
    """A time lies between the charged steps and the budget after them."""
    if interval.low is None or interval.high is None:
        return interval
    first, last = (float(np.clip(end + low, low, high)) for end in (interval.low, interval.high))
    return Interval(first, last, interval.kind, interval.note)


def charged_levels(
    transfer: Array, scratch: Array, steps: ArrayLike, source_steps: float, before: float
) -> tuple[Levels, Levels]:
    """The per-seed numbers of both arms at equal total steps, the source's counted before the target's.

    Jumpstart: the arm's first evaluation against scratch after `source_steps` of the target. The others: the charged
    curve against scratch's, over scratch's budget.
    """
    own, base = Levels.of(transfer, steps), Levels.of(scratch, steps)
    area = metrics.charged_area(transfer, steps, source_steps, before)
    at = np.asarray(steps, dtype=np.float64)
    if source_steps > at[-1]:
        why = "the source's steps alone are more than the target's budget"
        empty = np.empty(0)
        return Levels(empty, empty, area, (why, why)), base
    late = np.array([np.interp(source_steps, at, row) for row in scratch])
    final = metrics.final(metrics.charge(transfer, steps, source_steps, before))
    return Levels(own.initial, final, area), Levels(late, base.final, base.area)


def break_even(source_steps: float, times: Entry) -> Entry:
    """Targets after which the source has paid for itself: its steps over the steps saved on each target.

    The interval is that of the steps saved, turned over; it has no upper end where that includes 0.
    """
    if not source_steps:
        return nothing(COST_UNKNOWN)
    saved = times.get("saved", times)
    if saved["value"] is None or times["value"] is None:
        return nothing(saved["note"])
    value = metrics.break_even(source_steps, saved["value"])
    if value is None:
        return nothing("never: the arm saves no target steps on the way to the threshold")
    made = entry(value, Interval(None, None, "from the interval of the steps saved"))
    if saved["high"] is not None:
        made["low"] = metrics.break_even(source_steps, saved["high"])
        made["high"] = metrics.break_even(source_steps, saved["low"])
    if made["low"] is None:
        made["note"] = saved.get("note", "the steps saved have no interval")
    elif made["high"] is None:
        made["note"] = "no upper end: the steps saved cannot be told from 0"
    elif "note" in saved:
        made["note"] = f"steps saved: {saved['note']}"
    return made
