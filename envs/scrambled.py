"""CartPole with its observation shuffled among noise and its actions in another order: the same game, told otherwise.

What an agent learns in CartPole is worth everything here once features and actions are mapped, and less than nothing
where they are mapped wrongly. So it is what mappings are tried on.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.cartpole import NAMES, CartPoleEnv, CartPoleVectorEnv
from envs.errors import ConfigError
from envs.registry import did_you_mean
from envs.same_step import final_infos, to_reset

Array = npt.NDArray[Any]

NOISE = "noise"
"""What a feature of noise is called in `order`; the agent sees `noise_1`, `noise_2`, …"""


class Scramble:
    """How observations and actions are told.

    Args:
        order: the features in their order; `noise` stands for one that says nothing, uniform in [-1, 1) at every step.
        actions: what each action does, in their order: `left` and `right`.
        action_names: what the actions are called; by default what they do.

    Raises UnknownName for another feature or action, ConfigError if one is given twice or an action is missing.
    """

    def __init__(
        self,
        order: Sequence[str] = tuple(NAMES["features"]),
        actions: Sequence[str] = tuple(NAMES["actions"]),
        action_names: Sequence[str] | None = None,
    ) -> None:
        for name in order:
            if name not in (*NAMES["features"], NOISE):
                raise did_you_mean("feature of CartPole", str(name), (*NAMES["features"], NOISE))
        for name in actions:
            if name not in NAMES["actions"]:
                raise did_you_mean("action of CartPole", str(name), NAMES["actions"])
        told = [name for name in order if name != NOISE]
        if len(set(told)) < len(told) or not order:
            raise ConfigError(f"order is {list(order)}: expected at least one feature, each but noise only once")
        if sorted(actions) != sorted(NAMES["actions"]):
            raise ConfigError(f"actions is {list(actions)}: expected left and right, each once")
        called = actions if action_names is None else action_names
        if len(set(called)) != len(actions):
            raise ConfigError(f"action_names is {list(called)}: expected {len(actions)} different names")
        self.columns = np.array([NAMES["features"].index(name) if name != NOISE else 0 for name in order])
        self.noisy = np.flatnonzero([name == NOISE for name in order])
        self.does = np.array([NAMES["actions"].index(name) for name in actions])
        numbered = iter(range(1, len(order) + 1))
        features = [f"{NOISE}_{next(numbered)}" if name == NOISE else name for name in order]
        self.names = {"features": features, "actions": list(called)}

    def space(self, own: spaces.Box) -> spaces.Box:
        """The observation space made of CartPole's own."""
        high = own.high[self.columns]
        high[self.noisy] = 1.0
        return spaces.Box(-high, high, dtype=np.float32)

    def observe(self, own: Array, keys: Array, steps: Array) -> Array:
        """CartPole's observations (n, 4), with each episode's key (n,) and steps so far (n,), as (n, features)."""
        told: Array = own[:, self.columns]
        told[:, self.noisy] = noise(keys, steps, len(self.noisy))
        return told


