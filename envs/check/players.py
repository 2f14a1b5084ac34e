"""Games as the checks play them: agents by name, whether the game has one agent or several."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from envs.check.report import Broken, Fault, kind_of, raised

ALONE = ""
"""The name of a game's only agent."""


@dataclass(frozen=True)
class Outcome:
    """What one agent got from a step or, without the last three, from a reset."""

    observation: Any
    reward: Any = None
    terminated: Any = None
    truncated: Any = None
    info: Any = None


class Player:
    """A game of one agent: a gymnasium.Env."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.agents: tuple[str, ...] = (ALONE,)
        self.lacking = [name for name in ("seed", "options") if not _accepts(env.unwrapped.reset, name)]
        self._stepped: Any = env.unwrapped if self.lacking else env  # wrappers hand on what reset() does not take

    def spaces(self, agent: str) -> tuple[Any, Any]:
        """The agent's observation and action space; None for one that is not there."""
        return _attribute(self.env, "observation_space"), _attribute(self.env, "action_space")

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> dict[str, Outcome]:
        """First observations. Raises Broken."""
        keywords = {"seed": seed, "options": options}
        accepted = {name: value for name, value in keywords.items() if name not in self.lacking}
        when = f"at reset(seed={seed})"
        try:
            result = self._stepped.reset(**accepted)
        except (Exception, SystemExit) as error:
            raise Broken(raised(error, when)) from error
        observations, info = _values(result, ("observation", "info"), "reset()")
        _dictionary(info, "reset()")
        about = self._per_agent(info, when)
        return {
            agent: Outcome(value, info=about.get(agent)) for agent, value in self._per_agent(observations, when).items()
        }

    def step(self, actions: Mapping[str, Any], when: str) -> dict[str, Outcome]:
        """What came of a step. Raises Broken."""
        try:
            result = self._stepped.step(self._joint(actions))
        except (Exception, SystemExit) as error:
            raise Broken(raised(error, when)) from error
        parts = ("observation", "reward", "terminated", "truncated", "info")
        *values, info = _values(result, parts, "step()")
        _dictionary(info, "step()")
        columns = [self._per_agent(value, when) for value in (*values, info)]
        return {agent: Outcome(*(column.get(agent) for column in columns)) for agent in columns[0]}

    def living(self) -> tuple[str, ...]:
        """The agents who act next."""
        return self.agents

    def _joint(self, actions: Mapping[str, Any]) -> Any:
        return actions[ALONE]

    def _per_agent(self, value: Any, when: str) -> dict[str, Any]:
        return {ALONE: value}


class Players(Player):
    """A game of several agents: a PettingZoo ParallelEnv."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.agents = tuple(env.possible_agents)

    def spaces(self, agent: str) -> tuple[Any, Any]:
        """The agent's observation and action space."""
        return self.env.observation_space(agent), self.env.action_space(agent)

    def living(self) -> tuple[str, ...]:
        """The agents who act next. Raises Broken for strangers."""
        living = tuple(self.env.agents)
        strangers = [agent for agent in living if agent not in self.agents]
        if strangers:
            raise Broken(
                Fault(
                    f"the agents {', '.join(map(repr, strangers))} appeared, who are not of possible_agents",
                    "agents of possible_agents alone",
                    "name them in possible_agents and let them begin with the others",
                )
            )
        return living

    def _joint(self, actions: Mapping[str, Any]) -> Any:
        return dict(actions)

    def _per_agent(self, value: Any, when: str) -> dict[str, Any]:
        if isinstance(value, Mapping):
            return {str(agent): part for agent, part in value.items() if agent in self.agents}
        raise Broken(
            Fault(
                f"a {kind_of(value)} was returned {when}",
                "a dictionary from agents to values, as PettingZoo's parallel games return",
                "return {agent: value for agent in self.agents}",
            )
        )


def player_of(env: Any) -> Player:
    """The player of a game. Raises Broken if it is nothing that can be played."""
    from pettingzoo import AECEnv, ParallelEnv

    if isinstance(env, AECEnv) and env.metadata.get("is_parallelizable", False):
        from pettingzoo.utils.conversions import aec_to_parallel

        env = aec_to_parallel(env)
    if isinstance(env, ParallelEnv):
        return Players(env)
    if isinstance(env, gymnasium.Env):
        return Player(env)
    raise Broken(Fault(f"the game is a {type(env).__name__}", _EXPECTED, _advice(env)))


_EXPECTED = "a gymnasium.Env, or a PettingZoo ParallelEnv"


def _advice(env: Any) -> str:
    if isinstance(env, VectorEnv):
        return "register the single environment as entry_point and the batch as vector_entry_point"
    if any(base.__module__.partition(".")[0] == "gym" for base in type(env).__mro__):
        return "replace `import gym` by `import gymnasium as gym`; reset() and step() return one value more there"
    if type(env).__mro__[1:2] and "AECEnv" in {base.__name__ for base in type(env).__mro__}:
        return "offer it as a parallel game: agents here act at the same time"
    return "let the class inherit from gymnasium.Env, and a factory return the environment it makes"


def _values(result: Any, parts: tuple[str, ...], method: str) -> Iterator[Any]:
    if isinstance(result, tuple) and len(result) == len(parts):
        return iter(result)
    found = f"{len(result)} values" if isinstance(result, tuple) else f"a {kind_of(result)}"
    raise Broken(
        Fault(
            f"{method} returned {found}",
            f"{len(parts)} values: {', '.join(parts)}",
            f"end {method} with `return {', '.join(parts)}`"
            + ("; `done` of the old Gym is terminated here, and a time limit is truncated" if len(parts) == 5 else ""),
        )
    )


def _dictionary(info: Any, method: str) -> None:
    if not isinstance(info, dict):
        raise Broken(
            Fault(
                f"the info that {method} returned is a {kind_of(info)}",
                "a dictionary, which may be empty",
                f"return {{}} as the last value of {method}",
            )
        )


def _attribute(env: Any, name: str) -> Any:
    try:
        return getattr(env, name)
    except AttributeError:
        return None


def _accepts(reset: Any, name: str) -> bool:
    """Whether a method takes this keyword."""
    try:
        parameters = inspect.signature(reset).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(kind.kind is inspect.Parameter.VAR_KEYWORD for kind in parameters.values())
