"""A game, customised: its goal, its constraints, its structure.

Single environments are changed with Gymnasium's own wrappers. Gymnasium's vector wrappers have no sticky actions,
subset of actions or reward of observations, so our batched games are changed by the vector wrappers below; both ways
give the same trajectories.

The layers, from the game outwards: reward (it sees the game's own observations, and the actions that were carried out),
observation, sticky actions, subset of actions. A time limit takes the place of the one the game is registered with.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import StickyAction, TransformAction

from envs.catalogue import makers
from envs.errors import ConfigError, GameError
from envs.registry import did_you_mean, load_callable
from envs.task import Change

Array = npt.NDArray[Any]
Reward = Callable[[Any, Any, float, Any, bool], float]


def source_of(target: str) -> str:
    """SHA-256 of the source text of the module behind `module:function`: the function with all it may call there.

    Raises ConfigError if there is no such function, or no source.
    """
    load_callable(target, kind="function")
    module = target.partition(":")[0]
    source = source_of_module(module)
    if source is None:
        raise ConfigError(f"function {target!r}: the module {module!r} has no Python source to tell versions by")
    return source


def source_of_game(name: str) -> dict[str, str]:
    """Module → SHA-256 of its source text, for the modules of other people that make a game.

    Empty for the games of the catalogue, whose numbers Headstart answers for, and for Gymnasium's own.
    """
    found = {module: source_of_module(module) for module in makers(name)}
    return {module: source for module, source in found.items() if source is not None}


def source_of_module(module: str) -> str | None:
    """SHA-256 of an imported module's source text; None if there is none."""
    try:
        text = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def change_env(env: gym.Env[Any, Any], change: Change, game: str, names: Sequence[str] | None) -> gym.Env[Any, Any]:
    """A single environment with the change, but for the time limit. `names` are those of the game's actions."""
    if change.reward is not None:
        env = RewardFunction(env, load_callable(change.reward, kind="reward"))
    if change.observation is not None:
        env = _observed(env, change.observation)
    if change.sticky:
        env = StickyAction(env, change.sticky)
    if change.actions is not None:
        chosen = action_subset(change.actions, env.action_space, game, names)
        env = TransformAction(env, lambda action: chosen[int(action)], spaces.Discrete(len(chosen)))
    return env


def change_batch(envs: VectorEnv[Any, Any, Any], change: Change, game: str, names: Sequence[str] | None) -> Any:
    """A batch of ours with the change, but for time limit and observation. Returns a VectorEnv."""
    if change.reward is not None:
        envs = BatchedReward(envs, load_callable(change.reward, kind="reward"))
    if change.sticky:
        envs = BatchedSticky(envs, change.sticky)
    if change.actions is not None:
        envs = BatchedSubset(envs, action_subset(change.actions, envs.single_action_space, game, names))
    return envs


def action_subset(
    wanted: Sequence[int | str], space: spaces.Space[Any], game: str, names: Sequence[str] | None
) -> npt.NDArray[np.int64]:
    """The game's numbers of the wanted actions, in their order. Raises ConfigError or UnknownName."""
    if not isinstance(space, spaces.Discrete):
        raise ConfigError(
            f"change 'actions' names discrete actions, but game {game!r} has {space}; leave the change out"
        )
    start, count = int(space.start), int(space.n)
    numbers = [_number(action, range(start, start + count), game, names) for action in wanted]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ConfigError(f"change 'actions' is {list(wanted)}: expected at least one action, each only once")
    return np.array(numbers, dtype=np.int64)


def subset_names(wanted: Sequence[int | str], names: Sequence[str] | None) -> tuple[str, ...] | None:
    """What the chosen actions are called, in their order; None where nobody named the game's actions."""
    if names is None:
        return None
    return tuple(action if isinstance(action, str) else names[action] for action in wanted)


def _number(action: int | str, known: range, game: str, names: Sequence[str] | None) -> int:
    if isinstance(action, str):
        if names is None:
            raise ConfigError(f"game {game!r} has no names for its {len(known)} actions: give numbers, not {action!r}")
        if action not in names:
            raise did_you_mean(f"action of game {game!r}:", action, names)
        return known[list(names).index(action)]
    if action not in known:
        raise ConfigError(f"game {game!r} has no action {action}: expected {known[0]} to {known[-1]}")
    return action


