"""How far a study is: read from its run folders, by whoever asks and while others train, and when it will be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.evaluations import last_evaluation
from agents.pulse import read_pulse
from agents.runs import Run
from envs.errors import CheckpointError
from transfer.study.order import Group, Pace, played
from transfer.study.plan import Plan, PlannedRun, plan
from transfer.study.spec import Study

Phase = Literal["done", "running", "failed", "waiting"]

TIMED = 3
"""Finished runs of an arm whose times are read."""


@dataclass(frozen=True)
class RunStatus:
    """How far one run is."""

    arm: str
    seed: int
    key: str
    phase: Phase
    step: int
    """Steps taken, as its pulse or its last evaluation says."""
    steps: int
    """The budget."""
    score: float | None
    """Mean return of the last evaluation."""
    line: str | None
    """Why it failed."""
    at: str | None = None
    """The value of the study's dial, as in ``slip=0.1``."""


@dataclass(frozen=True)
class Forecast:
    """When what is unfinished will be done, in seconds from now, if all goes on as it went."""

    seconds: float
    arms: dict[Group, float]
    """Of each arm, at each value of the dial, that is not done."""


def study_status(study: Study, root: str | Path) -> list[RunStatus]:
    """How far each run is, in the order of the plan. Another process may be training them."""
    return statuses(plan(study, root))


def statuses(planned: Plan) -> list[RunStatus]:
    """The same of a plan."""
    return [_status(run, planned.run(run)) for run in planned.runs]


def _status(planned: PlannedRun, run: Run) -> RunStatus:
    phase: Phase = "waiting"
    state = run.state
    if state == "done":
        phase = "done"
    elif run.locked:
        phase = "running"
    elif state == "failed":
        phase = "failed"
    step, score = _last(run, planned.config.evaluation.episodes)
    line = run.failure if phase == "failed" else None
    return RunStatus(planned.arm, planned.seed, planned.key, phase, step, planned.config.steps, score, line, planned.at)


def _last(run: Run, episodes: int) -> tuple[int, float | None]:
    """Steps taken and the last score, of a run in whatever state."""
    try:
        found = last_evaluation(run.path / "evaluations.csv", episodes)
    except CheckpointError:
        found = None
    step, score = found or (0, None)
    pulse = None if run.done else read_pulse(run.path)
    return max(step, pulse.step if pulse else 0), score


def forecast(planned: Plan, found: Sequence[RunStatus]) -> Forecast | None:
    """When all will be done with as many at once as are running now; None if nothing runs or nothing was measured."""
    by_key = {status.key: status for status in found}
    running = {key for key, status in by_key.items() if status.phase == "running"}
    pace = measured_pace(planned, by_key)
    if not running or not pace.known:
        return None
    taken = {key: status.step for key, status in by_key.items()}
    todo = [run for key, run in planned.distinct.items() if by_key[key].phase in ("running", "waiting")]
    return foreseen(todo, taken, running, pace, len(running))


def foreseen(
    todo: Sequence[PlannedRun], taken: dict[str, int], running: set[str], pace: Pace, workers: int
) -> Forecast:
    """When what is to be done will be.

    Args:
        todo: what is unfinished, in the order in which it is started.
        taken: steps that each has taken, by key.
        running: keys of those under way; the others start from their beginning.
        pace: how long a step takes.
        workers: runs at once.
    """
    left = {
        run.key: pace.seconds(run, run.config.steps - (taken.get(run.key, 0) if run.key in running else 0))
        for run in todo
    }
    ends = played(todo, left, workers, running)
    arms: dict[Group, float] = {}
    for run in todo:
        group = run.arm, run.at
        arms[group] = max(arms.get(group, 0.0), ends.get(run.key, 0.0))
    return Forecast(max(ends.values(), default=0.0), arms)


def measured_pace(planned: Plan, found: dict[str, RunStatus]) -> Pace:
    """What a step takes: by the pulses of the runs that are under way, and of some that are finished."""
    pace, seen = Pace(), dict[Group, int]()
    for key, run in planned.distinct.items():
        phase, group = found[key].phase, (run.arm, run.at)
        if phase == "running" or (phase == "done" and seen.get(group, 0) < TIMED):
            pulse = read_pulse(planned.root / key)
            if pulse is not None and pulse.step > pulse.began:
                seen[group] = seen.get(group, 0) + (phase == "done")
                pace.add(run, pulse.step - pulse.began, pulse.seconds)
    return pace
