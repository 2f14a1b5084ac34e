"""What freezing saves in PPO's update: one command prints a table.

    .venv/bin/python benchmarks/freezing.py [--repeats 7] [--samples 4096]

All ways take the same rollout through the same network (two halves of 64 and 64 tanh units), four epochs of minibatches
of 256. They run in alternation in one process, on one thread; a time is CPU time, the median of the repeats.
"""

import argparse
from collections.abc import Callable
from typing import Any

import stable_baselines3
import torch
from gymnasium import spaces
from updates import NUMBERS, SYMBOLS, learner, measured

from agents.parts import of_part
from agents.ppo import PPO

FROZEN: dict[str, tuple[str, ...]] = {
    "everything learns": (),
    "lowest hidden layer frozen": ("torso.0",),
    "all but the heads frozen": ("torso",),
}
EPOCHS = 4
SIZE = 256


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--samples", type=int, default=4096, help="transitions of a rollout")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, space, actions in (("4 numbers, 2 actions", NUMBERS, 2), ("7x7x3 symbols, 7 actions", SYMBOLS, 7)):
        times = measured(ways(space, actions, options.samples), options.repeats)
        print(f"\n{name}: updates a second, and how many times as many as with everything learning")
        print(f"{'':32}" + "".join(f"{path:>22}" for path in PATHS))
        for frozen in FROZEN:
            cells = []
            for path in PATHS:
                seconds, whole = times[f"{frozen}, {path}"], times[f"everything learns, {path}"]
                cells.append(f"{1 / seconds:13.1f}  ({whole / seconds:.2f})")
            print(f"{frozen:32}" + "".join(f"{cell:>22}" for cell in cells))


PATHS: dict[str, tuple[Any, bool]] = {
    "ours, compiled": (PPO, True),
    "ours, PyTorch": (PPO, False),
    "Stable-Baselines3": (stable_baselines3.PPO, False),
}


def ways(space: spaces.Box, n_actions: int, samples: int) -> dict[str, Callable[[], float]]:
    """Name → one update."""
    found: dict[str, Callable[[], float]] = {}
    for frozen, parts in FROZEN.items():
        for path, (algorithm, compiles) in PATHS.items():
            made = learner(algorithm, space, n_actions, SIZE, samples)
            made.n_epochs = EPOCHS
            if isinstance(made, PPO):
                made.compiles = compiles
            for part in parts:
                for parameter in of_part(made.policy, part):
                    parameter.requires_grad_(False)
            found[f"{frozen}, {path}"] = update(made)
    return found


def update(made: Any) -> Callable[[], float]:
    """One whole update of a learner."""

    def run() -> float:
        made.train()
        return 1.0

    return run


if __name__ == "__main__":
    main()
