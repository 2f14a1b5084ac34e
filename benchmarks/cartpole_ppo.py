"""PPO on our batched CartPole against Stable-Baselines3's PPO on `DummyVecEnv`, same hyperparameters.

    .venv/bin/python benchmarks/cartpole_ppo.py [--repeats 5] [--steps 60000]

Both sides in alternation in processes of their own, one torch thread, timed around `learn` once two updates are over;
the ratio of the medians of steps per second is printed for each setting. Also in between: SB3's PPO on our batched
CartPole, which shows how much of the ratio is the game and how much the learner. `speed.py cartpole` has the peers.
"""

import argparse
import json
from typing import Any

from beside import Contender, Load, Table, measure, number, ours, show, steps_per_second

SETTINGS: dict[str, dict[str, Any]] = {
    "8 envs, batch 256, 10 epochs": {"n_envs": 8, "n_steps": 256, "batch_size": 256, "n_epochs": 10},
    "64 envs, batch 2048, 4 epochs": {"n_envs": 64, "n_steps": 32, "batch_size": 2048, "n_epochs": 4},
    "256 envs, batch 2048, 4 epochs": {"n_envs": 256, "n_steps": 32, "batch_size": 2048, "n_epochs": 4},
}
SIDES = ("SB3, DummyVecEnv", "SB3, batched game", "headstart")


def sides(setting: str, steps: int) -> list[Contender]:
    """The three of one setting, in the order of SIDES."""
    settings = SETTINGS[setting]
    told = [f"--steps={steps + 2 * settings['n_envs'] * settings['n_steps']}", f"--set={json.dumps(settings)}"]
    batched = ["ours.py", "--game=headstart/CartPole-v1", "--plain", *told]
    return [
        ours(f"{SIDES[0]}, {setting}", "sb3.py", "--settings=none", *told),
        ours(f"{SIDES[1]}, {setting}", *batched, "--algorithm=sb3-ppo"),
        ours(f"{SIDES[2]}, {setting}", *batched),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60_000)
    options = parser.parse_args()
    load = Load()
    rows, everybody = [], []
    for setting in SETTINGS:
        found = measure(sides(setting, options.steps), options.repeats)
        medians = [one.median(steps_per_second) for one in found]
        rows.append((setting, *map(number, medians), f"{medians[2] / medians[0]:.1f}"))
        everybody += found
    title = f"Steps per second of PPO on CartPole, {options.steps:,} steps each"
    table = Table(title, ("", *SIDES, "ratio to the first"), rows)
    table.describe(everybody, options.repeats, load)
    show([table])


if __name__ == "__main__":
    main()
