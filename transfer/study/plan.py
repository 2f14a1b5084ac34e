"""From a study file to its runs, and all that can be checked of them before anything is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.algorithms import resolve
from agents.config import RunConfig
from agents.runs import Run, find_run
from envs.catalogue import find_game
from envs.errors import CheckpointError, HeadstartError
from envs.task import Task
from envs.validation import validated
from transfer.carry import Carry, carrying
from transfer.statistics import LEVEL, can_reject, smallest_p
from transfer.study.spec import SCRATCH, SOURCE, Study


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: whose it is, and which run it needs."""

    arm: str
    """The arm, or `source`."""
    seed: int
    """The study's seed; of a shared source the first."""
    config: RunConfig
    """What decides it."""
    after: str | None = None
    """The key of the source run that must be finished before."""
    at: str | None = None
    """The value of the study's dial, as in ``slip=0.1``; None without a dial, and of sources."""

    @cached_property
    def key(self) -> str:
        """The name of its folder."""
        return self.config.key()

    def __str__(self) -> str:
        return f"{self.arm} {self.at} seed {self.seed}" if self.at else f"{self.arm} seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """All runs of a study, or of one value of its dial."""

    study: Study
    root: Path
    """Where runs live."""
    runs: tuple[PlannedRun, ...]
    """Sources first, then the arms in the file's order, each by seed, at one value of a dial after the other. Two arms
    that are equal share their runs."""
    warnings: tuple[str, ...] = ()
    """What a reader of the results should know before they are made; a line each."""
    turned: tuple[tuple[str, "Plan"], ...] = ()
    """Of a study with a dial: the plan at each of its values, by label. They share the source runs."""

    @cached_property
    def distinct(self) -> dict[str, PlannedRun]:
        """Each training once, by key."""
        return {planned.key: planned for planned in reversed(self.runs)}

    def of(self, arm: str) -> list[PlannedRun]:
        """The runs of an arm, or of `source`, by seed."""
        return [planned for planned in self.runs if planned.arm == arm]

    def run(self, planned: PlannedRun) -> Run:
        """The folder, whether it is there or not."""
        return Run(self.root / planned.key)

    @cached_property
    def unfinished(self) -> dict[str, PlannedRun]:
        """What is still to be trained, when first asked."""
        return {key: planned for key, planned in self.distinct.items() if self.run(planned).state != "done"}

    @property
    def source_config(self) -> RunConfig:
        """What decides a source run; of several the first."""
        sources = self.of(SOURCE)
        return sources[0].config if sources else source_run(self.study, self.root).config

    @property
    def steps(self) -> int:
        """Transitions still to be trained."""
        return sum(planned.config.steps for planned in self.unfinished.values())


def plan(study: Study, root: str | Path) -> Plan:
    """Expand a study. Raises HeadstartError for a game, algorithm, method, option or hyperparameter that is wrong."""
    return _plan(study, Path(root)) if study.dial is None else _turned(study, Path(root))


def _turned(study: Study, root: Path) -> Plan:
    """A study with a dial: as many studies as it has values, on the same sources."""
    assert study.dial is not None
    plans = []
    for value in study.dial.values:
        with naming(f"dial {study.dial.label(value)}"):
            plans.append((study.dial.label(value), _plan(study.at(value), root)))
    arms = [replace(run, at=label) for label, planned in plans for run in planned.runs if run.arm != SOURCE]
    warnings = dict.fromkeys(line for _, planned in plans for line in planned.warnings)
    return Plan(study, root, (*plans[0][1].of(SOURCE), *arms), tuple(warnings), tuple(plans))


def _plan(study: Study, root: Path) -> Plan:
    """A study without a dial."""
    with naming("target"):
        target = _config(study.target.task, study.target.algorithm, study.target.set, study.target.steps)
        target = target.model_copy(update={"evaluation": study.evaluation})
    given = None if study.source.run is None else source_run(study, root)
    sources = [] if given else _sources(study)
    keys = {planned.seed: planned.key for planned in sources}
    arms = []
    for name, arm in study.arms.items():
        with naming(f"arms.{name}"):
            config = target
            if arm.set:
                values = resolve(target.task, target.algorithm, {**study.target.set, **arm.set})
                config = target.model_copy(update={"hyperparameters": values})
            for seed in study.seeds:
                source = given.key if given else keys.get(seed, keys[study.seeds[0]])
                carried = _carried(study, name, _with_seed(config, seed), source)
                after = None if given or carried.transfer is None else source
                arms.append(PlannedRun(name, seed, carried, after))
    return Plan(study, root, (*sources, *arms), tuple(_warnings(study)))


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Say where in the study file a mistake is."""
    try:
        yield
    except HeadstartError as error:
        raise type(error)(f"{where}: {error}") from error


def source_run(study: Study, root: Path) -> Run:
    """The finished run that a study names as its source. Raises UnknownName or CheckpointError."""
    run = find_run(str(study.source.run), root)
    if run.state != "done":
        raise CheckpointError(f"source.run: {run.path} is {run.state}; expected a finished run")
    if run.path.resolve().parent != root.resolve():
        raise CheckpointError(f"source.run: {run.path} is not under {root}; expected a run of --runs {root}")
    return run


def _sources(study: Study) -> list[PlannedRun]:
    """The source runs that the study trains: one a seed, or one for all."""
    source = study.source
    with naming("source"):
        config = _config(source.task, source.algorithm, source.set, source.steps or 0)
    config = config.model_copy(update={"evaluation": source.evaluation})
    seeds = study.seeds[:1] if source.shared else study.seeds
    return [PlannedRun(SOURCE, seed, _with_seed(config, seed)) for seed in seeds]


def _carried(study: Study, arm: str, config: RunConfig, source: str) -> RunConfig:
    """A run on the target with what its arm carries."""
    if arm == SCRATCH:
        return config
    document = {"source": source, "by": list(study.arms[arm].by), "mapping": study.mapping_of(arm)}
    return carrying(config, validated(Carry, document))


def _config(task: Task, algorithm: str, settings: dict[str, Any], steps: int) -> RunConfig:
    """One side's runs, for whatever seed."""
    find_game(task.game)
    values = resolve(task, algorithm, settings)
    return RunConfig(task=task, algorithm=algorithm, hyperparameters=values, steps=steps).with_sources()


def _with_seed(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"seed": seed})


def _warnings(study: Study) -> Iterator[str]:
    """What limits the conclusions, known before anything is trained."""
    others = len(study.arms) - 1
    if others == 0:
        yield "there is no arm besides scratch: nothing will be compared"
    elif not can_reject(len(study.seeds), others):
        yield (
            f"seeds: {len(study.seeds)}, arms besides scratch: {others}; that cannot give a verdict: the smallest "
            f"possible p is {smallest_p(len(study.seeds), others):.2g}, above {1 - LEVEL:.2g}; use more seeds"
        )
    if study.source.shared:
        yield "one source checkpoint serves all seeds: the results hold for this checkpoint only"
    for name, arm in study.arms.items():
        if arm.set and name != SCRATCH:
            yield f"arms.{name} sets {', '.join(arm.set)}: it differs from scratch in more than its methods"
    if study.arms[SCRATCH].set:
        yield f"arms.scratch sets {', '.join(study.arms[SCRATCH].set)}: the others differ in more than their methods"
