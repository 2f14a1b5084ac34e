"""The spaces that Stable-Baselines3's learners take, and the small changes that turn others into them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TransformAction, TransformObservation

from envs.errors import ConfigError


def count_from_zero(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Discrete actions counted from 0, as SB3 counts them."""
    space = env.action_space
    if not isinstance(space, spaces.Discrete) or space.start == 0:
        return env
    start = int(space.start)
    return TransformAction(env, lambda action: start + int(action), spaces.Discrete(int(space.n)))


def as_bytes(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Planes of booleans as bytes of 0 and 1, which SB3 can store."""
    space = env.observation_space
    if not isinstance(space, spaces.Box) or space.dtype != np.bool_:
        return env
    return TransformObservation(
        env, lambda observation: np.asarray(observation, np.uint8), spaces.Box(0, 1, space.shape, np.uint8)
    )


def check_spaces(observation: spaces.Space[Any], action: spaces.Space[Any], game: str) -> None:
    """Raises ConfigError unless SB3 can learn with these spaces."""
    simple = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    parts = list(observation.spaces.values()) if isinstance(observation, spaces.Dict) else [observation]
    for part in parts:
        if not isinstance(part, simple):
            raise ConfigError(
                f"game {game!r} has observations of the kind {type(part).__name__}, which cannot be learnt from; "
                "expected Box, Discrete, MultiDiscrete, MultiBinary or a Dict of these: change 'observation' can help"
            )
    if not isinstance(action, simple):
        raise ConfigError(
            f"game {game!r} has actions of the kind {type(action).__name__}, which cannot be learnt; "
            "expected Box, Discrete, MultiDiscrete or MultiBinary"
        )
