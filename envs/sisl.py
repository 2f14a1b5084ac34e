"""PettingZoo's SISL games with names for what their agents see and do (Gupta et al. 2017)."""

from typing import Any

from envs.parallel.conversions import Game, make_of

PURSUIT_FEATURES = ("wall", "pursuer", "evader")
PURSUIT_ACTIONS = ("left", "right", "up", "down", "noop")
WALKER_FEATURES = (
    *("hull_angle", "hull_angular_velocity", "velocity_x", "velocity_y"),
    *("hip_1_angle", "hip_1_speed", "knee_1_angle", "knee_1_speed", "leg_1_contact"),
    *("hip_2_angle", "hip_2_speed", "knee_2_angle", "knee_2_speed", "leg_2_contact"),
    *(f"lidar_{ray}" for ray in range(10)),
    *("left_neighbour_x", "left_neighbour_y", "right_neighbour_x", "right_neighbour_y"),
    *("package_x", "package_y", "package_angle"),
)
WALKER_ACTIONS = ("hip_1", "knee_1", "hip_2", "knee_2")


def pursuit(**arguments: Any) -> Game:
    """PettingZoo's pursuit_v5: pursuers see planes (obs_range, obs_range, 3) around themselves."""
    return _named(make_of("pettingzoo.sisl.pursuit_v5")(**arguments), PURSUIT_FEATURES, PURSUIT_ACTIONS)


def multiwalker(**arguments: Any) -> Game:
    """PettingZoo's multiwalker_v9: walkers carry a package; they die one by one with `terminate_on_fall = false`."""
    return _named(make_of("pettingzoo.sisl.multiwalker_v9")(**arguments), WALKER_FEATURES, WALKER_ACTIONS)


def _named(game: Game, features: tuple[str, ...], actions: tuple[str, ...]) -> Game:
    game.metadata = {**game.metadata, "headstart": {"features": features, "actions": actions}}
    return game
