"""PettingZoo's parallel games as an SB3 VecEnv whose agents share one policy.

Every agent of every copy of the game is one slot of the VecEnv: with three agents, slots 0 to 2 are the first copy's.
Truncation stays apart from termination, as in SB3's own DummyVecEnv.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn, tile_images

from envs.errors import ConfigError, GameError

Game: TypeAlias = ParallelEnv[str, Any, Any]


class ParallelVecEnv(VecEnv):
    """Copies of one PettingZoo game, (n_copies · n_agents) slots.

    `seed(s)` gives copy k the seed s + k at its next reset. Infos carry "terminal_observation",
    "TimeLimit.truncated" and, for each agent, "episode" {"r", "l", "t"}.

    Args:
        make: returns a new ParallelEnv, or an AECEnv that is parallelisable; called once a copy.
        n_copies: how many copies.

    Raises:
        ConfigError: the agents' spaces differ, or are of a kind that cannot be stacked.
        GameError: an agent leaves while others play on, or is left out of what a step returns.
    """

    def __init__(self, make: Callable[[], Any], n_copies: int = 1) -> None:
        self.copies = [_parallel(make()) for _ in range(n_copies)]
        self.agents = tuple(self.copies[0].possible_agents)
        self._clock = time.monotonic()
        observation_space, action_space = shared_spaces(self.copies[0])
        super().__init__(len(self.copies) * len(self.agents), observation_space, action_space)
        self.metadata = {**self.copies[0].metadata, **self.metadata}
        self._observations = np.zeros((self.num_envs, *(observation_space.shape or ())), observation_space.dtype)
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=int)
        self._actions: np.ndarray = np.zeros(0)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seeds for the next reset, one a slot: copy k's agents share s + k."""
        firsts = super().seed(seed)[: len(self.copies)]
        self._seeds = [first for first in firsts for _ in self.agents]
        return self._seeds

    def reset(self) -> np.ndarray:
        """First observations, (slots, …)."""
        for copy in range(len(self.copies)):
            first = copy * len(self.agents)
            self._begin(copy, seed=self._seeds[first], options=self._options[first] or None)
        self._reset_seeds()
        self._reset_options()
        return self._observations.copy()

    def step_async(self, actions: np.ndarray) -> None:
        """Remember one action a slot."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every copy; a copy whose episode ended begins the next."""
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=bool)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for copy in range(len(self.copies)):
            self._step_copy(copy, rewards, dones, infos)
        return self._observations.copy(), rewards, dones, infos

    def _step_copy(self, copy: int, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        """Step one copy and write its agents' slots of the three."""
        slots = dict(zip(self.agents, range(copy * len(self.agents), self.num_envs), strict=False))
        actions = {agent: self._action(slot) for agent, slot in slots.items()}
        observations, gains, terminations, truncations, about = self.copies[copy].step(actions)
        self._store(slots, observations, "observation")
        _require(gains, slots, "reward")
        for agent, slot in slots.items():
            terminated = bool(terminations.get(agent, False))
            truncated = bool(truncations.get(agent, False))
            rewards[slot], dones[slot] = gains[agent], terminated or truncated
            self._returns[slot] += float(gains[agent])
            self._lengths[slot] += 1
            infos[slot] = dict(about.get(agent, {}))
            infos[slot]["TimeLimit.truncated"] = truncated and not terminated
        over = [agent for agent, slot in slots.items() if dones[slot]]
        if over and len(over) < len(self.agents):
            raise GameError(
                f"{_names(over)} left the game while others play on; expected all agents to end together: "
                "wrap the game so that those who are out go on with observations of zeros and no reward"
            )
        if over:
            self._end(copy, slots, infos)

    def _end(self, copy: int, slots: Mapping[str, int], infos: list[dict[str, Any]]) -> None:
        """Write what the last step of an episode tells, and begin the next."""
        elapsed = round(time.monotonic() - self._clock, 6)
        for slot in slots.values():
            infos[slot]["terminal_observation"] = self._observations[slot].copy()
            infos[slot]["episode"] = {
                "r": round(float(self._returns[slot]), 6),
                "l": int(self._lengths[slot]),
                "t": elapsed,
            }
        self._begin(copy)

    def _begin(self, copy: int, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        slots = dict(zip(self.agents, range(copy * len(self.agents), self.num_envs), strict=False))
        observations, about = self.copies[copy].reset(seed=seed, options=options)
        self._store(slots, observations, "first observation")
        for agent, slot in slots.items():
            self._returns[slot], self._lengths[slot] = 0.0, 0
            self.reset_infos[slot] = dict(about.get(agent, {}))

    def _store(self, slots: Mapping[str, int], observations: Mapping[str, Any], what: str) -> None:
        _require(observations, slots, what)
        for agent, slot in slots.items():
            self._observations[slot] = observations[agent]

    def _action(self, slot: int) -> Any:
        action = self._actions[slot]
        return int(action) if isinstance(self.action_space, spaces.Discrete) else action

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One picture a slot; agents of one copy see the same one."""
        return [picture for picture in self._pictures() for _ in self.agents]

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """All copies in one picture, or each in its own window."""
        if self.render_mode != "rgb_array" or mode not in (None, "rgb_array"):
            return super().render(mode)
        return tile_images([picture for picture in self._pictures() if picture is not None])

    def _pictures(self) -> list[np.ndarray | None]:
        return [np.asarray(game.render()) if self.render_mode == "rgb_array" else None for game in self.copies]

    def close(self) -> None:
        """Close every copy."""
        for game in self.copies:
            game.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """A game's attribute, one value a slot. Raises AttributeError."""
        return [getattr(self._copy_of(slot), attr_name) for slot in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute on the games that own these slots, where they have it, below any wrapper."""
        for copy in self._copies_of(indices):
            inner = copy.unwrapped
            setattr(inner if hasattr(inner, attr_name) else copy, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a game's method once a copy; the answer is given for each slot."""
        answers = {
            id(copy): getattr(copy, method_name)(*method_args, **method_kwargs) for copy in self._copies_of(indices)
        }
        return [answers[id(self._copy_of(slot))] for slot in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Never: Gymnasium's wrappers are for single agents."""
        return [False for _ in self._get_indices(indices)]

    def _copy_of(self, slot: int) -> Game:
        return self.copies[slot // len(self.agents)]

    def _copies_of(self, indices: VecEnvIndices) -> list[Game]:
        return list({id(copy): copy for copy in map(self._copy_of, self._get_indices(indices))}.values())


def shared_spaces(game: Game) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """The observation and action space that all agents have. Raises ConfigError where they differ."""
    first, *others = game.possible_agents
    for what, space_of in (("observations", game.observation_space), ("actions", game.action_space)):
        different = [agent for agent in others if space_of(agent) != space_of(first)]
        if different:
            raise ConfigError(
                f"agents who share a policy need the same spaces, but the {what} of {_names(different)} "
                f"({space_of(different[0])}) differ from those of {first!r} ({space_of(first)}); pad them, "
                "for instance with SuperSuit's pad_observations_v0 and pad_action_space_v0"
            )
    return _as_float32(game.observation_space(first)), game.action_space(first)


def _parallel(game: Any) -> Game:
    if isinstance(game, AECEnv) and game.metadata.get("is_parallelizable", False):
        game = aec_to_parallel(game)
    if not isinstance(game, ParallelEnv):
        raise ConfigError(
            "expected a PettingZoo ParallelEnv, or an AECEnv whose metadata says is_parallelizable; "
            f"found {type(game).__name__}"
        )
    game.render_mode = getattr(game, "render_mode", None)
    return game


def _as_float32(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Networks read float32; integers stay as they are."""
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        with np.errstate(over="ignore"):  # float64's largest number becomes infinity
            return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
    if isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return space
    raise ConfigError(
        f"agents' observations of the kind {type(space).__name__} cannot be stacked; "
        "expected Box, Discrete, MultiDiscrete or MultiBinary"
    )


def _require(found: Mapping[str, Any], agents: Iterable[str], what: str) -> None:
    missing = [agent for agent in agents if agent not in found]
    if missing:
        raise GameError(
            f"the game returned no {what} for {_names(missing)}; expected one for each of possible_agents, "
            "from the first step of an episode to the last"
        )


def _names(agents: Iterable[str]) -> str:
    return ", ".join(repr(agent) for agent in agents)
