"""MPE2's cooperative navigation, with names for what its agents see and do."""

from typing import Any

from mpe2 import simple_spread_v3
from pettingzoo import ParallelEnv

ACTIONS = ("noop", "left", "right", "down", "up")


def simple_spread(N: int = 3, **arguments: Any) -> ParallelEnv[str, Any, Any]:
    """MPE2's simple_spread_v3 (parallel), with names for what an agent of N sees and does."""
    game: ParallelEnv[str, Any, Any] = simple_spread_v3.parallel_env(N=N, **arguments)
    names = {"features": names_of_simple_spread(N), "actions": ACTIONS}
    game.metadata = {**game.metadata, "headstart": names}
    return game


def names_of_simple_spread(n: int) -> tuple[str, ...]:
    """What an agent of simple_spread with n agents and n landmarks sees, 6n names in the order of its entries."""
    others = range(1, n)
    return (
        *("self_velocity_x", "self_velocity_y", "self_position_x", "self_position_y"),
        *(f"landmark_{k}_offset_{axis}" for k in range(n) for axis in "xy"),
        *(f"other_{k}_offset_{axis}" for k in others for axis in "xy"),
        *(f"other_{k}_communication_{channel}" for k in others for channel in range(2)),
    )
