"""From a study file to its runs, and all that can be checked of them before anything is trained."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.runs import Run
from agents.selfplay.references import resolved
from envs.catalogue import find_game
from envs.errors import CheckpointError, ConfigError
from envs.task import Task
from envs.validation import validated
from transfer.carry import Carry, carrying
from transfer.controls import Variant, variants
from transfer.method import Origin
from transfer.sources import Known
from transfer.statistics import LEVEL, correction, smallest_p
from transfer.study.fairness import unlike
from transfer.study.given import Given
from transfer.study.spec import SCRATCH, SOURCE, Study, naming


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
    source_seed: int | None = None
    """The seed of the source that it starts from, where each target seed starts from several."""
    block: int | None = None
    """Then, which observation it is a part of: the mean over the runs of one source; of scratch, over as many runs."""
    shift: int = 0
    """Steps that come before the one that counts as step 0 where arms are compared."""

    @cached_property
    def key(self) -> str:
        """The name of its folder."""
        return self.config.key()

    def __str__(self) -> str:
        origin = "" if self.source_seed is None else f" of source {self.source_seed}"
        return f"{self.arm} {self.at} seed {self.seed}{origin}" if self.at else f"{self.arm} seed {self.seed}{origin}"


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
    given: Given = field(default_factory=Given)
    """The teachers that it does not train."""

    @cached_property
    def arms(self) -> dict[str, Variant]:
        """All arms that are compared, by name: the file's, each from each source checkpoint, and the controls."""
        return variants(self.study)

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
    def source_config(self) -> RunConfig | Origin:
        """What decides the source; of several the first."""
        return self.of(SOURCE)[0].config if self.given.source is None else self.given.source.config

    @property
    def source_steps(self) -> int:
        """The budget of one source; 0 where what it cost is not known."""
        config = self.source_config
        return config.steps if isinstance(config, RunConfig) else self.study.source.steps or 0

    @property
    def steps(self) -> int:
        """Transitions still to be trained."""
        return sum(planned.config.steps for planned in self.unfinished.values())


def plan(study: Study, root: str | Path) -> Plan:
    """Expand a study. Raises HeadstartError for a game, algorithm, method, option or hyperparameter that is wrong."""
    given = Given.of(study, Path(root))
    return _plan(study, Path(root), given) if study.dial is None else _turned(study, Path(root), given)


def _turned(study: Study, root: Path, given: Given) -> Plan:
    """A study with a dial: as many studies as it has values, on the same sources."""
    assert study.dial is not None
    plans = []
    for value in study.dial.values:
        with naming(f"dial {study.dial.label(value)}"):
            plans.append((study.dial.label(value), _plan(study.at(value), root, given, len(study.dial.values))))
    arms = [replace(run, at=label) for label, planned in plans for run in planned.runs if run.arm != SOURCE]
    warnings = dict.fromkeys(line for _, planned in plans for line in planned.warnings)
    return Plan(study, root, (*plans[0][1].of(SOURCE), *arms), tuple(warnings), tuple(plans), given)


def _plan(study: Study, root: Path, given: Given, n_values: int = 1) -> Plan:
    """A study without a dial, or at one of so many values of its dial."""
    with naming("target"):
        task = resolved(study.target.task, root)
        target = _config(task, study.target.algorithm, study.target.set, study.target.steps)
        target = target.model_copy(update={"evaluation": study.evaluation})
    origins = Origins.of(study, root, given.source)
    arms: list[PlannedRun] = []
    for variant in variants(study).values():
        with naming(f"arms.{variant.name}"):
            config = target
            if own := study.arms[variant.arm].set:
                values = resolve(target.task, target.algorithm, {**study.target.set, **own})
                config = target.model_copy(update={"hyperparameters": values})
            teachers = [teacher.key for teacher in given.further[variant.arm]]
            arms += _runs(study, variant, config, origins, teachers)
    warnings = (*_warnings(study, arms, n_values), *given.uncounted(study.source.steps))
    return Plan(study, root, (*origins.runs, *arms), warnings, given=given)


def _runs(
    study: Study, variant: Variant, config: RunConfig, origins: "Origins", teachers: Sequence[str]
) -> Iterator[PlannedRun]:
    """The runs of one arm, by source seed where it starts from several, and by seed. `teachers`: further ones' keys."""
    if variant.control == "source budget":
        if not origins.steps:
            raise ConfigError(
                "what the source's policy cost is not known; state it as source.steps, or leave "
                "controls.source_budget out"
            )
        config = continued(config, origins.steps)
    if variant.arm == SCRATCH:
        shift = config.evaluation.through
        for block, seeds in _blocks(study):
            yield from (PlannedRun(variant.name, i, _with_seed(config, i), shift=shift, block=block) for i in seeds)
        return
    step = origins.step(variant.share)
    for source_seed, seed in itertools.product(origins.nested or (None,), study.seeds):
        source = origins.key(seed if source_seed is None else source_seed)
        told = {"source": source, "source_step": step, "shuffled": variant.control == "shuffled teacher"}
        mapping = study.mapping_of(variant.arm)
        if source in teachers:
            raise ConfigError(f"further: {source} is the source of seed {seed} already; expected others")
        others = [{"source": key, "mapping": mapping} for key in teachers]
        document = {**told, "by": list(study.arms[variant.arm].by), "mapping": mapping, "further": others}
        carried = carrying(_with_seed(config, seed), validated(Carry, document))
        after = source if origins.runs else None
        yield PlannedRun(variant.name, seed, carried, after, source_seed=source_seed, block=source_seed)


