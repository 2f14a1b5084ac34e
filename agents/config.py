"""What decides a run: on one machine and one torch build, a run is a pure function of its config."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from envs.engines import settled
from envs.task import Task

REVISION = 2
"""Raised whenever our own numbers change, so that no run of an older revision is taken for a new one."""

COMPUTING = ("torch", "stable-baselines3", "gymnasium", "numpy", "numba", "scipy")
"""Packages whose versions can change every run's numbers."""

Mode = Literal["sampled", "greedy"]


class Evaluation(BaseModel):
    """How a run is evaluated: on held-out seeds, at step 0 first, then on a fixed grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: int | None = Field(default=None, ge=1)
    """Steps between evaluations; by default a fortieth of the budget (2.5 %)."""
    episodes: int = Field(default=20, ge=1)
    """Episodes of each evaluation, one per environment, the same seeds each time."""
    mode: Mode | None = None
    """Actions sampled from the policy or greedy; by default sampled for on-policy learners, greedy for others."""
    snapshots: tuple[float, ...] = (0.0, 0.1, 0.5)
    """Fractions of the budget at which the policy is kept besides the last, for `headstart watch --step`."""
    through: int = Field(default=0, ge=0)
    """A step that the grid is laid through, so that the curve from there on has the grid of a run that begins there."""

    @model_serializer(mode="wrap")
    def _without_default(self, document: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `through` where it says nothing: the keys of runs that never heard of it stay."""
        found: dict[str, Any] = document(self)
        return found if self.through else {name: value for name, value in found.items() if name != "through"}

    def grid(self, steps: int) -> list[int]:
        """The steps at which a run of this budget is evaluated: 0 first, the budget last."""
        every = self.every or max(1, round(steps / 40))
        return sorted({0, *range(self.through % every, steps, every), steps})


class RunConfig(BaseModel):
    """One training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task
    """What is played."""
    algorithm: str = "ppo"
    """A name of the registry of algorithms."""
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    """The algorithm's, complete: preset and overrides merged. Includes `n_envs` and the architecture."""
    steps: int = Field(ge=1)
    """The budget, in transitions of the task over all its environments."""
    seed: int = Field(default=0, ge=0)
    """Decides everything random."""
    evaluation: Evaluation = Field(default_factory=Evaluation)
    """The protocol of evaluation."""
    threads: int = Field(default=1, ge=1)
    """Torch threads."""
    device: str = "cpu"
    """Torch device."""
    transfer: dict[str, Any] | None = None
    """What is carried into the run and how; written and read by the floor above, part of the key."""
    sources: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the source text of the modules that make a plug-in game, and behind every `module:function`."""

    @field_validator("task")
    @classmethod
    def _engine_settled(cls, task: Task) -> Task:
        """What stands for `engine = "auto"` on this machine decides the run, and so is part of its key."""
        return settled(task)

    def with_sources(self) -> "RunConfig":
        """The same run with the hashes of the user's code that its task runs: the game's and the functions'.

        Raises ConfigError or UnknownName.
        """
        from agents.selfplay.references import functions
        from envs.customise import source_of, source_of_game

        encoder = str(self.hyperparameters.get("encoder") or "")
        called = [self.task.change.reward, self.task.change.observation, encoder if ":" in encoder else None]
        called += functions(self.task)
        hashes = {target: source_of(target) for target in called if target is not None}
        return self.model_copy(update={"sources": {**self.sources, **source_of_game(self.task.game), **hashes}})

    def key(self) -> str:
        """16 hexadecimal digits: a hash of all that decides the weights and the evaluations."""
        from agents.provenance import packages_of

        packages = (*COMPUTING, *packages_of(self.task, self.algorithm))
        what = {
            "config": self.model_dump(mode="json"),
            "versions": {name: _version(name) for name in packages},
            "revision": REVISION,
        }
        text = json.dumps(what, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _version(distribution: str) -> str | None:
    return _found(version, distribution)


@cache  # reading a package's metadata takes a millisecond, and a sweep has 10,000 keys
def _found(ask: Callable[[str], str], distribution: str) -> str | None:
    try:
        return ask(distribution)
    except PackageNotFoundError:
        return None
