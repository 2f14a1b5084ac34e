"""Our ids with Gymnasium."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from envs.cartpole import CartPoleEnv, CartPoleVectorEnv
from envs.catalogue import list_games
from envs.registration import register_games
from envs.scrambled import ScrambledEnv, ScrambledVectorEnv

CARTPOLES = [game for game in list_games() if game.family == "cartpole"]


@pytest.mark.parametrize("game", CARTPOLES, ids=lambda game: game.id)
def test_every_cartpole_is_made_by_gymnasium_one_by_one_and_batched(game) -> None:  # type: ignore[no-untyped-def]
    register_games()
    env = gym.make(game.id)
    scrambled = game.id.endswith(("Shuffled-v1", "Reversed-v1"))
    assert isinstance(env.unwrapped, ScrambledEnv if scrambled else CartPoleEnv)
    envs = gym.make_vec(game.id, num_envs=3, vectorization_mode="vector_entry_point")
    assert isinstance(envs, ScrambledVectorEnv if scrambled else CartPoleVectorEnv)
    assert env.spec.max_episode_steps == 500
    if not scrambled:  # these hold a plain one, in another order
        assert envs.max_episode_steps == 500
        for name, value in game.arguments.items():
            assert getattr(env.unwrapped, name) == getattr(envs, name) == value
    assert env.spec.reward_threshold == game.threshold
    assert np.array_equal(env.reset(seed=7)[0], envs.reset(seed=5)[0][2])


def test_arguments_and_time_limit_reach_both_ways() -> None:
    register_games()
    env = gym.make("headstart/CartPole-v1", length=3.0, max_episode_steps=9)
    envs = gym.make_vec("headstart/CartPole-v1", 2, length=3.0, max_episode_steps=9)
    assert isinstance(envs, CartPoleVectorEnv)
    assert (env.unwrapped.length, envs.length, envs.max_episode_steps) == (3.0, 3.0, 9)
    assert isinstance(env, TimeLimit)
    assert env.spec.max_episode_steps == 9


def test_registering_twice_changes_nothing() -> None:
    before = dict(register_games())
    assert dict(register_games()) == before


@pytest.mark.parametrize(
    "program",
    [
        "import gymnasium; gymnasium.make('envs:headstart/CartPole-v1')",
        "import gymnasium, envs; gymnasium.make('headstart/CartPole-v1')",
    ],
)
def test_importing_the_floor_registers(program: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
