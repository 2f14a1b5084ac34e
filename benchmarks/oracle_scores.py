"""What a player scores who is told everything, in MPE2's games: a reference where learning is a poor one.

    .venv/bin/python benchmarks/oracle_scores.py [--episodes 100]

* simple_spread: agents share the landmarks out so that all ways together are shortest, and each steers to its own
* simple_reference: each agent steers to the landmark that the other knows to be its goal
* simple_tag: each predator steers to the prey

Who steers brakes in time. The score is the mean return of one agent.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

BRAKE = 0.2
"""Seconds of travel at its speed that an agent looks ahead."""
NEAR = 0.02
"""Distance at which an agent rests."""


def steered(agent: Any, goal: Any) -> int:
    """noop, left, right, down or up, as MPE2 counts them: along the axis on which the agent will miss by most."""
    miss = goal.state.p_pos - (agent.state.p_pos + BRAKE * agent.state.p_vel)
    axis = int(np.abs(miss).argmax())
    return 0 if abs(miss[axis]) < NEAR else 1 + 2 * axis + int(miss[axis] > 0)


def spread(world: Any) -> dict[str, Any]:
    """Agent's name → its landmark."""
    ways = [[np.linalg.norm(a.state.p_pos - mark.state.p_pos) for mark in world.landmarks] for a in world.agents]
    agents, marks = linear_sum_assignment(np.array(ways))
    return {world.agents[a].name: world.landmarks[m] for a, m in zip(agents, marks, strict=True)}


def reference(world: Any) -> dict[str, Any]:
    """Agent's name → the landmark that the other one knows."""
    return {knower.goal_a.name: knower.goal_b for knower in world.agents}


def tag(world: Any) -> dict[str, Any]:
    """Predator's name → the prey."""
    prey = next(agent for agent in world.agents if not agent.adversary)
    return {agent.name: prey for agent in world.agents if agent.adversary}


PLAYERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "mpe2/simple_spread_v3": spread,
    "mpe2/simple_reference_v3": reference,
    "mpe2/simple_tag_v3": tag,
}


def episode(identifier: str, seed: int) -> float:
    """The mean over agents of their returns."""
    from envs.catalogue import find_game
    from envs.vector import create

    listed = find_game(identifier)
    game = create(listed, dict(listed.arguments))
    game.reset(seed=seed)
    world, total = game.unwrapped.world, 0.0
    while game.agents:
        goals, bodies = PLAYERS[identifier](world), {agent.name: agent for agent in world.agents}
        _, rewards, *_ = game.step({name: steered(bodies[name], goals[name]) for name in game.agents})
        total += float(np.mean(list(rewards.values())))
    game.close()
    return total


def main() -> None:
    """Print the scores with their standard errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100)
    episodes = parser.parse_args().episodes
    for identifier in PLAYERS:
        scores = [episode(identifier, seed) for seed in range(episodes)]
        error = np.std(scores, ddof=1) / np.sqrt(len(scores))
        print(f"{identifier:26} {np.mean(scores):.3f} ± {error:.3f} ({len(scores)} episodes)")


if __name__ == "__main__":
    main()
