"""The score of uniformly random play in every listed game that is installed: the zero of normalised scores.

    .venv/bin/python benchmarks/random_scores.py [GAME ...] [--episodes 100]

Prints the mean return, its standard error and the number of episodes; the means stand in `envs/catalogue.toml`.
"""

import argparse
import math
import warnings

import numpy as np

from envs import list_games, make_vec
from envs.errors import MissingExtra
from envs.masks import MASK, is_masked
from envs.task import Task
from envs.turns.making import evaluated


def random_returns(game: str, episodes: int, seed: int = 0) -> np.ndarray:
    """Returns (episodes,) of uniformly random legal play; of each agent where several share a policy.

    Where one plays against somebody, that one plays at random too, and seats are drawn.
    """
    venv = make_vec(evaluated(Task(game=game)), n_envs=1, seed=10_000 + seed)
    venv.action_space.seed(seed)
    observations = venv.reset()
    returns: list[float] = []
    while len(returns) < episodes * venv.num_envs:
        masks = observations[MASK] if is_masked(venv.observation_space) else [None] * venv.num_envs
        actions = np.stack([venv.action_space.sample(mask) for mask in masks])
        observations, _, _, infos = venv.step(actions)
        returns += [info["episode"]["r"] for info in infos if "episode" in info]
    venv.close()
    return np.array(returns)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*")
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    for game in options.games or [game.id for game in list_games() if game.listed]:
        try:
            returns = random_returns(game, options.episodes)
        except MissingExtra as error:
            print(f"{game:36} {error}")
            continue
        error_of_mean = returns.std(ddof=1) / math.sqrt(len(returns))
        print(f"{game:36} {returns.mean():10.3f} ± {error_of_mean:.3f} ({len(returns)} episodes)", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="gymnasium")
    main()
