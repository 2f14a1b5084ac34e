"""MPE2's particle worlds (Lowe et al. 2017), with names for what their agents see and do."""

from typing import Any

import numpy as np
from gymnasium import spaces
from mpe2 import simple_reference_v3, simple_spread_v3, simple_tag_v3

from envs.errors import ConfigError
from envs.parallel.conversions import Game
from envs.parallel.scripted import Rule, Scripted

ACTIONS = ("noop", "left", "right", "down", "up")
PREY = ("flees", "random", "stays", "learns")
WORDS = 10
"""Of simple_reference."""


def simple_spread(N: int = 3, **arguments: Any) -> Game:
    """MPE2's simple_spread_v3 (parallel), with names for what an agent of N sees and does."""
    game: Game = simple_spread_v3.parallel_env(N=N, **arguments)
    return _named(game, names_of_simple_spread(N), _actions(arguments, ACTIONS))


def simple_reference(**arguments: Any) -> Game:
    """MPE2's simple_reference_v3 (parallel): each agent moves and says one of ten words about the other's goal."""
    game: Game = simple_reference_v3.parallel_env(**arguments)
    actions = tuple(f"{move}_say_{word}" for word in range(WORDS) for move in ACTIONS)
    return _named(game, names_of_simple_reference(), _actions(arguments, actions))


def simple_tag(
    prey: str = "flees", num_good: int = 1, num_adversaries: int = 3, num_obstacles: int = 2, **arguments: Any
) -> Game:
    """MPE2's simple_tag_v3 (parallel), in which predators (num_adversaries) hunt prey (num_good).

    Args:
        prey: who plays the prey: `flees` goes where the nearest predator would be farthest, in the manner of the
            scripted prey of Peng et al. 2021 (FACMAC); `random`; `stays`; `learns`: prey and predators share one
            policy, which then wants `agent_indicator`, and the mean return says little.
        num_good, num_adversaries, num_obstacles, arguments: simple_tag_v3's own.

    Raises ConfigError for another prey.
    """
    if prey not in PREY:
        raise ConfigError(f"prey of simple_tag is {prey!r}, expected one of {', '.join(PREY)}")
    sizes = {"num_good": num_good, "num_adversaries": num_adversaries, "num_obstacles": num_obstacles}
    game: Game = simple_tag_v3.parallel_env(**sizes, **arguments)
    actions = _actions(arguments, ACTIONS)
    if prey == "learns":
        return _named(game, None, actions)
    rule = Prey(prey, num_obstacles, num_adversaries, isinstance(game.action_space("agent_0"), spaces.Box))
    rules: dict[str, Rule] = {agent: rule for agent in game.possible_agents if agent.startswith("agent")}
    return _named(Scripted(game, rules), names_of_simple_tag(num_good, num_adversaries, num_obstacles), actions)


class Prey:
    """How the prey of simple_tag plays: a number of ACTIONS, or these as continuous pushes."""

    MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]) * 0.3  # (5, 2), about two steps' way
    EDGE = 0.9
    """Where the game begins to punish those who leave."""

    def __init__(self, manner: str, n_obstacles: int, n_predators: int, continuous: bool) -> None:
        self.manner, self.continuous = manner, continuous
        self.predators = slice(4 + 2 * n_obstacles, 4 + 2 * (n_obstacles + n_predators))

    def __call__(self, seen: np.ndarray, generator: np.random.Generator) -> Any:
        """The action for what the prey sees: own velocity and position, offsets of obstacles, predators and others."""
        action = 0
        if self.manner == "random":
            action = int(generator.integers(len(self.MOVES)))
        elif self.manner == "flees":
            offsets = seen[self.predators].reshape(-1, 2)
            nearest = np.linalg.norm(offsets[None] - self.MOVES[:, None], axis=2).min(axis=1)
            outside = np.maximum(np.abs(seen[2:4] + self.MOVES) - self.EDGE, 0).sum(axis=1)
            action = int(np.argmax(nearest - 10 * outside))
        return np.eye(len(self.MOVES), dtype=np.float32)[action] if self.continuous else action


def names_of_simple_spread(n: int) -> tuple[str, ...]:
    """What an agent of simple_spread with n agents and n landmarks sees, 6n names in the order of its entries."""
    others = range(1, n)
    return (
        *("self_velocity_x", "self_velocity_y", "self_position_x", "self_position_y"),
        *(f"landmark_{k}_offset_{axis}" for k in range(n) for axis in "xy"),
        *(f"other_{k}_offset_{axis}" for k in others for axis in "xy"),
        *(f"other_{k}_communication_{channel}" for k in others for channel in range(2)),
    )


def names_of_simple_reference() -> tuple[str, ...]:
    """What an agent of simple_reference sees; the goal is the other's."""
    return (
        *("self_velocity_x", "self_velocity_y"),
        *(f"landmark_{k}_offset_{axis}" for k in range(3) for axis in "xy"),
        *("goal_red", "goal_green", "goal_blue"),
        *(f"heard_{word}" for word in range(WORDS)),
    )


def names_of_simple_tag(n_prey: int, n_predators: int, n_obstacles: int) -> tuple[str, ...]:
    """What a predator of simple_tag sees."""
    return (
        *("self_velocity_x", "self_velocity_y", "self_position_x", "self_position_y"),
        *(f"obstacle_{k}_offset_{axis}" for k in range(n_obstacles) for axis in "xy"),
        *(f"predator_{k}_offset_{axis}" for k in range(1, n_predators) for axis in "xy"),
        *(f"prey_{k}_offset_{axis}" for k in range(n_prey) for axis in "xy"),
        *(f"prey_{k}_velocity_{axis}" for k in range(n_prey) for axis in "xy"),
    )


def _actions(arguments: dict[str, Any], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names of discrete actions; continuous ones are pushes, and words, that nobody named."""
    return None if arguments.get("continuous_actions") else names


def _named(game: Game, features: tuple[str, ...] | None, actions: tuple[str, ...] | None) -> Game:
    game.metadata = {**game.metadata, "headstart": {"features": features, "actions": actions}}
    return game
