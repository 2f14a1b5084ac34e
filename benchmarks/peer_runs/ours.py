"""Our own learner, or another on our games, as `headstart train` puts them together: executed by our Python.

    .venv/bin/python benchmarks/peer_runs/ours.py --steps 200000 --set '{"n_envs": 256, "n_steps": 32}'
    .venv/bin/python benchmarks/peer_runs/ours.py --game headstart/DoorKey-8x8-v0 --check doorkey --steps 1000000

Hyperparameters are the game's preset with `--set` over it; `--plain` leaves the preset out.
"""

import json
from typing import Any

from learning import Made, arguments, run
from report import Clock


def main() -> None:
    """Train, and print the line."""
    clock = Clock()
    parser = arguments(__doc__)
    parser.add_argument("--algorithm", default="ppo", help="a name of our registry, such as sb3-ppo")
    parser.add_argument("--arguments", type=json.loads, default={}, metavar="JSON", help="the game's")
    parser.add_argument("--backend", default="auto", choices=("auto", "batched", "dummy", "subproc"))
    parser.add_argument("--plain", action="store_true", help="SB3's defaults under --set, no preset")
    options = parser.parse_args()

    if options.algorithm == "ppo":
        from agents.compiled import ahead

        ahead.start()  # as `headstart train` does

    import torch
    from stable_baselines3.common.vec_env import VecEnv

    from agents.algorithms import ALGORITHMS, build_learner, resolve
    from agents.hyperparameters import complete
    from agents.networks import NormaliserCallback, normaliser
    from envs.task import Task
    from envs.vector import make_vec

    torch.set_num_threads(options.threads)
    task = Task(game=options.game, arguments=options.arguments)
    hyperparameters: dict[str, Any] = (
        complete(options.algorithm, ALGORITHMS.load(options.algorithm), options.set)
        if options.plain
        else resolve(task, options.algorithm, options.set)
    )

    def fresh() -> VecEnv:
        return make_vec(task, n_envs=100, seed=2**30)

    def make(seed: int) -> Made:
        venv = make_vec(task, n_envs=hyperparameters["n_envs"], seed=seed, backend=options.backend)
        learner = build_learner(options.algorithm, venv, hyperparameters, seed=seed)
        return learner, fresh, [NormaliserCallback()] if normaliser(learner.policy) is not None else []

    run(clock, options, make)


if __name__ == "__main__":
    main()
