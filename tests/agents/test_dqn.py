"""DQN: SB3's numbers and its auxiliary loss."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch

from agents.dqn import DQN
from agents.outputs import Batch, policy_outputs
from tests.agents.test_ppo import assert_same_parameters
from tests.agents.toys import DISCRETE, off_policy_learner, quiet, toys

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tight clip": {"max_grad_norm": 0.01},
    "n-step": {"n_steps": 3},
    "little memory": {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}},
    "soft targets": {"tau": 0.1, "target_update_interval": 8},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_updates_are_sb3s(setting: str) -> None:
    learners = []
    for algorithm in (DQN, stable_baselines3.DQN):
        learner = off_policy_learner(algorithm, DISCRETE, learning_rate=0.003, **SETTINGS[setting])
        for _ in range(3):
            learner.train(gradient_steps=7, batch_size=32)
        learners.append(learner)
    assert_same_parameters(*learners)
    logged, expected = (learner.logger.name_to_value for learner in learners)
    assert logged.keys() == expected.keys()
    assert logged["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)


def test_a_training_is_sb3s() -> None:
    settings = {"learning_starts": 50, "train_freq": 8, "gradient_steps": 4, "target_update_interval": 20}
    learners = [off_policy_learner(algorithm, DISCRETE, **settings) for algorithm in (DQN, stable_baselines3.DQN)]
    assert_same_parameters(*learners)
    assert learners[0]._n_updates == learners[1]._n_updates > 0


def test_large_observations_are_not_all_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learners = []
    for at_once in (1, 2**21):
        monkeypatch.setattr("agents.dqn.AT_ONCE", at_once)
        learner = off_policy_learner(DQN, DISCRETE)
        learner.compiles = False
        sizes: list[int] = []
        learner.q_net_target.register_forward_pre_hook(lambda _, inputs, sizes=sizes: sizes.append(len(inputs[0])))
        learner.train(gradient_steps=5, batch_size=16)
        assert sizes == ([16] * 5 if at_once == 1 else [80])
        learners.append(learner)
    assert_same_parameters(*learners)


def test_the_auxiliary_loss_is_given_what_the_policy_says_of_the_minibatch() -> None:
    learner = off_policy_learner(DQN, DISCRETE)
    seen = []

    def loss(batch: Batch) -> torch.Tensor:
        expected = policy_outputs(learner.policy, batch.observations)
        assert batch.known is not None
        torch.testing.assert_close(batch.outputs.head, expected.head)
        torch.testing.assert_close(batch.outputs.value, expected.value)
        seen.append(len(batch.observations))
        return (batch.outputs.head - 7.0).square().mean()

    before = learner.q_net(torch.zeros(1, 3)).mean().item()
    learner.auxiliary = loss
    learner.train(gradient_steps=20, batch_size=16)
    assert seen == [16] * 20
    assert learner.q_net(torch.zeros(1, 3)).mean().item() > before
    assert learner.logger.name_to_value["train/auxiliary_loss"] > 0


def test_a_zip_opens_in_plain_sb3(tmp_path: Path) -> None:
    learner = off_policy_learner(DQN, DISCRETE)
    learner.auxiliary = lambda batch: None
    learner.train(gradient_steps=2, batch_size=16)
    learner.save(tmp_path / "ours.zip")
    assert_same_parameters(learner, stable_baselines3.DQN.load(tmp_path / "ours.zip", device="cpu"), tolerance=0)
    again = quiet(DQN.load(tmp_path / "ours.zip", env=toys(DISCRETE, n_envs=2), device="cpu"))
    assert again.auxiliary is None
    assert np.isfinite(again.learn(10).policy.q_net.q_net[0].weight.detach().numpy()).all()
