"""What a study has come to, read from run folders and nowhere else."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import Evaluation
from agents.evaluation import default_mode
from agents.runs import Run
from envs.catalogue import Game, find_game
from envs.engines import AUTO, ENGINE
from envs.errors import ConfigError
from transfer.study.data import ArmData, DialData, StudyData
from transfer.study.fairness import unlike_runs
from transfer.study.nesting import Finished, rows_of, source_cost
from transfer.study.plan import Plan, PlannedRun, plan, unfair
from transfer.study.spec import SCRATCH, SOURCE, Study


@dataclass(frozen=True)
class _Found:
    """What lies in the folders of a plan's runs. Each is looked at once, as reports read sweeps of thousands."""

    planned: Plan
    runs: dict[str, Run]
    """The finished ones by key."""

    @classmethod
    def of(cls, planned: Plan) -> "_Found":
        """As it is now."""
        folders = {key: planned.run(run) for key, run in planned.distinct.items()}
        return cls(planned, {key: run for key, run in folders.items() if run.done})

    @cached_property
    def said(self) -> dict[str, dict[str, Any]]:
        """The provenance of each finished run."""
        return {key: run.provenance for key, run in self.runs.items()}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the collector of cyclic garbage, which looks through a sweep's objects again and again for little."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def collect(study: Study, root: str | Path) -> StudyData | DialData:
    """The finished runs of a study as arrays. Raises ConfigError if none is finished on the target."""
    with undisturbed():
        planned = plan(study, root)
        return _turned(planned) if study.dial else _collected(planned)


def _turned(planned: Plan) -> DialData:
    """What was measured at each value of the dial. Raises ConfigError if nothing was."""
    study = planned.study
    assert study.dial is not None
    points, missing = {}, []
    for label, point in planned.turned:
        try:
            points[label] = _collected(point)
        except ConfigError as error:
            missing.append(f"{label}: {error}")
    if not points:
        raise ConfigError(missing[0])
    return DialData(
        name=study.name,
        study=_as_settled(planned),
        argument=study.dial.argument,
        values=tuple(value for value in study.dial.values if study.dial.label(value) in points),
        labels=tuple(points),
        points=tuple(points.values()),
        missing=tuple(missing),
    )


def _collected(planned: Plan) -> StudyData:
    """What was measured without a dial, or at one of its values."""
    study, found = planned.study, _Found.of(planned)
    steps = _grid(found)
    arms = {name: _arm(found, name, steps) for name in planned.arms}
    game = _game_as_it_is(study)
    sources = _source_runs(found)
    config = planned.of(SCRATCH)[0].config
    return StudyData(
        name=study.name,
        study=_as_settled(planned),
        steps=steps,
        arms=arms,
        random=game.random if game else None,
        reference=game.reference if game else None,
        thresholds=study.thresholds or ((game.threshold,) if game and game.threshold is not None else ()),
        source_steps=planned.source_steps,
        source_scores=_last_scores(planned, sources) if sources else None,
        shared_source=study.source.shared,
        evaluation=_protocol(study.evaluation, config.algorithm, config.steps),
        differences=(*unfair(study, planned.runs), *unlike_runs(_said_by(found))),
        provenance=_provenance(found, sources),
    )


def _grid(found: _Found) -> np.ndarray:
    """The steps of the evaluations on the target (n_evaluations,), those of the first finished run."""
    for run in found.planned.runs:
        if run.arm != SOURCE and run.key in found.runs:
            return _aligned(run, found.runs[run.key])[0]
    planned = found.planned
    raise ConfigError(
        f"study {planned.study.name!r} has no finished run on its target yet under {planned.root}: run headstart study"
    )


