"""What a study takes as it is: its source, where it names one, and the further teachers of its arms.

Each is a finished run, or a policy that came without its run; such a one is kept beside the runs before anything is
trained, so that every worker finds it by its key, and a study that was killed goes on when the file is gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agents.runs import find_finished, is_policy
from agents.selfplay.references import resolved
from envs.errors import CheckpointError, ConfigError
from envs.task import Task
from transfer.sources import Known, Source, find_source, is_kept, kept
from transfer.study.sides import Source as SourceTable
from transfer.study.spec import Study, naming

SHOWN = 4
"""Kept policies that are named where one is missing."""


@dataclass(frozen=True)
class Given:
    """The teachers that a study does not train."""

    source: Known | None = None
    """Its source; None where it trains its own."""
    further: dict[str, tuple[Known, ...]] = field(default_factory=dict)
    """The teachers of each arm of the file besides the source."""

    @classmethod
    def of(cls, study: Study, root: Path) -> "Given":
        """Of a study; nothing is written. Raises UnknownName, CheckpointError or ConfigError."""
        source = _source(study.source, root)
        further = {}
        for name, arm in study.arms.items():
            with naming(f"arms.{name}"):
                further[name] = tuple(_teacher(ref, root) for ref in arm.further)
                if len({one.key for one in further[name]}) < len(further[name]):
                    raise ConfigError(
                        "further: a teacher is named twice; name each once, and weigh them by the method's weights"
                    )
        return cls(source, further)

    @property
    def all(self) -> dict[str, Known]:
        """All of them by key."""
        found = [one for of_arm in self.further.values() for one in of_arm]
        return {one.key: one for one in (*found, *([] if self.source is None else [self.source]))}

    def keep(self, root: Path) -> None:
        """See to it that workers find the policies that came without their runs."""
        for one in self.all.values():
            if isinstance(one, Source):
                one.keep(root)

    def uncounted(self, stated: int | None) -> Iterator[str]:
        """What teachers cost and is in no source budget, a line each. `stated`: of the source, by the study file."""
        if isinstance(self.source, Source):
            cost = (
                "is not known: nothing is charged" if stated is None else f"is as the file states it: {stated:,} steps"
            )
            yield f"the source is a policy without its run, {self.source.key}; what it cost {cost}"
        for name, teachers in self.further.items():
            if teachers:
                steps = sum(one.steps or 0 for one in teachers)
                unknown = sum(one.steps is None for one in teachers)
                more = f", and what {unknown} of them cost is not known" if unknown else ""
                yield (
                    f"arms.{name} has {len(teachers)} further {'teacher' if len(teachers) == 1 else 'teachers'}, which "
                    f"serve all seeds; their {steps:,} steps are not in the source's budget{more}"
                )


def _source(source: SourceTable, root: Path) -> Known | None:
    """The source that is there already; None where the study trains its own."""
    if source.policy is not None:
        with naming("source.policy"):
            return _alone(source.policy, root, resolved(source.task, root) if source.game is not None else None)
    if source.run is None:
        return None
    if is_policy(source.run) or is_kept(source.run, root):
        raise CheckpointError(
            f"source.run: {source.run} is a policy without its run; expected a run folder, a key or its beginning, or "
            f'instead of it policy = "{source.run}"'
        )
    return _run(source.run, root, "source.run")


def _teacher(ref: str, root: Path) -> Known:
    """A further teacher."""
    if not is_policy(ref) and not is_kept(ref, root):
        return _run(ref, root, "further")
    with naming("further"):
        if Path(ref).is_file():
            raise ConfigError(
                f"{ref}: a zip does not say in readable form what it plays; carry from it once by headstart transfer "
                "--game, and name the key of the policy that is then kept"
            )
        return _alone(ref, root, None)


def _run(ref: str, root: Path, where: str) -> Known:
    """A finished run, its policy not read."""
    run = find_finished(ref, root, where)
    return Known(run.key, run.config, run=run)


def _alone(ref: str, root: Path, task: Task | None) -> Source:
    """A policy that came without its run. Raises CheckpointError or ConfigError."""
    if not is_policy(ref) and not is_kept(ref, root):
        keys = [folder.name for folder in kept(root)]
        there = f"; kept under {root}: {', '.join(keys[:SHOWN])}{', …' if len(keys) > SHOWN else ''}" if keys else ""
        raise CheckpointError(
            f"found no policy at {ref}, expected a policy folder, a Stable-Baselines3 zip, or the key of a kept "
            f"policy{there}"
        )
    found = find_source(ref, root, task=task, game="source.game")
    if found.run is not None:
        at = "" if found.step is None else f" at step {found.step:,}, one of its checkpoints"
        raise ConfigError(f'{ref} is the policy of run {found.key}{at}: expected run = "{found.key}"')
    return found
