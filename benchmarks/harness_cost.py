"""What `headstart train` costs beyond the same Stable-Baselines3 algorithm called bare.

    .venv/bin/python benchmarks/harness_cost.py [--repeats 5] [--steps 100000]

Both sides run plain SB3 PPO (`sb3-ppo`) on Gymnasium's CartPole-v1 with `DummyVecEnv` and the same hyperparameters, in
alternation, each in a process of its own, one torch thread. Both are timed from the making of the environments to the
end of learning, imports done: ours as its provenance says, evaluation excluded. The ratio of the medians is printed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

from beside import Contender, measure

GAME = "CartPole-v1"
HYPERPARAMETERS: dict[str, Any] = {
    "n_envs": 8,
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 4,
    "learning_rate": 0.001,
}


def bare(steps: int) -> dict[str, float]:
    """The peer: SB3 alone, with the monitor that everybody uses. Seconds of wall and CPU."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    settings = {name: value for name, value in HYPERPARAMETERS.items() if name != "n_envs"}
    wall, cpu = time.perf_counter(), time.process_time()
    venv = make_vec_env(GAME, n_envs=HYPERPARAMETERS["n_envs"], seed=0)
    learner = PPO("MlpPolicy", venv, seed=0, device="cpu", **settings)
    learner.learn(steps)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def harness(steps: int) -> dict[str, float]:
    """`headstart train`, as a user types it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"--set={name}={value}" for name, value in HYPERPARAMETERS.items()]
        command = [sys.executable, "-m", "transfer", "train", GAME, "--algo=sb3-ppo", f"--steps={steps}"]
        subprocess.run([*command, f"--runs={folder}", *settings], check=True, capture_output=True)
        (run,) = (path for path in Path(folder).iterdir() if path.is_dir())
        provenance = json.loads((run / "provenance.json").read_text())
    return {"wall": provenance["training_wall_seconds"], "cpu": provenance["training_cpu_seconds"]}


SIDES = {"bare SB3": bare, "headstart train": harness}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--seed", help=argparse.SUPPRESS)  # of beside.py; both sides always take 0
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.steps)))
        return
    command = [sys.executable, __file__, f"--steps={options.steps}"]
    found = measure([Contender(side, [*command, f"--side={side}"]) for side in SIDES], options.repeats)
    for one in found:
        if one.why_not:
            sys.exit(f"{one.contender.name}: {one.why_not}")
    print(f"{'':16} {'wall s':>8} {'CPU s':>8}   (medians of {options.repeats}, {options.steps:,} steps)")
    walls, cpus = [one.median(itemgetter("wall")) for one in found], [one.median(itemgetter("cpu")) for one in found]
    for side, wall, cpu in zip(SIDES, walls, cpus, strict=True):
        print(f"{side:16} {wall:8.2f} {cpu:8.2f}")
    for kind, (theirs, ours) in (("wall", walls), ("cpu", cpus)):
        print(f"{kind}: headstart train takes {ours / theirs:.3f} of bare SB3's time")


if __name__ == "__main__":
    main()
