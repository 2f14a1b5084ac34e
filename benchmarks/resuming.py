"""What checkpoints cost: the time of one, its bytes, and the share of a run's time.

    .venv/bin/python benchmarks/resuming.py [--seconds 20] [--every 2]

Each case trains for about so many seconds with a checkpoint every `every` seconds, in this process. Printed are the
checkpoints, the mean milliseconds of one, what the folder holds at most, the share of this run's time, and the share
that the same checkpoints have at the default interval of 30 s. A slow disk cannot raise the latter above 2 %: training
waits fifty times as long as the last checkpoint took.
"""

import argparse
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.resuming.boundaries import SECONDS, SHARE, Boundaries
from agents.training import train
from envs.task import Task

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PPO, CartPole": ("ppo", "headstart/CartPole-v1", {}),
    "DQN, CartPole": ("dqn", "headstart/CartPole-v1", {}),
    "PPO, DoorKey-5x5": ("ppo", "headstart/DoorKey-5x5-v0", {}),
    "DQN, Breakout (MinAtar)": ("dqn", "MinAtar/Breakout-v1", {}),
    "SAC, Pendulum (objects)": ("sac", "Pendulum-v1", {}),
}


class Watched:
    """Counts the checkpoints of a training, and the bytes that they leave."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.cost, self.written, self.bytes = seconds, 0.0, 0, 0

    def __enter__(self) -> "Watched":
        self._write: Any = Boundaries.write
        watched, write = self, self._write

        def counted(boundaries: Boundaries) -> None:
            write(boundaries)
            watched.cost, watched.written = boundaries.cost, boundaries.written
            held = sum(file.stat().st_size for file in boundaries.store.folder.iterdir())
            watched.bytes = max(watched.bytes, held)

        Boundaries.write = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Boundaries.write = self._write  # type: ignore[method-assign]


class EnoughError(Exception):
    """The time is over."""


def measure(algorithm: str, game: str, settings: dict[str, Any], seconds: float, every: float) -> tuple[Watched, float]:
    """The checkpoints of a training that is broken off after so many seconds, and its wall seconds."""
    task = Task(game=game)
    config = RunConfig(
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, settings),
        steps=10**9,
        seed=0,
        evaluation=Evaluation(every=10**9, episodes=1),
    )
    begun = time.monotonic()

    def stop(_: int, __: int) -> None:
        if time.monotonic() - begun > seconds:
            raise EnoughError

    with tempfile.TemporaryDirectory() as folder, Watched(every) as watched, suppress(EnoughError):
        train(config, Path(folder), on_progress=stop, checkpoint_seconds=every)
    return watched, time.monotonic() - begun


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training a case")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two checkpoints")
    given = parser.parse_args()
    print("| case | checkpoints | ms each | MB held | share here | share at 30 s |")
    print("|---|---|---|---|---|---|")
    for name, (algorithm, game, settings) in CASES.items():
        watched, wall = measure(algorithm, game, settings, given.seconds, given.every)
        one = watched.cost / max(1, watched.written)
        usual = one / max(SECONDS, one / SHARE)
        print(
            f"| {name} | {watched.written} | {1000 * one:.1f} | {watched.bytes / 1e6:.2f} | "
            f"{watched.cost / wall:.2%} | {usual:.3%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
