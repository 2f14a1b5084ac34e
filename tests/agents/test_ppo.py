"""PPO: SB3's numbers, and learning."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.outputs import Batch, policy_outputs
from agents.ppo import PPO

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped values": {"clip_range_vf": 0.1, "ent_coef": 0.02},
    "raw advantages": {"normalize_advantage": False, "vf_coef": 0.9},
    "early stop": {"target_kl": 0.001, "learning_rate": 0.01},
    "stump": {"batch_size": 48},
    "tight clip": {"max_grad_norm": 0.05, "clip_range": 0.05},
    "separate encoders": {"policy_kwargs": {"share_features_extractor": False}},
}


class Toy(gym.Env[np.ndarray, Any]):
    """Noise to look at, a reward that depends on the action, episodes of ten steps."""

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._look(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._look(), float(np.sum(action)), self.steps % 7 == 0, self.steps >= 10, {}

    def _look(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


ACTION_SPACES = {
    "discrete": spaces.Discrete(3),
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
}


def build(algorithm: Any, action_space: spaces.Space[Any], **settings: Any) -> Any:
    venv = DummyVecEnv([lambda: Toy(action_space)] * 4)
    settings = {"n_steps": 32, "batch_size": 32, "n_epochs": 3, "seed": 5, "device": "cpu"} | settings
    learner = algorithm("MlpPolicy", venv, **settings)
    learner.set_logger(Logger(None, []))
    return learner


def filled(learner: Any) -> Any:
    """The learner, its rollout collected."""
    _, callback = learner._setup_learn(1000, None)
    learner.collect_rollouts(learner.env, callback, learner.rollout_buffer, learner.n_steps)
    return learner


def assert_close(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    expected = dict(theirs.policy.named_parameters())
    for name, parameter in ours.policy.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("space", ACTION_SPACES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_an_update_is_sb3s(setting: str, space: str) -> None:
    learners = []
    for algorithm in (PPO, stable_baselines3.PPO):
        learner = filled(build(algorithm, ACTION_SPACES[space], **SETTINGS[setting]))
        before = copy.deepcopy(learner.policy.state_dict())
        for _ in range(2):
            learner.train()
        assert any(not torch.equal(before[k], v) for k, v in learner.policy.state_dict().items())
        learners.append(learner)
    ours, theirs = learners
    assert_close(ours, theirs)
    logged, expected = ours.logger.name_to_value, theirs.logger.name_to_value
    assert logged.keys() == expected.keys()
    for key, value in expected.items():
        assert logged[key] == pytest.approx(value, abs=2e-5, rel=1e-4), key
