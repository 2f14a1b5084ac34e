"""A study's results as arrays: all that a report reads, and nothing of how they were made."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ArmData:
    """One arm: what its finished runs scored on the target."""

    name: str
    methods: tuple[str, ...]
    """Names of the methods, in order; none for `scratch`."""
    scores: Scores
    """Mean return of each evaluation's episodes (n_seeds, n_evaluations); one row per finished run."""
    seeds: tuple[int, ...]
    """The seed of each row (n_seeds,). Runs of two arms with one seed are a pair and share a source run."""
    run_keys: tuple[str, ...]
    """The run behind each row (n_seeds,)."""
    failed: tuple[str, ...] = ()
    """A line for each run that is not in `scores`: its seed and why."""
    first_step: int = 0
    """Target steps that anybody took before the first evaluation."""
    before: tuple[int, ...] = ()
    """Target steps that the methods took between the first evaluation and the learner's own first step (n_seeds,),
    such as a distillation's rollouts."""
    unseen: tuple[int, ...] = ()
    """Target steps that the methods took beside the learner, which did not see them (n_seeds,), such as a guide's."""
    control: str | None = None
    """What kind of control it is, such as ``shuffled teacher``; None for what the study compares. Controls are not in
    the family of the verdict's test."""
    beside: str | None = None
    """Of a control, the arm that it stands beside: `scratch`, or the arm whose teacher is not shuffled."""
    source_steps: int | None = None
    """Steps that come before the first one counted here: of a source up to the checkpoint that is carried, or of the
    control that has the source's budget; None: a source run's budget, of scratch 0."""
    nested: "NestedScores | None" = None
    """Where each target seed started from several sources: every run. Then a row of `scores` is the mean over the
    target seeds of one source, and `seeds` are the sources': a source is one observation. Of scratch a row is the mean
    over a block of as many seeds, and `seeds` number the blocks."""


@dataclass(frozen=True)
class NestedScores:
    """The runs of one arm, target seeds within source seeds; of scratch within blocks."""

    source_seeds: tuple[int, ...]
    """(n_sources,); of scratch the blocks' numbers."""
    target_seeds: tuple[tuple[int, ...], ...]
    """(n_sources, n_seeds)"""
    scores: Scores
    """Mean return of each evaluation (n_sources, n_seeds, n_evaluations); NaN throughout where no run finished."""
    run_keys: tuple[tuple[str | None, ...], ...]
    """The run of each (n_sources, n_seeds); None where none finished."""


@dataclass(frozen=True)
class StudyData:
    """One study: every arm on one grid of evaluations."""

    name: str
    study: dict[str, Any]
    """The study file as JSON, defaults filled in."""
    steps: NDArray[np.int64]
    """Target steps of the evaluations (n_evaluations,): 0 first, the budget last."""
    arms: dict[str, ArmData]
    """By name, in the file's order; `scratch` is one of them."""
    random: float | None = None
    """The target's score under random actions, where the catalogue knows it and nothing was changed."""
    reference: float | None = None
    """The target's score when solved, likewise."""
    thresholds: tuple[float, ...] = ()
    """Returns whose time to threshold is asked for; empty: the report chooses."""
    source_steps: int = 0
    """Budget of one source run, in source steps; 0: what the source cost is not known."""
    source_scores: Scores | None = None
    """Final mean return of each source run (n_source_seeds,); None where no source run was read."""
    shared_source: bool = False
    """One checkpoint serves all seeds: the results hold for this checkpoint only."""
    evaluation: dict[str, Any] = field(default_factory=dict)
    """The protocol: `every`, `episodes`, `mode` and whatever else decides a score."""
    differences: tuple[str, ...] = ()
    """What arms differ in besides their methods, a line each: settings, and what finished runs were made with."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """`versions`, `host`, and under `runs` the wall and CPU seconds of each run by its key."""

    def cost(self, arm: str) -> int:
        """Source steps behind one run of an arm."""
        own = self.arms[arm].source_steps
        known = 0 if arm == "scratch" else self.source_steps
        return known if own is None else own


@dataclass(frozen=True)
class DialData:
    """A study with a dial: one study's results at each of its values."""

    name: str
    study: dict[str, Any]
    """The study file as JSON, defaults filled in."""
    argument: str
    """What is turned."""
    values: tuple[int | float, ...]
    """Those that were measured, in the file's order."""
    labels: tuple[str, ...]
    """Their names, as in ``slip=0.1``; also of their folders."""
    points: tuple[StudyData, ...]
    """What was measured at each value."""
    missing: tuple[str, ...] = ()
    """A line for each value at which nothing was measured: its label and why."""
