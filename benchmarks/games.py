"""Trains the listed games with their presets to a stated score, and tests that the agents beat random play.

    .venv/bin/python benchmarks/games.py [GAME ...] [--seeds 3] [--workers 2] [--write docs/results/games.md]
    .venv/bin/python benchmarks/games.py --references [GAME ...] [--seeds 3] [--workers 2]

Each game of `benchmarks/games.toml` is trained with several seeds through the same code as `headstart train`. Trained
agents and random ones play held-out episodes; the seed is the unit. A one-sided permutation test compares the trained
seeds with 20 seeds of random play: the p-value is the fraction of all ways to name `seeds` of the pooled seeds
"trained" whose mean is at least the trained one's. Runs live under `runs/` and are not trained again. What stands below
the table of the page that is written stays there.

With `--references` it trains, for the budgets under `references`, the games whose reference score nobody has published
in a form that can be cited: the mean that it prints is the catalogue's reference.
"""

import argparse
import itertools
import math
import tomllib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from random_scores import random_returns

HERE = Path(__file__).parent
RANDOM_SEEDS = 20
RANDOM_EPISODES = 20
EPISODES = 50


def train_seed(game: str, entry: dict[str, Any], seed: int) -> tuple[float, float]:
    """Mean return of one trained seed over held-out episodes, and the CPU seconds of its training."""
    import json

    from agents.algorithms import default_mode, resolve
    from agents.config import Evaluation, RunConfig
    from agents.evaluation import evaluate
    from agents.runs import runs_root
    from agents.training import train
    from envs.task import Task

    task = Task(game=game)
    algorithm = entry.get("algorithm", "ppo")
    evaluation = Evaluation(every=max(1, entry["steps"] // 10), episodes=10)
    config = RunConfig(
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, entry.get("set", {})),
        steps=entry["steps"],
        seed=seed,
        evaluation=evaluation,
    )
    run = train(config, runs_root(None), wait=True)
    result = evaluate(run.policy(), task, episodes=EPISODES, mode=default_mode(algorithm), seed=seed)
    provenance = json.loads((run.path / "provenance.json").read_text())
    return float(np.mean(result.returns)), float(provenance["training_cpu_seconds"])


def random_seed(game: str, seed: int) -> float:
    """Mean return of one seed of uniformly random play over RANDOM_EPISODES episodes."""
    return float(np.mean(random_returns(game, RANDOM_EPISODES, seed)))


def permutation_p(trained: list[float], random: list[float]) -> float:
    """One-sided exact permutation p-value of the difference of means."""
    pooled = np.array(trained + random)
    n = len(trained)
    threshold = pooled[:n].sum() - 1e-9
    at_least = sum(pooled[list(chosen)].sum() >= threshold for chosen in itertools.combinations(range(len(pooled)), n))
    return float(at_least / math.comb(len(pooled), n))


def measure(game: str, entry: dict[str, Any], seeds: int, pool: ProcessPoolExecutor) -> str:
    """One row of the table."""
    trainings = [pool.submit(train_seed, game, entry, seed) for seed in range(seeds)]
    randoms = [pool.submit(random_seed, game, seed) for seed in range(RANDOM_SEEDS)]
    trained, seconds = zip(*(training.result() for training in trainings), strict=True)
    random = [one.result() for one in randoms]
    reached = "yes" if np.mean(trained) >= entry["goal"] else "**no**"
    return (
        f"| {game} | {entry.get('algorithm', 'ppo')} | {entry['steps']:,} | {np.mean(random):.2f} "
        f"| {' '.join(f'{score:.2f}' for score in trained)} | {np.mean(trained):.2f} | {entry['goal']} | {reached} "
        f"| {permutation_p(list(trained), random):.4f} | {np.mean(seconds):.0f} |"
    )


def referred(game: str, entry: dict[str, Any], seeds: int, pool: ProcessPoolExecutor) -> str:
    """One row of the table of references."""
    trainings = [pool.submit(train_seed, game, entry, seed) for seed in range(seeds)]
    trained, seconds = zip(*(training.result() for training in trainings), strict=True)
    scores = " ".join(f"{score:.2f}" for score in trained)
    return f"| {game} | {entry['steps']:,} | {scores} | {np.mean(trained):.3f} | {np.mean(seconds):.0f} |"


def said_below(page: Path) -> str:
    """What a person has written below the table of a page; empty if there is none."""
    lines = page.read_text().splitlines(keepends=True) if page.exists() else []
    rows = [number for number, line in enumerate(lines) if line.startswith("|")]
    return "".join(lines[rows[-1] + 1 :]) if rows else ""


def main() -> None:
    """Print, and write, the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--references", action="store_true")
    options = parser.parse_args()
    document = tomllib.loads((HERE / "games.toml").read_text())
    entries = document["references" if options.references else "games"]
    unknown = set(options.games) - set(entries)
    if unknown:
        parser.error(f"not in games.toml: {', '.join(sorted(unknown))}")
    if options.references:
        print("| game | steps | trained, each seed | reference | CPU s |\n|---|---|---|---|---|", flush=True)
        with ProcessPoolExecutor(options.workers, mp_context=get_context("forkserver")) as pool:
            for game in options.games or entries:
                print(referred(game, entries[game], options.seeds, pool), flush=True)
        return
    rows = [
        "| game | algorithm | steps | random | trained, each seed | mean | goal | reached | p (beats random) | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows), flush=True)
    with ProcessPoolExecutor(options.workers, mp_context=get_context("forkserver")) as pool:
        for game in options.games or entries:
            rows.append(measure(game, entries[game], options.seeds, pool))
            print(rows[-1], flush=True)
    if options.write:
        command = f"benchmarks/games.py --seeds {options.seeds}"
        below = said_below(options.write)
        options.write.write_text(
            "# The listed games, trained\n\n"
            f"Made by `.venv/bin/python {command}`. Scores are mean returns over {EPISODES} held-out episodes for each "
            f"seed; random play is the mean of {RANDOM_SEEDS} seeds of {RANDOM_EPISODES} episodes; p is a one-sided "
            "permutation test with the seed as the unit. CPU s is the mean training time of one seed on one core.\n\n"
            + "\n".join(rows)
            + f"\n{below}"
        )


if __name__ == "__main__":
    main()
