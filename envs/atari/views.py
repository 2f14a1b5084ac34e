"""What an Atari game is in, seen in another way: for `observation` in a task's changes.

So one game has two views, and a policy that reads the memory can teach one that looks at the screen:

    headstart train ALE/Freeway-v5 --change observation=envs.atari.views:ram
    headstart distill RUN --into observation=envs.atari.views:pixels
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.atari.console import RAM, memory_of
from envs.atari.single import AtariEnv
from envs.errors import ConfigError


class Ram(gymnasium.ObservationWrapper[np.ndarray, Any, np.ndarray]):
    """The memory, (128,) float32 from 0 to 1, in the place of what the game shows."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._game = _atari(env)
        self.observation_space = spaces.Box(0.0, 1.0, (RAM,), np.float32)
        names = {**env.metadata["headstart"], "features": memory_of(self._game.settings.game)}
        self.metadata = {**env.metadata, "headstart": names}

    def observation(self, observation: Any) -> np.ndarray:
        """The bytes of the state that the machine is in."""
        return self._game.console.ram()


def ram(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[np.ndarray, Any]:
    """The game's memory instead of its screen. Raises ConfigError for a game that is not Atari's."""
    return Ram(env)


def pixels(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[np.ndarray, Any]:
    """The game as it shows itself: nothing is changed. Raises ConfigError for a game that shows no screen."""
    if _atari(env).settings.obs_type != "pixels":
        raise ConfigError("view 'envs.atari.views:pixels': the game's obs_type is 'ram'; leave obs_type out")
    return env


def _atari(env: gymnasium.Env[Any, Any]) -> AtariEnv:
    inner = env.unwrapped
    if not isinstance(inner, AtariEnv):
        raise ConfigError(f"a view of envs.atari.views is of Atari games: found {type(inner).__name__}")
    return inner
