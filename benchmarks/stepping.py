"""Steps/s of games alone, one object an environment beside one batch: one command prints a table.

    .venv/bin/python benchmarks/stepping.py [GAME ...] [--n-envs 16 64] [--repeats 5] [--steps 40000]

Both ways play the same seeds and actions as arrays, as our learners step them, in alternation in one process on one
thread; a time is CPU time, the median of the repeats.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np

from envs.batched import stepped
from envs.vector import make_vec

GAMES = ("MinAtar/Breakout-v1", "headstart/CartPole-v1")
WAYS = ("dummy", "batched")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", metavar="GAME", default=GAMES)
    parser.add_argument("--n-envs", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40_000, help="of all environments together, a repeat")
    options = parser.parse_args()
    print("| game | environments | objects | batch | |\n|---|---|---|---|---|")
    for game in options.games:
        for n_envs in options.n_envs:
            objects, batch = rates(game, n_envs, options.steps, options.repeats)
            print(f"| {game} | {n_envs} | {objects:,.0f} | {batch:,.0f} | {batch / objects:.1f}× |", flush=True)


def rates(game: str, n_envs: int, steps: int, repeats: int) -> tuple[float, ...]:
    """Steps/s of both ways."""
    venvs = [make_vec(game, n_envs=n_envs, seed=0, backend=way) for way in WAYS]
    n_actions = int(venvs[0].action_space.n)
    actions = np.random.default_rng(0).integers(0, n_actions, (max(1, steps // n_envs), n_envs))
    found: tuple[list[float], ...] = ([], [])
    for venv in venvs:
        played(venv, actions[:50])  # compiled, loaded
    for _ in range(repeats):
        for venv, seconds in zip(venvs, found, strict=True):
            seconds.append(played(venv, actions))
    return tuple(actions.size / statistics.median(seconds) for seconds in found)


def played(venv: Any, actions: np.ndarray) -> float:
    """CPU seconds of these steps."""
    venv.reset()
    started = time.process_time()
    for each in actions:
        stepped(venv, each)
    return time.process_time() - started


if __name__ == "__main__":
    main()
