"""MiniGrid: the agent's partial view as symbols, without the compass and the mission text.

The view is three channels of small integers, an object, its colour and its state, and no picture: a key (5) is not
brighter than a door (4). Its space therefore says how many symbols each channel has, so that no learner divides it
by 255, and encoders can turn each channel into one plane per symbol.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.errors import ConfigError

HIGHEST = (10, 5, 2)
"""The largest object, colour and state, as MiniGrid numbers them. The agent's own cell shows what it carries."""
FEATURES = ("object", "colour", "state")
ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")


class Symbols(gymnasium.ObservationWrapper[np.ndarray, int, dict[str, Any]]):
    """Keeps a MiniGrid observation's "image", (view, view, 3) uint8."""

    def __init__(self, env: gymnasium.Env[dict[str, Any], int]) -> None:
        super().__init__(env)
        self.observation_space = symbol_space(env.observation_space)
        self.metadata = {**env.metadata, "headstart": {"features": FEATURES, "actions": ACTIONS}}

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """The view alone."""
        image: np.ndarray = observation["image"]
        return image


def symbols(env: gymnasium.Env[dict[str, Any], int]) -> Symbols:
    """A MiniGrid game whose observations are symbols. Raises ConfigError if the game is not MiniGrid's."""
    return Symbols(env)


def symbol_space(space: spaces.Space[Any]) -> spaces.Box:
    """Box(uint8), as MiniGrid's "image" but with the true bound of each channel."""
    image = space.spaces.get("image") if isinstance(space, spaces.Dict) else None
    if not isinstance(image, spaces.Box) or len(image.shape) != 3 or image.shape[2] != len(HIGHEST):
        raise ConfigError(
            f"symbols are made of MiniGrid's observations, a Dict with an 'image' of (view, view, 3); found {space}"
        )
    return spaces.Box(0, np.broadcast_to(np.array(HIGHEST, np.uint8), image.shape), dtype=np.uint8)
