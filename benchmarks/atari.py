"""CPU time of a step of Atari's batches, screens included: ours, ALE's own, and EnvPool's where it is installed.

    .venv/bin/python benchmarks/atari.py [GAME ...] [--envs 8] [--steps 100] [--repeats 5]

One thread each, uniformly random actions, four frames a step, sticky actions of 0.25, raw rewards, no no-ops. The
batches play in alternation; each figure is the median of the repeats, in microseconds of CPU time a step of one
environment.
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


def ales(game: str, n_envs: int) -> Any:
    """The batch that ALE brings, by the same protocol."""
    return AleVectorEnv(
        game,
        n_envs,
        num_threads=1,
        autoreset_mode=AutoresetMode.SAME_STEP,
        repeat_action_probability=0.25,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
    )


def microseconds(envs: Any, steps: int, generator: np.random.Generator) -> float:
    """CPU time of a step of one environment."""
    began = time.process_time()
    for _ in range(steps):
        envs.step(generator.integers(0, envs.single_action_space.n, envs.num_envs))
    return (time.process_time() - began) / (steps * envs.num_envs) * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=["pong", "freeway", "breakout"])
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    makers: dict[str, Callable[[str], Any]] = {
        "ours": lambda game: make_batch(options.envs, game=game),
        "ALE's": lambda game: ales(game, options.envs),
        "ours, memory": lambda game: make_batch(options.envs, game=game, obs_type="ram"),
    }
    if find_spec("envpool"):
        makers["EnvPool's"] = lambda game: make_batch(options.envs, game=game, engine="envpool")
    print("| game | " + " | ".join(makers) + " |\n|---|" + "---:|" * len(makers))
    for game in options.games:
        batches = {name: make(game) for name, make in makers.items()}
        for envs in batches.values():
            envs.reset(seed=0)
        taken: dict[str, list[float]] = {name: [] for name in batches}
        for repeat in range(options.repeats):
            for name, envs in batches.items():
                taken[name].append(microseconds(envs, options.steps, np.random.default_rng(repeat)))
        print(
            f"| {game} | " + " | ".join(f"{statistics.median(times):.0f}" for times in taken.values()) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