def _observed(env: gym.Env[Any, Any], target: str) -> gym.Env[Any, Any]:
    wrapped = load_callable(target, kind="observation")(env)
    if not isinstance(wrapped, gym.Env):
        raise ConfigError(f"observation {target!r} returned {type(wrapped).__name__}: expected a gymnasium.Env")
    return wrapped


class RewardFunction(gym.Wrapper[Any, Any, Any, Any]):
    """The reward is a function of the whole transition (Gymnasium's TransformReward sees the reward only)."""

    def __init__(self, env: gym.Env[Any, Any], function: Reward) -> None:
        super().__init__(env)
        self._function = function
        self._observation: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on by one step."""
        after, reward, terminated, truncated, info = self.env.step(action)
        changed = _reward(self._function, self._observation, action, float(reward), after, bool(terminated))
        self._observation = after
        return after, changed, terminated, truncated, info


class BatchedReward(VectorWrapper[Any, Any, Any, Any, Any]):
    """The same, for a SAME_STEP batch: the transition that ends an episode leads to its last observation."""

    def __init__(self, env: VectorEnv[Any, Any, Any], function: Reward) -> None:
        super().__init__(env)
        self._function = function
        self._observations: Any = None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes."""
        self._observations, infos = self.env.reset(seed=seed, options=options)
        return self._observations, infos

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Go on by one step."""
        before = self._observations
        self._observations, rewards, terminated, truncated, infos = self.env.step(actions)
        done = terminated | truncated
        changed = np.empty(len(rewards))
        for index in range(len(rewards)):
            after = infos["final_obs"][index] if done[index] else self._observations[index]
            changed[index] = _reward(
                self._function,
                before[index],
                actions[index],
                float(rewards[index]),
                after,
                bool(terminated[index]),
            )
        return self._observations, changed, terminated, truncated, infos

    def get_state(self) -> dict[str, Array]:
        """The batch's."""
        state: dict[str, Array] = self.env.get_state()  # type: ignore[attr-defined]
        return state

    def set_state(self, state: dict[str, Array]) -> None:
        """The batch's, and with it the observations that the next transition starts from."""
        self.env.set_state(state)  # type: ignore[attr-defined]
        self._observations = _base(self).observe()


class BatchedSticky(VectorWrapper[Any, Any, Any, Any, Any]):
    """Gymnasium's StickyAction for a batch: each environment draws from its own generator, as a single one would."""

    def __init__(self, env: VectorEnv[Any, Any, Any], probability: float) -> None:
        super().__init__(env)
        self._probability = probability
        _ = _base(self).np_random  # a grid world makes them when first asked; then they are part of its state
        self._last = np.zeros(env.num_envs, dtype=np.int64)
        self._fresh = np.ones(env.num_envs, dtype=np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes, in which there is no last action."""
        mask = (options or {}).get("reset_mask")
        self._fresh[slice(None) if mask is None else mask] = True
        return self.env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Go on by one step, some environments with their last action."""
        taken = np.array(actions, dtype=np.int64)
        draws: Any = _base(self).np_random
        for index in np.flatnonzero(~self._fresh):
            if draws[index].uniform() < self._probability:
                taken[index] = self._last[index]
        observations, rewards, terminated, truncated, infos = self.env.step(taken)
        self._last, self._fresh = taken, terminated | truncated
        return observations, rewards, terminated, truncated, infos

    def get_state(self) -> dict[str, Array]:
        """The batch's, and the last actions."""
        state = self.env.get_state()  # type: ignore[attr-defined]
        return {**state, "last_action": self._last.copy(), "no_last_action": self._fresh.copy()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned."""
        self.env.set_state(state)  # type: ignore[attr-defined]
        self._last, self._fresh = state["last_action"].copy(), state["no_last_action"].copy()


class BatchedSubset(VectorWrapper[Any, Any, Any, Any, Any]):
    """A subset of the actions, renumbered from 0."""

    def __init__(self, env: VectorEnv[Any, Any, Any], numbers: npt.NDArray[np.int64]) -> None:
        super().__init__(env)
        self._numbers = numbers
        self.single_action_space = spaces.Discrete(len(numbers))
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Go on by one step."""
        return self.env.step(self._numbers[np.asarray(actions)])


def _reward(function: Reward, before: Any, action: Any, reward: float, after: Any, terminated: bool) -> float:
    value = function(before, action, reward, after, terminated)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise GameError(f"the reward function returned {value!r}: expected a number") from error


def _base(envs: Any) -> Any:
    return envs.unwrapped
