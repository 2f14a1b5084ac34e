"""Games as `make_vec` makes them: many at once, and a batch as its single environments."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from envs.batched import BatchedVecEnv
from envs.check.report import Fault, Report
from envs.errors import HeadstartError
from envs.masks import MASK, is_masked
from envs.vector import make_vec

N_ENVS = 3
STEPS = 300


def check_vectors(report: Report, name: str) -> None:
    """Check that several play side by side and, if they are batched, as the single ones do."""
    with report.part("several can be played side by side") as found:
        try:
            venv = make_vec(name, n_envs=N_ENVS, seed=1)
            venv.step(legal_actions(venv, venv.reset()))
        except HeadstartError as error:
            found.append(Fault(str(error), "a game that make_vec can make", "follow the message"))
            return
    if isinstance(venv.unwrapped, BatchedVecEnv):
        with report.part("the batch plays as the single environments") as found:
            found += differences(venv, make_vec(name, n_envs=N_ENVS, seed=1, backend="dummy"))


def differences(batch: VecEnv, singles: VecEnv) -> Iterator[Fault]:
    """The first difference between two ways to play the same games with the same seeds and actions."""
    for venv in (batch, singles):
        venv.seed(1)
    one: dict[str, Any] = {"observation": batch.reset()}
    other: dict[str, Any] = {"observation": singles.reset()}
    for step in range(STEPS):
        different = next((part for part in one if not _same(one[part], other[part])), None)
        if different is not None:
            yield Fault(
                f"the batch and the single environments differ in the {different} after {step} steps",
                "environment i of a batch seeded with s to play as the single environment seeded with s + i",
                "give each environment of the batch a generator of its own, and reset it in the step that ends its "
                "episode, with its last observation in infos['final_obs']",
            )
            return
        actions = legal_actions(batch, one["observation"])
        one, other = _stepped(batch, actions), _stepped(singles, actions)


def _stepped(venv: VecEnv, actions: np.ndarray) -> dict[str, Any]:
    observations, rewards, dones, infos = venv.step(actions)
    return {
        "end of episodes": dones,
        "reward": rewards,
        "observation": observations,
        "last observation": [info["terminal_observation"] for info, done in zip(infos, dones, strict=True) if done],
        "truncation": [bool(info.get("TimeLimit.truncated", False)) for info in infos],
    }


def _same(one: Any, other: Any) -> bool:
    """Equality to float32's tolerance."""
    if isinstance(one, dict):
        return all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return np.allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-5, atol=1e-6)


def legal_actions(venv: VecEnv, seen: Any) -> np.ndarray:
    """Random actions, one each; where a mask says which are legal, legal ones."""
    space = venv.action_space
    if is_masked(venv.observation_space) and isinstance(space, spaces.Discrete):
        return np.array([space.sample(mask=np.asarray(mask, np.int8)) for mask in seen[MASK]])
    return np.array([space.sample() for _ in range(venv.num_envs)])