def _blocks(study: Study) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """The seeds of scratch. Where sources are nested, a block for each of as many seeds as an arm has for one source,
    so that a mean of scratch's runs can be exchanged with one of an arm's; further seeds are the next that are free.
    """
    if study.source.nested is None:
        yield None, study.seeds
        return
    free = (seed for seed in itertools.count() if seed not in study.seeds)
    yield 0, study.seeds
    for block in range(1, study.source.nested):
        yield block, tuple(itertools.islice(free, len(study.seeds)))


def continued(config: RunConfig, source_steps: int) -> RunConfig:
    """Scratch with the source's budget before the target's, evaluated from there on as the target's runs are."""
    every = config.evaluation.grid(config.steps)[1]
    evaluation = config.evaluation.model_copy(update={"every": every, "through": source_steps})
    return config.model_copy(update={"steps": source_steps + config.steps, "evaluation": evaluation})


@dataclass(frozen=True)
class Origins:
    """The sources of a study: those it trains, or the one it names."""

    steps: int
    """The budget of one of them; 0 where what it cost is not known."""
    runs: tuple[PlannedRun, ...]
    """Those that the study trains, by seed."""
    given: str | None = None
    """The key of the finished run or the policy that the study names instead."""
    nested: tuple[int, ...] = ()
    """The seeds of the sources where each target seed starts from all of them."""

    @classmethod
    def of(cls, study: Study, root: Path, given: Known | None) -> "Origins":
        """Of a study. Raises HeadstartError for a source that cannot be, or that kept no policy at a checkpoint."""
        source = study.source
        if given is not None:
            if given.run is not None:
                _check_kept(given.run, source.checkpoints)
            return cls(given.steps or source.steps or 0, (), given.key)
        with naming("source"):
            config = _config(resolved(source.task, root), source.algorithm, source.set, source.steps or 0)
        config = config.model_copy(update={"evaluation": _keeping(source.evaluation, source.checkpoints)})
        nested = tuple(range(source.nested or 0))
        seeds = nested or (study.seeds[:1] if source.shared else study.seeds)
        runs = tuple(PlannedRun(SOURCE, seed, _with_seed(config, seed)) for seed in seeds)
        return cls(config.steps, runs, None, nested)

    @cached_property
    def _keys(self) -> dict[int, str]:
        return {planned.seed: planned.key for planned in self.runs}

    def key(self, seed: int) -> str:
        """The key of the source of a seed; where one serves all, of that one."""
        return self.given or self._keys.get(seed) or self.runs[0].key

    def step(self, share: float | None) -> int | None:
        """The step at which the source's policy is taken; None for the last one."""
        return None if share is None or share == 1 else round(share * self.steps)


def _check_kept(run: Run, shares: Sequence[float]) -> None:
    """Raises CheckpointError if a finished run kept no policy at one of these shares of its budget."""
    kept = {*run.snapshots(), run.config.steps}
    for share in shares:
        if (step := round(share * run.config.steps)) not in kept:
            known = ", ".join(str(step) for step in sorted(kept))
            raise CheckpointError(f"source.checkpoints: run {run.key} kept no policy at step {step}; kept: {known}")


def _keeping(evaluation: Evaluation, shares: Sequence[float]) -> Evaluation:
    """An evaluation that keeps the policies at these shares of the budget; as it is where it keeps them already."""
    lacking = {share for share in shares if share < 1} - set(evaluation.snapshots)
    snapshots = tuple(sorted({*evaluation.snapshots, *lacking}))
    return evaluation.model_copy(update={"snapshots": snapshots}) if lacking else evaluation


def _config(task: Task, algorithm: str, settings: dict[str, Any], steps: int) -> RunConfig:
    """One side's runs, for whatever seed."""
    find_game(task.game)
    values = resolve(task, algorithm, settings)
    return RunConfig(task=task, algorithm=algorithm, hyperparameters=values, steps=steps).with_sources()


def _with_seed(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"seed": seed})


def _warnings(study: Study, runs: Sequence[PlannedRun], n_values: int) -> Iterator[str]:
    """What limits the conclusions, known before anything is trained."""
    n_seeds, others = len(study.seeds), sum(variant.control is None for variant in variants(study).values()) - 1
    if others == 0:
        yield "there is no arm besides scratch: nothing will be compared"
    else:
        n = study.source.nested or n_seeds
        smallest = smallest_p(n, others, corrected=correction(n, [n] * others, n_values))
        if smallest > 1 - LEVEL + 1e-12:
            more = f" ({study.source.nested} sources, each of which counts as one)" if study.source.nested else ""
            counted = "sources" if study.source.nested else "seeds"
            yield (
                f"seeds: {n_seeds}{more}, arms besides scratch: {others}; that cannot give a verdict: the smallest "
                f"possible p is {smallest:.2g}, above {1 - LEVEL:.2g}; use more {counted}"
            )
    if study.source.shared:
        yield "one source checkpoint serves all seeds: the results hold for this checkpoint only"
    yield from unfair(study, runs)


def unfair(study: Study, runs: Sequence[PlannedRun]) -> Iterator[str]:
    """What arms differ from scratch in besides their methods; what a control differs in is what it is for."""
    first: dict[str, PlannedRun] = {}
    for planned in runs:
        first.setdefault(planned.arm, planned)
    for variant in variants(study).values():
        if variant.control is None and (found := unlike(first[variant.name].config, first[SCRATCH].config)):
            yield f"arms.{variant.name} differs from scratch in more than its methods: {', '.join(found)}"
