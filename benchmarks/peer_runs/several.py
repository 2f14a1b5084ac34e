"""Plays a game of several agents at random and prints agent steps and CPU seconds as a line of JSON.

    python several.py ours|supersuit GAME [--copies 4] [--seconds 3] [--seed 0]

`ours` is `ParallelVecEnv` as Stable-Baselines3 steps it, with its infos, terminal observations and episode records.
`supersuit` is its usual route: wrappers, `pettingzoo_env_to_vec_env_v1`, `concat_vec_envs_v1`, stepped as Gymnasium's.
Both play PettingZoo's own game of the same version with the same arguments, in one process.
"""

import argparse
import importlib
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

GAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "simple_spread": ("mpe2.simple_spread_v3", {}),
    "simple_tag": ("mpe2.simple_tag_v3", {}),
    "simple_reference": ("mpe2.simple_reference_v3", {}),
    "knights_archers_zombies": ("pettingzoo.butterfly.knights_archers_zombies_v11", {}),
    "cooperative_pong": ("pettingzoo.butterfly.cooperative_pong_v6", {"render_mode": "rgb_array"}),
    "pistonball": ("pettingzoo.butterfly.pistonball_v6", {}),
    "pursuit": ("pettingzoo.sisl.pursuit_v5", {}),
    "multiwalker": ("pettingzoo.sisl.multiwalker_v9", {}),
}
PIXELS = ("cooperative_pong", "pistonball")
PADDED = ("simple_tag",)
DYING = ("knights_archers_zombies",)


def ours(game: str, copies: int, seed: int) -> tuple[Callable[[Any], Any], Any, int]:
    """A step, the action space of one slot, and how many slots."""
    from envs.parallel import ParallelVecEnv
    from envs.parallel.pictures import SmallGrey

    module, arguments = GAMES[game]
    make = importlib.import_module(module).parallel_env

    def made() -> Any:
        env = make(**arguments)
        return SmallGrey(env, one_view=game == "cooperative_pong") if game in PIXELS else env

    venv = ParallelVecEnv(made, copies)
    venv.seed(seed)
    venv.reset()
    return venv.step, venv.action_space, venv.num_envs


def supersuit(game: str, copies: int, seed: int) -> tuple[Callable[[Any], Any], Any, int]:
    """A step, the action space of one slot, and how many slots."""
    import supersuit as ss

    module, arguments = GAMES[game]
    env = importlib.import_module(module).parallel_env(**arguments)
    if game in PIXELS:
        env = ss.frame_stack_v1(ss.resize_v1(ss.color_reduction_v0(env, mode="full"), 84, 84), 4)
    if game in PADDED:
        env = ss.pad_observations_v0(env)
    if game in DYING:
        env = ss.black_death_v3(env)
    venv = ss.concat_vec_envs_v1(ss.pettingzoo_env_to_vec_env_v1(env), copies, num_cpus=1, base_class="gymnasium")
    venv.reset(seed=seed)
    return venv.step, venv.action_space, venv.num_envs


def main() -> None:
    """Play for some CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("ours", "supersuit"))
    parser.add_argument("game", choices=GAMES)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make = ours if options.way == "ours" else supersuit
    step, space, slots = make(options.game, options.copies, options.seed)
    space.seed(options.seed)
    actions = [np.array([space.sample() for _ in range(slots)]) for _ in range(64)]
    for chosen in actions[:10]:
        step(chosen)
    steps, began = 0, time.process_time()
    while (seconds := time.process_time() - began) < options.seconds:
        step(actions[steps % len(actions)])
        steps += 1
    print(json.dumps({"steps": steps * slots, "seconds": seconds, "versions": versions()}))


def versions() -> dict[str, str]:
    """Of what both play."""
    found = {}
    for package in ("pettingzoo", "mpe2", "numpy", "SuperSuit"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
