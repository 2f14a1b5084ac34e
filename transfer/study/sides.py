"""The two sides of a study file: what arms are trained on, and where the knowledge comes from."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agents.config import Evaluation
from envs.errors import ConfigError
from envs.task import Change, Task

MOST_SEEDS = 10_000
"""More are a slip of the pen."""


class Part(BaseModel):
    """A table of a study file: nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Target(Part):
    """What the arms are trained on."""

    game: str
    """A catalogue id, any Gymnasium id, ``module:Id-v0``, or a plug-in's name."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the game."""
    change: Change = Field(default_factory=Change)
    """How the game is customised."""
    algorithm: str = "ppo"
    """A name of the registry of algorithms."""
    steps: int = Field(ge=1)
    """The budget of one run, in transitions."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Hyperparameters that differ from the preset."""

    @property
    def task(self) -> Task:
        """What is played."""
        return Task(game=self.game, arguments=self.arguments, change=self.change)


class Nested(Part):
    """Every target seed starts from each of several sources: n sources × the study's seeds."""

    nested: int = Field(ge=2, le=MOST_SEEDS)
    """How many sources, of the seeds 0, 1, …"""


BESIDE = {"run": {"checkpoints"}, "policy": {"game", "arguments", "change", "steps"}}
"""What of a source can be said of one that is there already."""


class Source(Part):
    """Where the knowledge comes from: runs that the study trains, or one run or policy that is there already."""

    game: str | None = None
    """As in the target. Of a policy, where that does not say what it played, as a zip."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """As in the target."""
    change: Change = Field(default_factory=Change)
    """As in the target."""
    algorithm: str = "ppo"
    """As in the target."""
    steps: int | None = Field(default=None, ge=1)
    """As in the target. Of a policy what its training took, which is charged as it is stated; by default not known."""
    set: dict[str, Any] = Field(default_factory=dict)
    """As in the target."""
    evaluation: Evaluation = Field(default_factory=Evaluation)
    """How source runs are evaluated; their own, so that studies with different targets share them."""
    seeds: Literal["paired", "shared"] | Nested = "paired"
    """`paired`: target seed i starts from source seed i. `shared`: all start from the source of the first seed, and
    the results hold for this checkpoint only. `{ nested = n }`: each target seed starts from each of n sources."""
    checkpoints: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Shares of a source's budget, such as 0.25: every arm is trained from the policy that the source had then, as an
    arm of its own. By default from the last policy alone."""
    run: str | None = None
    """The key or folder of a finished run that serves all seeds, instead of sources trained by the study."""
    policy: str | None = None
    """Likewise a policy that came without its run: its folder, a Stable-Baselines3 zip, or the key of one that is
    kept."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        for one, beside in BESIDE.items():
            others = sorted(self.model_fields_set - beside - {one})
            if getattr(self, one) is not None and others:
                more = "" if one == "run" else ", with game where it is a zip and steps where they are known"
                raise ValueError(f"found {one} together with {', '.join(others)}; expected {one} alone{more}")
        if self.policy is not None and self.game is None and self.model_fields_set & {"arguments", "change"}:
            raise ValueError("arguments and change are said of a game; expected game beside them")
        if self.run is None and self.policy is None and (self.game is None or self.steps is None):
            missing = " and ".join(name for name in ("game", "steps") if getattr(self, name) is None)
            raise ValueError(f"{missing} missing; expected game and steps, or run or policy of an earlier training")
        return self

    @field_validator("seeds", mode="before")
    @classmethod
    def _way_to_pair(cls, found: Any) -> Any:
        nested = found.get("nested") if isinstance(found, dict) and set(found) == {"nested"} else None
        if found in ("paired", "shared") or isinstance(found, Nested) or (type(nested) is int and nested >= 2):
            return found
        raise ValueError(f"found {found!r}, expected 'paired', 'shared' or {{ nested = n }} with n at least 2")

    @field_validator("checkpoints")
    @classmethod
    def _each_share_once(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(shares)) < len(shares):
            raise ValueError(f"found {list(shares)}, expected each share once")
        return shares

    @property
    def nested(self) -> int | None:
        """How many sources each target seed starts from; None unless seeds are nested."""
        return self.seeds.nested if isinstance(self.seeds, Nested) else None

    @property
    def shared(self) -> bool:
        """Whether one checkpoint serves all seeds."""
        return self.run is not None or self.policy is not None or self.seeds == "shared"

    @property
    def task(self) -> Task:
        """What source runs play. Raises ConfigError where the source says so itself."""
        if self.game is None:
            raise ConfigError(f"the source is {self.run or self.policy!r}, which says itself what it played")
        return Task(game=self.game, arguments=self.arguments, change=self.change)
