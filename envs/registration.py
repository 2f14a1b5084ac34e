"""Our games under their ids with Gymnasium: `gymnasium.make("headstart/CartPole-v1")` and `gymnasium.make_vec`."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from envs.catalogue import our_list


def register_games() -> Mapping[str, Any]:
    """Register them, once. Returns Gymnasium's registry: id → EnvSpec."""
    for game in our_list():
        if game.register is not None and game.id not in gym.registry:
            gym.register(game.id, **game.register, kwargs=dict(game.arguments), reward_threshold=game.threshold)
    return gym.registry
