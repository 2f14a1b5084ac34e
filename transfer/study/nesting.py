"""From an arm's finished runs to the rows that are compared: one a seed, or one a source where seeds are nested in it.

Where each target seed starts from each of several sources, two runs of one source are no independent observations of
what transfer is worth: the source is drawn anew less often than the target's seed. So the source is the unit, and its
observation is the mean over its target seeds. Of n sources with m seeds each, with variances σₛ² between the sources
and σₜ² within them, the mean of these means has the variance (σₛ² + σₜ²/m)/n, which is what its spread estimates,
balanced as it is. Metrics that are linear in the scores (jumpstart, asymptotic performance, total reward) are the
means of those of the runs; a time to threshold is that of a source's mean curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer.controls import Variant
from transfer.study.data import NestedScores, Scores
from transfer.study.plan import Plan, PlannedRun, source_run


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


def rows_of(finished: Sequence[Finished], n_evaluations: int) -> dict[str, Any]:
    """What `ArmData` holds of finished runs: `scores`, `seeds`, `run_keys`, `before`, `unseen`, and `nested`."""
    if any(each.run.source_seed is not None for each in finished):
        return _by_source(finished, n_evaluations)
    return {
        "scores": np.array([each.scores for each in finished], dtype=np.float64).reshape(-1, n_evaluations),
        "seeds": tuple(each.run.seed for each in finished),
        "run_keys": tuple(each.run.key for each in finished),
        "before": tuple(each.before for each in finished),
        "unseen": tuple(each.unseen for each in finished),
    }


def _by_source(finished: Sequence[Finished], n_evaluations: int) -> dict[str, Any]:
    """A row for each source: the mean over its target seeds. A source without a finished run has none."""
    sources = sorted({each.run.source_seed for each in finished if each.run.source_seed is not None})
    seeds = tuple(dict.fromkeys(each.run.seed for each in finished))
    at = {(each.run.source_seed, each.run.seed): each for each in finished}
    runs = [[at.get((source, seed)) for seed in seeds] for source in sources]
    nothing = np.full(n_evaluations, np.nan)
    scores = np.array([[each.scores if each else nothing for each in row] for row in runs], dtype=np.float64)
    groups = [[each for each in row if each] for row in runs]
    return {
        "scores": np.array([np.mean([each.scores for each in row], axis=0) for row in groups]),
        "seeds": tuple(sources),
        "run_keys": tuple(" ".join(each.run.key for each in row) for row in groups),
        "before": tuple(max(each.before for each in row) for row in groups),
        "unseen": tuple(max(each.unseen for each in row) for row in groups),
        "nested": NestedScores(
            tuple(sources), seeds, scores, tuple(tuple(each.run.key if each else None for each in row) for row in runs)
        ),
    }


def source_cost(planned: Plan, variant: Variant) -> int:
    """Steps behind one run of an arm: its source's up to its checkpoint, or the target's that a control begins with."""
    first = planned.of(variant.name)[0]
    if (carried := first.config.transfer) is None:
        return first.shift
    sources = planned.of("source")
    budget = sources[0].config.steps if sources else source_run(planned.study, planned.root).config.steps
    step = carried.get("source_step")
    return budget if step is None else int(step)
