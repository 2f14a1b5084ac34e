"""PPO on our batched CartPole against Stable-Baselines3's PPO on `DummyVecEnv`, same hyperparameters.

    .venv/bin/python benchmarks/cartpole_ppo.py [--repeats 5] [--steps 60000]

Both sides in alternation in processes of their own, one torch thread, timed around `learn`; the ratio of the medians
of steps per second is printed for each setting. Also in between: SB3's PPO on our batched CartPole, which shows how
much of the ratio is the game and how much the learner.
"""

import argparse
import statistics
import subprocess
import sys
import time

SETTINGS = {
    "8 envs, batch 256, 10 epochs": {"n_envs": 8, "n_steps": 256, "batch_size": 256, "n_epochs": 10},
    "64 envs, batch 2048, 4 epochs": {"n_envs": 64, "n_steps": 32, "batch_size": 2048, "n_epochs": 4},
    "256 envs, batch 2048, 4 epochs": {"n_envs": 256, "n_steps": 32, "batch_size": 2048, "n_epochs": 4},
}
SIDES = ("SB3, DummyVecEnv", "SB3, batched game", "headstart")


def steps_per_second(side: str, setting: str, steps: int) -> float:
    """One measurement, in this process."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    from agents.ppo import PPO
    from envs import make_vec

    torch.set_num_threads(1)
    hyperparameters = dict(SETTINGS[setting])
    n_envs = hyperparameters.pop("n_envs")
    if side == "SB3, DummyVecEnv":
        venv = make_vec_env("CartPole-v1", n_envs=n_envs, seed=0)
    else:
        venv = make_vec("headstart/CartPole-v1", n_envs=n_envs, seed=0)
    algorithm = PPO if side == "headstart" else stable_baselines3.PPO
    learner = algorithm("MlpPolicy", venv, seed=0, device="cpu", **hyperparameters)
    learner.learn(n_envs * hyperparameters["n_steps"])  # warm up
    started = time.perf_counter()
    learner.learn(steps)
    return learner.num_timesteps / (time.perf_counter() - started)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(steps_per_second(*options.measure, options.steps))
        return
    print(f"steps per second of PPO on CartPole, medians of {options.repeats}, {options.steps:,} steps each")
    print(f"{'':32}" + "".join(f"{side:>20}" for side in SIDES) + f"{'ratio to the first':>22}")
    for setting in SETTINGS:
        found: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(options.repeats):
            for side in SIDES:
                command = [sys.executable, __file__, f"--steps={options.steps}", "--measure", side, setting]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[side].append(float(done.stdout))
        medians = [statistics.median(found[side]) for side in SIDES]
        print(f"{setting:32}" + "".join(f"{value:20,.0f}" for value in medians) + f"{medians[2] / medians[0]:22.1f}")


if __name__ == "__main__":
    main()
