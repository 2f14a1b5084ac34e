"""A task: a game with its arguments and its changes. What a study file calls ``[source]`` and ``[target]``."""

import json
import math
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from envs.validation import validated


class Range(BaseModel):
    """What an argument is drawn from: any number from `low` to `high`; whole numbers, both included, if these are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float

    @property
    def whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Change(BaseModel):
    """How a game is customised. Nothing is changed by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # goal
    reward: str | None = None
    """``module:function``; called ``f(observation, action, reward, next_observation, terminated) -> float``."""
    # constraints
    time_limit: int | None = Field(default=None, ge=1)
    """Episodes are truncated after this many steps."""
    actions: tuple[int | str, ...] | None = None
    """The subset of discrete actions, by name or number, that the agent may take, in this order."""
    sticky: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that the last action is repeated instead of the chosen one (Machado et al. 2018)."""
    # structure
    observation: str | None = None
    """``module:wrapper``; called ``f(env) -> env`` on each single environment."""
    randomise: dict[str, tuple[Any, ...] | Range] = Field(default_factory=dict)
    """Arguments of the game that are drawn (see `envs.randomise`): argument → list of choices, or a table of `low` and
    `high`."""

    @field_validator("randomise", mode="before")
    @classmethod
    def _domains(cls, found: Any) -> Any:
        if not isinstance(found, dict):
            raise ValueError(f"found {found!r}, expected a table of arguments, such as {{ size = [5, 8] }}")
        return {str(name): _domain(str(name), domain) for name, domain in found.items()}

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Tasks without randomisation are written, and their runs named, as they were before there was any."""
        document: dict[str, Any] = handler(self)
        return document if document.get("randomise") else {k: v for k, v in document.items() if k != "randomise"}

    @property
    def nothing(self) -> bool:
        """Whether the game is left as it is."""
        return self == Change()


class Task(BaseModel):
    """A game that an agent plays, as it was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """A catalogue id, any Gymnasium id, ``module:Id-v0``, or a plug-in's name."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the game, such as the physics of a CartPole."""
    change: Change = Field(default_factory=Change)
    """How the game is customised."""

    @model_validator(mode="after")
    def _given_once(self) -> Self:
        fixed = {**self.arguments, **({"max_episode_steps": 0} if self.change.time_limit is not None else {})}
        for name in self.change.randomise:
            if name in fixed:
                raise ValueError(f"the argument {name!r} is given and randomised: leave one of the two out")
        return self

    def __str__(self) -> str:
        changed = self.change.model_dump(mode="json", exclude_defaults=True)
        details = [f"{name}={_written(value)}" for name, value in {**self.arguments, **changed}.items()]
        return f"{self.game}({', '.join(details)})" if details else self.game

    @classmethod
    def customised(cls, game: str, settings: dict[str, Any]) -> "Task":
        """A task from flat settings: the names of `Change` change the game, all others are its arguments.

        ``arguments.NAME`` names an argument explicitly. Raises ConfigError.
        """
        change = {name: value for name, value in settings.items() if name in Change.model_fields}
        arguments = {name.removeprefix("arguments."): value for name, value in settings.items() if name not in change}
        return validated(cls, {"game": game, "arguments": arguments, "change": change}, "--change")

    def changed(self, settings: dict[str, Any]) -> "Task":
        """This task with flat settings, as those of `customised`, over its own arguments and changes."""
        arguments = {f"arguments.{name}": value for name, value in self.arguments.items()}
        own = self.change.model_dump(exclude_defaults=True)
        return Task.customised(self.game, {**arguments, **own, **settings})


def _written(value: Any) -> str:
    """A value as it is typed after `--change NAME=`."""
    return json.dumps(value) if isinstance(value, list | tuple | bool | dict) else str(value)


def _domain(name: str, found: Any) -> tuple[Any, ...] | Range:
    """What an argument is drawn from. Raises ValueError if that is neither choices nor a range."""
    if isinstance(found, Range):
        found = found.model_dump()
    if isinstance(found, list | tuple) and len(found) > 0:
        return tuple(found)
    ends: list[Any] = [found.get(end) for end in ("low", "high")] if isinstance(found, dict) and len(found) == 2 else []
    if not ends or not all(type(end) in (int, float) and math.isfinite(end) for end in ends):
        raise ValueError(f"{name}: found {found!r}, expected a list of choices, or {{ low = …, high = … }}")
    if ends[0] > ends[1]:
        raise ValueError(f"{name}: low is {ends[0]} and high {ends[1]}: expected low at most high")
    return Range(low=ends[0], high=ends[1])
