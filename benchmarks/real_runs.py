"""Trains the runs that A/A studies are drawn from, and keeps their evaluations: `benchmarks/data/*.csv`.

    .venv/bin/python benchmarks/real_runs.py [GAME ...] [--seeds 48]

One agent from scratch per seed, PPO with the game's preset on a small budget. A file has one row per run and one column
per evaluation; its header names the steps. Runs live in a temporary folder and are deleted.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parent / "data"
GAMES = {"headstart/CartPole-v1": (10_000, 1_000)}
"""Steps of a run, and of the way from one evaluation to the next."""


def name_of(game: str) -> str:
    """The file's name for a game."""
    return game.removeprefix("headstart/").rpartition("-")[0].lower().replace("-", "_")


def load(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (n_runs, n_evaluations) and steps (n_evaluations,) of one file."""
    path = DATA / f"{name}.csv"
    steps = np.array(path.read_text().splitlines()[0].split(","), dtype=np.float64)
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2), steps


def scores(game: str, seed: int, root: Path) -> tuple[list[int], list[float]]:
    """Steps and mean returns of one run's evaluations."""
    from agents.algorithms import resolve
    from agents.config import Evaluation, RunConfig
    from agents.training import train
    from envs.task import Task

    task, (steps, every) = Task(game=game), GAMES[game]
    config = RunConfig(
        task=task,
        algorithm="ppo",
        hyperparameters=resolve(task, "ppo", {}),
        steps=steps,
        seed=seed,
        evaluation=Evaluation(every=every, episodes=20),
    )
    run = train(config, root, wait=True)
    step, returns = np.loadtxt(run.path / "evaluations.csv", delimiter=",", skiprows=1, usecols=(0, 3), unpack=True)
    at = np.unique(step)
    return at.astype(int).tolist(), [float(returns[step == one].mean()) for one in at]


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=list(GAMES), metavar="GAME")
    parser.add_argument("--seeds", type=int, default=48)
    options = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    for game in options.games:
        with tempfile.TemporaryDirectory() as folder:
            runs = [scores(game, seed, Path(folder)) for seed in range(options.seeds)]
        table = np.array([row for _, row in runs])
        header = ",".join(map(str, runs[0][0]))
        path = DATA / f"{name_of(game)}.csv"
        np.savetxt(path, table, delimiter=",", fmt="%.6g", header=header, comments="")
        print(f"{path.name}: {table.shape[0]} runs, {table.shape[1]} evaluations, last mean {table[:, -1].mean():.3g}")


if __name__ == "__main__":
    main()
