"""A game of noise, and learners on it that have something to learn from."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.algorithms import build_policy, resolve
from agents.networks import architecture
from agents.policy import Policy
from envs.masks import MASK, SEEN, with_mask
from envs.task import Task
from envs.vector import interface, make_vec

DISCRETE = spaces.Discrete(3)
BOX = spaces.Box(-1, 1, (2,), np.float32)
MULTIDISCRETE = spaces.MultiDiscrete([2, 3])


class Toy(gym.Env[np.ndarray, Any]):
    """Noise to look at, a reward that depends on the action, terminations and truncations."""

    def __init__(self, action_space: spaces.Space[Any], observation_space: spaces.Space[Any] | None = None) -> None:
        self.observation_space = observation_space or spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = action_space
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        terminated = bool(self.np_random.random() < 0.1)
        return self.observation_space.sample(), float(np.sum(action)), terminated, self.steps >= 10, {}


PLANES = spaces.Box(0, 1, (4, 3, 2), np.uint8)


class Moves(gym.Env[Any, Any]):
    """A toy that says which of its moves are legal, and refuses the others. The first legal one is paid."""

    def __init__(self, seen: spaces.Space[Any] = PLANES, n: int = 5) -> None:
        self.observation_space = with_mask(seen, n)
        self.action_space = spaces.Discrete(n)
        self.legal = np.ones(n, np.int8)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        if not self.legal[action]:
            raise ValueError(f"{action} is illegal")
        self.steps += 1
        reward = float(action == np.flatnonzero(self.legal)[0])
        terminated = bool(self.np_random.random() < 0.1)
        return self._seen(), reward, terminated, self.steps >= 10, {}

    def action_masks(self) -> np.ndarray:
        """As sb3-contrib asks for them."""
        return self.legal.astype(bool)

    def _seen(self) -> dict[str, np.ndarray]:
        self.legal = (self.np_random.random(len(self.legal)) < 0.4).astype(np.int8)
        self.legal[self.np_random.integers(len(self.legal))] = 1
        return {SEEN: self.observation_space[SEEN].sample(), MASK: self.legal.copy()}  # type: ignore[index]


def moves(seen: spaces.Space[Any] = PLANES, n: int = 5, n_envs: int = 4) -> DummyVecEnv:
    """Several toys with legal moves."""
    return DummyVecEnv([lambda: Moves(seen, n)] * n_envs)


def toys(
    action_space: spaces.Space[Any], observation_space: spaces.Space[Any] | None = None, n_envs: int = 4
) -> DummyVecEnv:
    """Several toys."""
    return DummyVecEnv([lambda: Toy(action_space, observation_space)] * n_envs)


def quiet(learner: Any) -> Any:
    """The learner with a logger that prints nothing."""
    learner.set_logger(Logger(None, []))
    return learner


def on_policy_learner(algorithm: Any, action_space: spaces.Space[Any], **settings: Any) -> Any:
    """A learner whose rollout is full."""
    learner = quiet(algorithm("MlpPolicy", toys(action_space), **({"seed": 5, "device": "cpu"} | settings)))
    _, callback = learner._setup_learn(1000, None)
    learner.collect_rollouts(learner.env, callback, learner.rollout_buffer, learner.n_steps)
    return learner


def off_policy_learner(algorithm: Any, action_space: spaces.Space[Any], **settings: Any) -> Any:
    """A learner whose replay buffer holds a few hundred transitions."""
    settings = {"seed": 5, "device": "cpu", "buffer_size": 1000, "learning_starts": 1000} | settings
    learner = quiet(algorithm("MlpPolicy", toys(action_space, n_envs=2), **settings))
    learner.learn(300)
    return learner


def fresh(task: Task, algorithm: str = "ppo", **overrides: Any) -> Policy:
    """An untrained policy of a task, always the same."""
    hyperparameters = resolve(task, algorithm, {"net_arch": [8], **overrides})
    venv = make_vec(task, seed=0)
    known = interface(venv)
    venv.close()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_policy(algorithm, architecture(hyperparameters), known.observation_space, known.action_space)
    return Policy(network, known, algorithm, architecture(hyperparameters), hyperparameters, task)