def noise(keys: Array, steps: Array, count: int) -> Array:
    """Numbers in [-1, 1), (n, count) float32, from keys (n,) uint64 and steps (n,): SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        counter = steps.astype(np.uint64)[:, None] * np.uint64(count) + np.arange(1, count + 1, dtype=np.uint64)
        z: Array = (keys[:, None] + counter * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    drawn: Array = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return drawn


class ScrambledVectorEnv(VectorEnv[Array, Array, Array]):
    """A batch of CartPoles, told otherwise; one whose episode ends is reset in that same step.

    Args:
        num_envs: how many.
        order, actions, action_names: of `Scramble`.
        keywords: of `CartPoleVectorEnv`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # Gymnasium declares it without ClassVar
        "render_modes": ["rgb_array"],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        order: Sequence[str] = tuple(NAMES["features"]),
        actions: Sequence[str] = tuple(NAMES["actions"]),
        action_names: Sequence[str] | None = None,
        **keywords: Any,
    ) -> None:
        self.scramble = Scramble(order, actions, action_names)
        self.game = CartPoleVectorEnv(num_envs, **keywords)
        self.num_envs = num_envs
        self.render_mode = self.game.render_mode
        self.metadata = {**self.metadata, "headstart": self.scramble.names}  # type: ignore[misc]
        self.single_observation_space = self.scramble.space(self.game.single_observation_space)  # type: ignore[arg-type]
        self.single_action_space = self.game.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._keys = np.zeros(num_envs, np.uint64)

    @property  # type: ignore[override]  # as SyncVectorEnv's
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """One generator an environment: the game's."""
        return self.game.np_random

    @np_random.setter  # type: ignore[override]
    def np_random(self, value: Sequence[np.random.Generator]) -> None:
        self.game.np_random = value

    def observe(self) -> Array:
        """What the agents see now: (n_envs, features) float32."""
        return self.scramble.observe(self.game.observe(), self._keys, self.game._steps)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start new episodes, as `CartPoleVectorEnv`."""
        self.game.reset(seed=seed, options=options)
        self._draw(to_reset(options, self.num_envs))
        return self.observe(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of every environment. `actions` is (n_envs,) of 0 and 1."""
        observations, rewards, terminated, truncated, ended, last = self.step_arrays(actions)
        return observations, rewards, terminated, truncated, final_infos(self.num_envs, ended, last)

    def step_arrays(self, actions: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
        """One step of every environment, in arrays alone, as `CartPoleVectorEnv`."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or not ((actions == 0) | (actions == 1)).all():
            raise ValueError(f"actions {actions.tolist()}: expected {self.num_envs} of 0 or 1")
        steps = self.game._steps + 1
        own, rewards, terminated, truncated, ended, last = self.game.step_arrays(self.scramble.does[actions])
        last = self.scramble.observe(last, self._keys[ended], steps[ended])
        self._draw(ended)
        told = self.scramble.observe(own, self._keys, self.game._steps)
        return told, rewards, terminated, truncated, ended, last

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, but the game: copies, each with a leading axis of n_envs."""
        return {**self.game.get_state(), "keys": self._keys.copy()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned."""
        self.game.set_state(state)
        self._keys = state["keys"].astype(np.uint64)

    def render(self) -> tuple[Array, ...] | None:
        """A frame of each environment, (400, 600, 3) uint8."""
        return self.game.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Give back the drawing surface."""
        self.game.close_extras(**kwargs)

    def _draw(self, which: Array) -> None:
        """Keys of the noise of new episodes, from each environment's own generator."""
        for index in which.tolist():
            self._keys[index] = self.game._generators[index].integers(2**63)


class ScrambledEnv(gym.Env[Array, Any]):
    """One CartPole, told otherwise. Its time limit is Gymnasium's TimeLimit, as for every single environment."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # type: ignore[misc]

    def __init__(
        self,
        *,
        order: Sequence[str] = tuple(NAMES["features"]),
        actions: Sequence[str] = tuple(NAMES["actions"]),
        action_names: Sequence[str] | None = None,
        **keywords: Any,
    ) -> None:
        self.scramble = Scramble(order, actions, action_names)
        self.game = CartPoleEnv(**keywords)
        self.render_mode = self.game.render_mode
        self.metadata = {**self.metadata, "headstart": self.scramble.names}  # type: ignore[misc]
        self.observation_space = self.scramble.space(self.game.observation_space)  # type: ignore[arg-type]
        self.action_space = self.game.action_space
        self._key, self._steps = np.zeros(1, np.uint64), np.zeros(1, np.int64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start a new episode, as `CartPoleEnv`."""
        super().reset(seed=seed)
        self.game.np_random = self.np_random  # one generator for both, as in a batch
        own, info = self.game.reset(options=options)
        self._key[0], self._steps[0] = self.game.np_random.integers(2**63), 0
        return self._told(own), info

    def step(self, action: int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step."""
        if action not in (0, 1):
            raise ValueError(f"action {action!r}: expected 0 or 1")
        own, reward, terminated, truncated, info = self.game.step(int(self.scramble.does[action]))
        self._steps += 1
        return self._told(own), reward, terminated, truncated, info

    def render(self) -> Array | None:
        """A frame, (400, 600, 3) uint8; or, for `human`, a window."""
        return self.game.render()

    def close(self) -> None:
        """Close the window."""
        self.game.close()

    def _told(self, own: Array) -> Array:
        told: Array = self.scramble.observe(own[None], self._key, self._steps)[0]
        return told
