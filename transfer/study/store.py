"""What a study has come to, read from run folders and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np

from agents.config import Evaluation
from agents.evaluation import default_mode
from agents.runs import Run
from envs.catalogue import Game, find_game
from envs.errors import ConfigError
from transfer.study.data import ArmData, DialData, StudyData
from transfer.study.fairness import unlike_runs
from transfer.study.nesting import Finished, rows_of, source_cost
from transfer.study.plan import Plan, PlannedRun, plan, source_run, unfair
from transfer.study.spec import SCRATCH, SOURCE, Study


def collect(study: Study, root: str | Path) -> StudyData | DialData:
    """The finished runs of a study as arrays. Raises ConfigError if none is finished on the target."""
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
        study=study.model_dump(mode="json"),
        argument=study.dial.argument,
        values=tuple(value for value in study.dial.values if study.dial.label(value) in points),
        labels=tuple(points),
        points=tuple(points.values()),
        missing=tuple(missing),
    )


def _collected(planned: Plan) -> StudyData:
    """What was measured without a dial, or at one of its values."""
    study = planned.study
    steps = _grid(planned)
    arms = {name: _arm(planned, name, steps) for name in planned.arms}
    game = _game_as_it_is(study)
    sources = _source_runs(planned)
    config = planned.of(SCRATCH)[0].config
    return StudyData(
        name=study.name,
        study=study.model_dump(mode="json"),
        steps=steps,
        arms=arms,
        random=game.random if game else None,
        reference=game.reference if game else None,
        thresholds=study.thresholds or ((game.threshold,) if game and game.threshold is not None else ()),
        source_steps=sources[0].config.steps if sources else study.source.steps or 0,
        source_scores=np.array([run.evaluations().means[-1] for run in sources]) if sources else None,
        shared_source=study.source.shared,
        evaluation=_protocol(study.evaluation, config.algorithm, config.steps),
        differences=(*unfair(study, planned.runs), *unlike_runs(_said_by(planned))),
        provenance=_provenance(planned, sources),
    )


def _grid(planned: Plan) -> np.ndarray:
    """The steps of the evaluations on the target (n_evaluations,), those of the first finished run."""
    for run in planned.runs:
        if run.arm != SOURCE and planned.run(run).state == "done":
            return _aligned(run, planned.run(run))[0]
    raise ConfigError(
        f"study {planned.study.name!r} has no finished run on its target yet under {planned.root}: run headstart study"
    )


def _aligned(planned: PlannedRun, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Steps and mean returns of a run's evaluations as arms are compared, both (n_evaluations,).

    Of a control that was trained for longer, from the step that counts as 0.
    """
    evaluations = run.evaluations()
    counted = evaluations.steps >= planned.shift
    return evaluations.steps[counted] - planned.shift, evaluations.means[counted]


def _arm(planned: Plan, name: str, steps: np.ndarray) -> ArmData:
    """One arm's finished runs; the others are told of, never dropped in silence."""
    variant, missing = planned.arms[name], []
    finished: list[Finished] = []
    for run in planned.of(name):
        folder = planned.run(run)
        where = f"seed {run.seed}" if run.source_seed is None else f"source {run.source_seed}, seed {run.seed}"
        if folder.state != "done":
            missing.append(f"{where}: {folder.failure or 'not trained to its end'}")
            continue
        at, scores = _aligned(run, folder)
        if not np.array_equal(at, steps):
            missing.append(f"{where}: evaluated at other steps than the other runs")
            continue
        origin = folder.provenance
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


def _source_runs(planned: Plan) -> list[Run]:
    """The finished source runs."""
    if planned.study.source.run is not None:
        return [source_run(planned.study, planned.root)]
    runs = [planned.run(run) for run in planned.of(SOURCE)]
    return [run for run in runs if run.state == "done"]


def _game_as_it_is(study: Study) -> Game | None:
    """What the catalogue knows of the target; None where the study changes it, as its scores no longer hold."""
    if study.target.arguments or not study.target.change.nothing:
        return None
    return find_game(study.target.game)


def _protocol(evaluation: Evaluation, algorithm: str, steps: int) -> dict[str, Any]:
    """How runs on the target are evaluated, defaults filled in."""
    return {
        "every": evaluation.grid(steps)[1],
        "episodes": evaluation.episodes,
        "mode": evaluation.mode or default_mode(algorithm),
        "evaluations": len(evaluation.grid(steps)),
        "algorithm": algorithm,
    }


def _said_by(planned: Plan) -> dict[str, list[dict[str, Any]]]:
    """What the finished runs of each arm say of themselves."""
    said: dict[str, list[dict[str, Any]]] = {}
    for run in planned.runs:
        if run.arm != SOURCE and planned.run(run).state == "done":
            said.setdefault(run.arm, []).append(planned.run(run).provenance)
    return said


def _provenance(planned: Plan, sources: list[Run]) -> dict[str, Any]:
    """What the runs say of themselves, by key; versions and host are those of the first that says them."""
    folders = {run.key: run for run in (*(planned.run(run) for run in planned.distinct.values()), *sources)}
    runs = {key: run.provenance for key, run in folders.items() if run.state == "done"}
    first = next(iter(runs.values()), {})
    return {**{name: first[name] for name in ("versions", "host") if name in first}, "runs": runs}
