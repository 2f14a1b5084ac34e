"""MinAtar's five games (Young & Tian 2019), played through their package and made reproducible.

Three things are added. A seeded reset decides all that follows: the package's own last action survives a reset and,
with sticky actions, leaks into the next episode. Episodes end: MinAtar itself has no time limit, and a good player
of Breakout never returns, so episodes are truncated after 5000 steps, far above what is needed to tell good from
better play (Freeway ends itself after 2500). And planes and actions have names.

A batch steps the package's objects one after the other and puts what they say into arrays, with nothing between.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TimeLimit
from minatar import Environment

from envs.errors import ConfigError
from envs.headless import Window
from envs.registry import did_you_mean
from envs.same_step import each_seed, final_infos, to_reset

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
MAX_EPISODE_STEPS = 5000
ACTION_NAMES = {"n": "noop", "l": "left", "u": "up", "r": "right", "d": "down", "f": "fire"}
CELL = 24
"""Pixels a side of one of the 10x10 cells in a rendering."""
COLOURS = np.array(
    [
        (240, 228, 66),
        (230, 97, 0),
        (110, 110, 110),
        (0, 158, 115),
        (204, 51, 63),
        (86, 180, 233),
        (204, 121, 167),
        (0, 114, 178),
        (255, 255, 255),
        (166, 118, 29),
    ],
    dtype=np.uint8,
)
"""One colour a plane, RGB; told apart in grey by their brightness where planes meet."""


class MinAtarEnv(gymnasium.Env[np.ndarray, Any]):
    """One MinAtar game. Observations are (10, 10, planes) uint8, 0 or 1.

    Args:
        game: one of `GAMES`.
        sticky_action_prob: probability that the last action is repeated instead of the chosen one.
        difficulty_ramping: whether the game gets harder as it goes on.
        minimal_actions: whether only the actions that do something here are offered, else all six.
        render_mode: None, "rgb_array" or "human" (a pygame window).

    Raises UnknownName for another game, ConfigError for a probability outside [0, 1].
    """

    def __init__(
        self,
        game: str = "breakout",
        sticky_action_prob: float = 0.1,
        difficulty_ramping: bool = True,
        minimal_actions: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if game not in GAMES:
            raise did_you_mean("MinAtar game", str(game), GAMES)
        if not isinstance(sticky_action_prob, int | float) or not 0 <= sticky_action_prob <= 1:
            raise ConfigError(f"sticky_action_prob is a probability in [0, 1]; found {sticky_action_prob!r}")
        self.game = Environment(game, sticky_action_prob=sticky_action_prob, difficulty_ramping=difficulty_ramping)
        rules = self.game.env
        chosen = rules.minimal_action_set() if minimal_actions else range(self.game.num_actions())
        self.action_numbers = [int(number) for number in chosen]
        self.action_space = spaces.Discrete(len(self.action_numbers))
        self.observation_space = spaces.Box(0, 1, tuple(self.game.state_shape()), np.uint8)
        self.metadata = {
            "render_modes": ["human", "rgb_array"],
            "render_fps": 15,
            "headstart": {
                "features": tuple(sorted(rules.channels, key=rules.channels.get)),
                "actions": tuple(ACTION_NAMES[rules.action_map[number]] for number in self.action_numbers),
            },
        }
        self.render_mode = render_mode
        self._window = Window(self.metadata["render_fps"])
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new episode; with a seed, the same one every time."""
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self.game.seed(int(self.np_random.integers(2**32)))
            self._seeded = True
        self.game.last_action = 0
        self.game.reset()
        if self.render_mode == "human":
            self.render()
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One frame. `action` counts within the offered actions."""
        reward, terminated = self.game.act(self.action_numbers[action])
        if self.render_mode == "human":
            self.render()
        return self._observation(), float(reward), bool(terminated), False, {}

    def render(self) -> np.ndarray | None:
        """(240, 240, 3) uint8 in the mode "rgb_array"; a frame in the window in the mode "human"."""
        if self.render_mode is None:
            return None
        picture = draw(self.game.state())
        if self.render_mode == "rgb_array":
            return picture
        self._window.show(picture, f"MinAtar {self.game.game_name()}")
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def _observation(self) -> np.ndarray:
        state: np.ndarray = self.game.state()
        return state.astype(np.uint8)


class MinAtarVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batch of one MinAtar game; a game whose episode ends is reset in that same step.

    Environment i of a batch seeded with s is the single environment seeded with s + i.

    Args:
        num_envs: how many.
        max_episode_steps: an episode is truncated after this many steps; None: never.
        render_mode: None or "rgb_array".
        arguments: those of `MinAtarEnv`.

    Raises what `MinAtarEnv` does.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = MAX_EPISODE_STEPS,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        _must_be_a_limit(max_episode_steps)
        self.singles = [MinAtarEnv(**arguments) for _ in range(num_envs)]
        first = self.singles[0]
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.render_mode = render_mode
        self.metadata = {**first.metadata, "render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._numbers = np.array(first.action_numbers)
        self._acts = [single.game.act for single in self.singles]
        self._states = [single.game.env.state for single in self.singles]
        self._steps = np.zeros(num_envs, dtype=np.int64)

    @property  # type: ignore[override]  # as SyncVectorEnv's
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """One generator an environment."""
        return tuple(single.np_random for single in self.singles)

    @np_random.setter  # type: ignore[override]
    def np_random(self, value: Sequence[np.random.Generator]) -> None:
        for single, generator in zip(self.singles, value, strict=True):
            single.np_random = generator

    def observe(self) -> np.ndarray:
        """What the agents see now: (n_envs, 10, 10, planes) uint8, 0 or 1."""
        return np.array([state() for state in self._states], dtype=np.uint8)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: s seeds environment i with s + i; a sequence gives each its own; None goes on with their generators.
            options: `reset_mask` ((n_envs,) bool) resets only those.
        """
        seeds, which = each_seed(seed, self.num_envs), to_reset(options, self.num_envs)
        for index in which.tolist():
            self.singles[index].reset(seed=seeds[index])
        self._steps[which] = 0
        return self.observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One frame of every game. `actions` (n_envs,) count within the offered actions."""
        observations, rewards, terminated, truncated, ended, last = self.step_arrays(actions)
        return observations, rewards, terminated, truncated, final_infos(self.num_envs, ended, last)

    def step_arrays(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One frame of every game, in arrays alone.

        Returns:
            observations: of the episodes that are now under way.
            rewards, terminated, truncated: (n_envs,) float64 and bool.
            ended: (m,) int64, the games whose episode ended in this step.
            last: (m, 10, 10, planes), what these episodes ended with.
        """
        numbers = self._numbers[actions].tolist()
        outcomes = [act(number) for act, number in zip(self._acts, numbers, strict=True)]
        earned, over = zip(*outcomes, strict=True)
        rewards, terminated = np.array(earned, dtype=np.float64), np.array(over, dtype=np.bool_)
        self._steps += 1
        if self.max_episode_steps is None:
            truncated = np.zeros(self.num_envs, dtype=np.bool_)
        else:
            truncated = self._steps >= self.max_episode_steps
        observations = self.observe()
        ended = np.flatnonzero(terminated | truncated)
        last = observations[ended]
        for index in ended.tolist():
            observations[index], _ = self.singles[index].reset()
        self._steps[ended] = 0
        return observations, rewards, terminated, truncated, ended, last

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame of each game, (240, 240, 3) uint8."""
        if self.render_mode is None:
            return None
        return tuple(draw(state()) for state in self._states)


def make(
    game: str = "breakout",
    sticky_action_prob: float = 0.1,
    difficulty_ramping: bool = True,
    minimal_actions: bool = True,
    max_episode_steps: int | None = MAX_EPISODE_STEPS,
    render_mode: str | None = None,
) -> gymnasium.Env[np.ndarray, Any]:
    """A MinAtar game with a time limit (None: none). Other arguments and errors: see `MinAtarEnv`."""
    _must_be_a_limit(max_episode_steps)
    env = MinAtarEnv(game, sticky_action_prob, difficulty_ramping, minimal_actions, render_mode)
    return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)


def _must_be_a_limit(steps: Any) -> None:
    """Raises ConfigError for a time limit that is none."""
    if steps is not None and (not isinstance(steps, int | np.integer) or steps < 1):
        raise ConfigError(f"max_episode_steps is a whole number of at least 1, or none; found {steps!r}")


def draw(state: np.ndarray) -> np.ndarray:
    """A picture of planes, (rows, columns, planes) → (rows·CELL, columns·CELL, 3) uint8; higher planes lie on top."""
    top = state.shape[2] - 1 - np.argmax(state[:, :, ::-1], axis=2)
    cells = np.where(state.any(axis=2, keepdims=True), COLOURS[top], np.uint8(0))
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)
