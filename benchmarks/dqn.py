"""DQN: ours in compiled code, ours through PyTorch, and Stable-Baselines3's, with the same hyperparameters.

    .venv/bin/python benchmarks/dqn.py [--repeats 5] [--only WORD]

The sides run in alternation in processes of their own, one torch thread, and are timed around `learn`, once it has
begun to learn, by the processor time they take. All play the same environments with the same network; a `DummyVecEnv`
of Gymnasium's CartPole is what SB3's users have.
"""

import argparse
import json
import sys
import time
from typing import Any

from beside import RUNS, Contender, Load, Table, measure, number, show, steps_per_second

sys.path.append(str(RUNS))
from report import versions

ZOO = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1000,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
    "net_arch": [256, 256],
}
"""rl-zoo3's of CartPole-v1."""
MINATAR = {
    "learning_rate": 1e-4,
    "buffer_size": 100_000,
    "learning_starts": 1000,
    "target_update_interval": 1000,
    "net_arch": [64, 64],
    "encoder": "planes",
}
SETTINGS: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "CartPole, DummyVecEnv, rl-zoo3's settings": ("CartPole-v1", 1, 6_000, ZOO),
    "CartPole, batched game, rl-zoo3's settings": ("headstart/CartPole-v1", 1, 6_000, ZOO),
    "CartPole, batched game, SB3's defaults": ("headstart/CartPole-v1", 1, 8_000, {"buffer_size": 100_000}),
    "CartPole, 16 envs, an update of 64 a step": (
        "headstart/CartPole-v1",
        16,
        40_000,
        {"buffer_size": 100_000, "train_freq": 1, "batch_size": 64},
    ),
    "MinAtar Breakout, MLP, an update a 4 steps": ("MinAtar/Breakout-v1", 1, 8_000, MINATAR | {"train_freq": 4}),
    "MinAtar Breakout, MLP, an update a step": ("MinAtar/Breakout-v1", 1, 4_000, MINATAR | {"train_freq": 1}),
}
SIDES = ("SB3", "headstart, PyTorch", "headstart")


def train(side: str, setting: str, seed: int) -> dict[str, Any]:
    """One measurement, in this process: steps, and seconds of processor time."""
    import torch

    from agents.algorithms import ALGORITHMS, build_learner
    from agents.hyperparameters import complete
    from envs.vector import make_vec

    torch.set_num_threads(1)
    game, n_envs, steps, settings = SETTINGS[setting]
    algorithm = "sb3-dqn" if side == SIDES[0] else "dqn"
    values = complete(algorithm, ALGORITHMS.load(algorithm), settings | {"n_envs": n_envs})
    learner: Any = build_learner(algorithm, make_vec(game, n_envs=n_envs, seed=seed), values, seed=seed, device="cpu")
    if side == SIDES[1]:
        learner.compiles = False
    learner.learn(1_000 + 4 * n_envs * values["train_freq"])  # warm up
    began, before = time.process_time(), learner.num_timesteps
    learner.learn(steps, reset_num_timesteps=False)
    seconds = time.process_time() - began
    told = versions("torch", "stable-baselines3", "numba", "numpy")
    return {"steps": learner.num_timesteps - before, "seconds": seconds, "versions": told}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", metavar="WORD", help="only settings with this in their names")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(train(*options.measure, options.seed)))
        return
    load = Load()
    rows, everybody = [], []
    for setting in (name for name in SETTINGS if options.only in name):
        command = [sys.executable, __file__, "--measure"]
        found = measure([Contender(f"{side}, {setting}", [*command, side, setting]) for side in SIDES], options.repeats)
        medians = [one.median(steps_per_second) for one in found]
        ratios = (f"{medians[2] / other:.1f}" for other in medians[:2])
        rows.append((setting, *map(number, medians), *ratios))
        everybody += found
    head = ("", *SIDES, "ratio to SB3", "ratio to PyTorch")
    table = Table("Steps per second of processor time of DQN", head, rows)
    table.describe(everybody, options.repeats, load)
    show([table])


if __name__ == "__main__":
    main()
