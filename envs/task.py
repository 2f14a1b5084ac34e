"""A task: a game with its arguments and its changes. What a study file calls ``[source]`` and ``[target]``."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from envs.validation import validated


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
    return json.dumps(value) if isinstance(value, list | tuple | bool) else str(value)
