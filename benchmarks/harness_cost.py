"""What `headstart train` costs beyond the same Stable-Baselines3 algorithm called bare.

    .venv/bin/python benchmarks/harness_cost.py [--repeats 5] [--steps 100000]

Both sides run plain SB3 PPO (`sb3-ppo`) on Gymnasium's CartPole-v1 with `DummyVecEnv` and the same hyperparameters, in
alternation, each in a process of its own, one torch thread. Both are timed from the making of the environments to the
end of learning, imports done: ours as its provenance says, evaluation excluded. The ratio of the medians is printed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GAME = "CartPole-v1"
HYPERPARAMETERS = {"n_envs": 8, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "learning_rate": 0.001}


def bare(steps: int) -> None:
    """The peer: SB3 alone, with the monitor that everybody uses. Prints seconds of CPU and wall."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    settings = {name: value for name, value in HYPERPARAMETERS.items() if name != "n_envs"}
    wall, cpu = time.perf_counter(), time.process_time()
    venv = make_vec_env(GAME, n_envs=HYPERPARAMETERS["n_envs"], seed=0)
    learner = PPO("MlpPolicy", venv, seed=0, device="cpu", **settings)
    learner.learn(steps)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


def ours(steps: int) -> dict[str, float]:
    """`headstart train`, as a user types it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"--set={name}={value}" for name, value in HYPERPARAMETERS.items()]
        command = [sys.executable, "-m", "transfer", "train", GAME, "--algo=sb3-ppo", f"--steps={steps}"]
        subprocess.run([*command, f"--runs={folder}", *settings], check=True, capture_output=True)
        (run,) = (path for path in Path(folder).iterdir() if path.is_dir())
        provenance = json.loads((run / "provenance.json").read_text())
    return {"wall": provenance["training_wall_seconds"], "cpu": provenance["training_cpu_seconds"]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.steps)
        return
    sides: dict[str, list[dict[str, float]]] = {"bare SB3": [], "headstart train": []}
    for _ in range(options.repeats):
        command = [sys.executable, __file__, "--bare", f"--steps={options.steps}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        sides["bare SB3"].append(json.loads(done.stdout))
        sides["headstart train"].append(ours(options.steps))
    print(f"{'':16} {'wall s':>8} {'CPU s':>8}   (medians of {options.repeats}, {options.steps:,} steps)")
    medians = {
        side: {kind: statistics.median(row[kind] for row in rows) for kind in ("wall", "cpu")}
        for side, rows in sides.items()
    }
    for side, row in medians.items():
        print(f"{side:16} {row['wall']:8.2f} {row['cpu']:8.2f}")
    for kind in ("wall", "cpu"):
        ratio = medians["headstart train"][kind] / medians["bare SB3"][kind]
        print(f"{kind}: headstart train takes {ratio:.3f} of bare SB3's time")


if __name__ == "__main__":
    main()
