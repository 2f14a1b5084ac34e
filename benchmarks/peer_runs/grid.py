"""Steps per second of DoorKey-8x8 alone, random actions, observations made: executed by each engine's own Python.

    .peers/navix/bin/python benchmarks/peer_runs/grid.py navix --n-envs 1024
    .venv/bin/python benchmarks/peer_runs/grid.py headstart --n-envs 1024 --cores 1

Actions are drawn beforehand. The JAX engines run whole chunks of steps as one compiled scan whose carry holds the
observations, on all cores; MiniGrid is one environment in one process; ours is stepped through Gymnasium's vector
interface, as a learner would. Episodes restart by themselves everywhere.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from report import Clock, Span, say, versions

CHUNK = 128
"""Steps of every environment between two looks at the clock."""

Chunk = Callable[[], None]


def navix(n_envs: int, seed: int, arguments: dict[str, Any]) -> Chunk:
    """Its own first-person symbols, (7, 7, 3)."""
    import navix
    from navix import observations

    env = navix.make("Navix-DoorKey-8x8-v0", observation_fn=observations.symbolic_first_person, **arguments)
    return _scanned(env.reset, env.step, n_envs, seed, len(env.action_set))


def xminigrid(n_envs: int, seed: int, arguments: dict[str, Any]) -> Chunk:
    """A view of (7, 7, 2) that sees through walls; restarts in the step that ends an episode."""
    import xminigrid
    from xminigrid.wrappers import GymAutoResetWrapper

    env, params = xminigrid.make("MiniGrid-DoorKey-8x8", **arguments)
    env = GymAutoResetWrapper(env)

    def reset(key: Any) -> Any:
        return env.reset(params, key)

    def step(timestep: Any, action: Any) -> Any:
        return env.step(params, timestep, action)

    return _scanned(reset, step, n_envs, seed, env.num_actions(params))


def _scanned(reset: Any, step: Any, n_envs: int, seed: int, n_actions: int) -> Chunk:
    """A chunk of steps of all environments as one compiled program."""
    import jax

    actions = np.random.default_rng(seed).integers(n_actions, size=(CHUNK, n_envs), dtype=np.int32)

    @jax.jit
    def chunk(timesteps: Any) -> Any:
        def one(carry: Any, chosen: Any) -> Any:
            after = jax.vmap(step)(carry, chosen)
            return after, after.reward.sum()

        return jax.lax.scan(one, timesteps, actions)

    timesteps = jax.jit(jax.vmap(reset))(jax.random.split(jax.random.PRNGKey(seed), n_envs))
    timesteps = jax.block_until_ready(chunk(timesteps)[0])  # compiles; also settles the types of the carry
    state = [timesteps]

    def run() -> None:
        state[0] = jax.block_until_ready(chunk(state[0])[0])

    return run


def minigrid(n_envs: int, seed: int, arguments: dict[str, Any]) -> Chunk:
    """One environment after the other, as SB3's DummyVecEnv would, without its bookkeeping."""
    import gymnasium as gym
    import minigrid

    assert minigrid  # registers its games
    envs = [gym.make("MiniGrid-DoorKey-8x8-v0", **arguments) for _ in range(n_envs)]
    for index, env in enumerate(envs):
        env.reset(seed=seed + index)
    actions = np.random.default_rng(seed).integers(7, size=(CHUNK, n_envs)).tolist()

    def run() -> None:
        for chosen in actions:
            for env, action in zip(envs, chosen, strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()

    return run


def headstart(n_envs: int, seed: int, arguments: dict[str, Any]) -> Chunk:
    """Ours, through `gymnasium.make_vec`."""
    import gymnasium as gym

    from envs.registration import register_games

    register_games()
    envs = gym.make_vec("headstart/DoorKey-8x8-v0", n_envs, vectorization_mode="vector_entry_point", **arguments)
    envs.reset(seed=seed)
    actions = np.random.default_rng(seed).integers(envs.single_action_space.n, size=(CHUNK, n_envs))

    def run() -> None:
        for chosen in actions:
            envs.step(chosen)

    return run


ENGINES = {"navix": navix, "xminigrid": xminigrid, "minigrid": minigrid, "headstart": headstart}


def pin(cores: int | None) -> None:
    """Keep this process to its first cores, where the system can."""
    if cores is not None:
        os.environ["NUMBA_NUM_THREADS"] = str(cores)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def main() -> None:
    """Step for some seconds, and print the line."""
    clock = Clock()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--n-envs", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=3.0, help="of the timed part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, help="use so many cores only")
    parser.add_argument("--arguments", type=json.loads, default={}, metavar="JSON", help="of the game")
    options = parser.parse_args()
    pin(options.cores)
    run = ENGINES[options.engine](options.n_envs, options.seed, options.arguments)
    run()
    span = Span(clock)
    span.begin(0)
    ends, steps = time.monotonic() + options.seconds, 0
    while time.monotonic() < ends:
        run()
        steps += CHUNK * options.n_envs
    found = versions("navix", "xminigrid", "jax", "minigrid", "gymnasium", "numba", "numpy")
    say(clock, **span.end(steps), n_envs=options.n_envs, versions=found)


if __name__ == "__main__":
    main()