def _aligned(planned: PlannedRun, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Steps and mean returns of a run's evaluations as arms are compared, both (n_evaluations,).

    Of a control that was trained for longer, from the step that counts as 0.
    """
    evaluations = run.evaluations(planned.config)
    counted = evaluations.steps >= planned.shift
    return evaluations.steps[counted] - planned.shift, evaluations.means[counted]


def _arm(found: _Found, name: str, steps: np.ndarray) -> ArmData:
    """One arm's finished runs; the others are told of, never dropped in silence."""
    planned = found.planned
    variant, missing = planned.arms[name], []
    finished: list[Finished] = []
    for run in planned.of(name):
        where = f"seed {run.seed}" if run.source_seed is None else f"source {run.source_seed}, seed {run.seed}"
        if run.key not in found.runs:
            missing.append(f"{where}: {planned.run(run).failure or 'not trained to its end'}")
            continue
        at, scores = _aligned(run, found.runs[run.key])
        if not np.array_equal(at, steps):
            missing.append(f"{where}: evaluated at other steps than the other runs")
            continue
        origin = found.said[run.key]
        taken = (int(origin.get("steps_before_learning", 0)), int(origin.get("steps_unseen", 0)))
        finished.append(Finished(run, scores, *taken))
    return ArmData(
        name=name,
        methods=planned.study.arms[variant.arm].methods,
        **rows_of(finished, planned.of(name), len(steps)),
        failed=tuple(missing),
        first_step=int(steps[0]),
        control=variant.control,
        beside=variant.beside,
        source_steps=source_cost(planned, variant),
    )


def _source_runs(found: _Found) -> list[Run]:
    """The finished source runs."""
    planned = found.planned
    if (given := planned.given.source) is not None:
        return [] if given.run is None else [given.run]
    return [found.runs[run.key] for run in planned.of(SOURCE) if run.key in found.runs]


def _last_scores(planned: Plan, sources: list[Run]) -> np.ndarray:
    """The mean return of each source's last evaluation (n_sources,)."""
    configs = {run.key: run.config for run in planned.of(SOURCE)}
    return np.array([run.evaluations(configs.get(run.key)).means[-1] for run in sources])


def _as_settled(planned: Plan) -> dict[str, Any]:
    """The study file, with the engines that its runs are played by where it leaves them to the machine."""
    document = planned.study.model_dump(mode="json")
    sides = {SOURCE: planned.source_config, "target": planned.of(SCRATCH)[0].config}
    for side, config in sides.items():
        arguments = document[side]["arguments"]
        if arguments.get(ENGINE) == AUTO:
            del arguments[ENGINE]
            arguments |= {name: value for name, value in config.task.arguments.items() if name == ENGINE}
    return document


def _game_as_it_is(study: Study) -> Game | None:
    """What the catalogue knows of the target; None where the study changes it, as its scores no longer hold.

    What holds in training alone, or says how fast the game is played, is no change of what is scored.
    """
    game = find_game(study.target.game)
    changed = study.target.arguments.keys() - {*game.training, *game.speed}
    return None if changed or not study.target.change.nothing else game


def _protocol(evaluation: Evaluation, algorithm: str, steps: int) -> dict[str, Any]:
    """How runs on the target are evaluated, defaults filled in."""
    return {
        "every": evaluation.grid(steps)[1],
        "episodes": evaluation.episodes,
        "mode": evaluation.mode or default_mode(algorithm),
        "evaluations": len(evaluation.grid(steps)),
        "algorithm": algorithm,
    }


def _said_by(found: _Found) -> dict[str, list[dict[str, Any]]]:
    """What the finished runs of each arm say of themselves."""
    said: dict[str, list[dict[str, Any]]] = {}
    for run in found.planned.runs:
        if run.arm != SOURCE and run.key in found.runs:
            said.setdefault(run.arm, []).append(found.said[run.key])
    return said


def _provenance(found: _Found, sources: list[Run]) -> dict[str, Any]:
    """What the runs say of themselves, by key; versions and host are those of the first that says them."""
    runs = found.said | {run.key: run.provenance for run in sources if run.key not in found.said}
    first = next(iter(runs.values()), {})
    return {**{name: first[name] for name in ("versions", "host") if name in first}, "runs": runs}
