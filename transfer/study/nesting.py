"""From an arm's finished runs to the rows that are compared: one a seed, or one a source where seeds are nested in it.

Where each target seed starts from each of several sources, two runs of one source are no independent observations of
what transfer is worth (`transfer.nested`). So the source is the unit, and its observation is the mean over its target
seeds. Of n sources with m seeds each, with variances σₛ² between the sources and σₜ² within them, the mean of these
means has the variance (σₛ² + σₜ²/m)/n, which is what their spread estimates. Scratch has no source: its observations
are means over n blocks of m seeds, so that where sources do nothing all observations are alike, and the permutation
test is exact (means against single runs could not be exchanged: their spreads differ). Metrics that are linear in the
scores (jumpstart, asymptotic performance, total reward) are the means of those of the runs; a time to threshold is
that of a mean curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer.controls import Variant
from transfer.study.data import NestedScores, Scores
from transfer.study.plan import Plan, PlannedRun


@dataclass(frozen=True)
class Finished:
    """A finished run as arms are compared."""

    run: PlannedRun
    scores: Scores
    """Mean return of each evaluation (n_evaluations,)."""
    before: int
    """Target steps that its methods took before it learnt."""
    unseen: int
    """Target steps that they took beside it."""


def rows_of(finished: Sequence[Finished], planned: Sequence[PlannedRun], n_evaluations: int) -> dict[str, Any]:
    """What `ArmData` holds of an arm's finished runs: `scores`, `seeds`, `run_keys`, `before`, `unseen`, and `nested`.

    Args:
        finished: those that are.
        planned: all of the arm.
        n_evaluations: of each.
    """
    if any(run.block is not None for run in planned):
        return _by_block(finished, planned, n_evaluations)
    return {
        "scores": _table([each.scores for each in finished], n_evaluations),
        "seeds": tuple(each.run.seed for each in finished),
        "run_keys": tuple(each.run.key for each in finished),
        "before": tuple(each.before for each in finished),
        "unseen": tuple(each.unseen for each in finished),
    }


def _by_block(finished: Sequence[Finished], planned: Sequence[PlannedRun], n_evaluations: int) -> dict[str, Any]:
    """A row for each source or block: the mean over its target seeds. One without a finished run has none."""
    at = {(each.run.block, each.run.seed): each for each in finished}
    known = sorted({each.run.block for each in finished if each.run.block is not None})
    seeds = {block: tuple(run.seed for run in planned if run.block == block) for block in known}
    runs = {block: [at.get((block, seed)) for seed in seeds[block]] for block in known}
    groups = [[each for each in runs[block] if each] for block in known]
    return {
        "scores": _table([np.mean([each.scores for each in group], axis=0) for group in groups], n_evaluations),
        "seeds": tuple(known),
        "run_keys": tuple(" ".join(each.run.key for each in group) for group in groups),
        "before": tuple(max(each.before for each in group) for group in groups),
        "unseen": tuple(max(each.unseen for each in group) for group in groups),
        "nested": NestedScores(
            tuple(known),
            tuple(seeds.values()),
            _cube(list(runs.values()), n_evaluations),
            tuple(tuple(each.run.key if each else None for each in row) for row in runs.values()),
        ),
    }


def _table(rows: Sequence[Scores], n_evaluations: int) -> Scores:
    """(n_rows, n_evaluations), also of no rows."""
    return np.array(rows, dtype=np.float64).reshape(len(rows), n_evaluations)


def _cube(runs: Sequence[Sequence[Finished | None]], n_evaluations: int) -> Scores:
    """(n_sources, n_seeds, n_evaluations), NaN where no run finished."""
    nothing = np.full(n_evaluations, np.nan)
    return np.array([[each.scores if each else nothing for each in row] for row in runs], dtype=np.float64)


def source_cost(planned: Plan, variant: Variant) -> int:
    """Steps behind one run of an arm: its source's up to its checkpoint, or the target's that a control begins with;
    0 where what the source cost is not known."""
    first = planned.of(variant.name)[0]
    if (carried := first.config.transfer) is None:
        return first.shift
    step = carried.get("source_step")
    return planned.source_steps if step is None else int(step)
