"""A game of noise, and learners on it that have something to learn from."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

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
