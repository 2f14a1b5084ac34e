"""Time of a step of Atari's batches, screens included: ours, ALE's own, and EnvPool's where it is installed.

    .venv/bin/python benchmarks/atari.py [GAME ...] [--envs 8] [--threads 1] [--steps 100] [--repeats 5] [--wall]

Uniformly random actions, four frames a step, sticky actions of 0.25, raw rewards, no no-ops. The batches play in
alternation; each figure is the median of the repeats, in microseconds of CPU time a step of one environment, or with
`--wall` of the clock on the wall, which is what several threads are for.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv as AleVectorEnv
from gymnasium.vector import AutoresetMode

from envs.atari.vector import make_batch


def ales(game: str, n_envs: int, threads: int) -> Any:
    """The batch that ALE brings, by the same protocol."""
    return AleVectorEnv(
        game,
        n_envs,
        num_threads=threads,
        autoreset_mode=AutoresetMode.SAME_STEP,
        repeat_action_probability=0.25,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
    )


def microseconds(envs: Any, steps: int, generator: np.random.Generator, clock: Callable[[], float]) -> float:
    """Time of a step of one environment."""
    began = clock()
    for _ in range(steps):
        envs.step(generator.integers(0, envs.single_action_space.n, envs.num_envs))
    return (clock() - began) / (steps * envs.num_envs) * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=["pong", "freeway", "breakout"])
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--wall", action="store_true")
    options = parser.parse_args()
    clock = time.perf_counter if options.wall else time.process_time
    n_envs, threads = options.envs, options.threads
    makers: dict[str, Callable[[str], Any]] = {
        "ours": lambda game: make_batch(n_envs, game=game, threads=threads),
        "ALE's": lambda game: ales(game, n_envs, threads),
        "ours, memory": lambda game: make_batch(n_envs, game=game, threads=threads, obs_type="ram"),
    }
    if find_spec("envpool"):
        makers["EnvPool's"] = lambda game: make_batch(n_envs, game=game, threads=threads, engine="envpool")
    print("| game | " + " | ".join(makers) + " |\n|---|" + "---:|" * len(makers))
    for game in options.games:
        batches = {name: make(game) for name, make in makers.items()}
        for envs in batches.values():
            envs.reset(seed=0)
        taken: dict[str, list[float]] = {name: [] for name in batches}
        for repeat in range(options.repeats):
            for name, envs in batches.items():
                taken[name].append(microseconds(envs, options.steps, np.random.default_rng(repeat), clock))
        print(
            f"| {game} | " + " | ".join(f"{statistics.median(times):.0f}" for times in taken.values()) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
