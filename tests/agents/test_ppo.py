"""PPO: SB3's numbers, its auxiliary loss, and learning."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces

from agents.outputs import Batch, policy_outputs
from agents.ppo import PPO
from tests.agents.toys import BOX, DISCRETE, MULTIDISCRETE, on_policy_learner, quiet, toys

SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 3}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped values": {"clip_range_vf": 0.1, "ent_coef": 0.02},
    "raw advantages": {"normalize_advantage": False, "vf_coef": 0.9},
    "early stop": {"target_kl": 0.001, "learning_rate": 0.01},
    "stump": {"batch_size": 48},
    "tight clip": {"max_grad_norm": 0.05, "clip_range": 0.05},
    "separate encoders": {"policy_kwargs": {"share_features_extractor": False}},
}
ACTION_SPACES = {"discrete": DISCRETE, "box": BOX, "multidiscrete": MULTIDISCRETE}


def assert_same_parameters(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    expected = dict(theirs.policy.named_parameters())
    for name, parameter in ours.policy.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("space", ACTION_SPACES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_an_update_is_sb3s(setting: str, space: str) -> None:
    learners = []
    for algorithm in (PPO, stable_baselines3.PPO):
        learner = on_policy_learner(algorithm, ACTION_SPACES[space], **(SMALL | SETTINGS[setting]))
        before = copy.deepcopy(learner.policy.state_dict())
        for _ in range(2):
            learner.train()
        assert any(not torch.equal(before[k], v) for k, v in learner.policy.state_dict().items())
        learners.append(learner)
    ours, theirs = learners
    assert_same_parameters(ours, theirs)
    logged, expected = ours.logger.name_to_value, theirs.logger.name_to_value
    assert logged.keys() == expected.keys()
    for key, value in expected.items():
        assert logged[key] == pytest.approx(value, abs=2e-5, rel=1e-4), key


@pytest.mark.parametrize(
    "observations",
    [
        spaces.Discrete(5),
        spaces.Box(0, 255, (36, 36, 3), np.uint8),
        spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3)}),
    ],
    ids=["discrete", "image", "dict"],
)
def test_a_training_is_sb3s_whatever_is_observed(observations: spaces.Space[Any]) -> None:
    policy = "MultiInputPolicy" if isinstance(observations, spaces.Dict) else "MlpPolicy"
    if len(observations.shape or ()) == 3:
        policy = "CnnPolicy"
    learners = []
    for algorithm in (PPO, stable_baselines3.PPO):
        venv = toys(DISCRETE, observations, n_envs=2)
        learner = quiet(algorithm(policy, venv, n_steps=8, batch_size=8, n_epochs=2, seed=3, device="cpu"))
        learners.append(learner.learn(32))
    assert_same_parameters(*learners, tolerance=1e-5)


@pytest.mark.parametrize("space", ["discrete", "box"])
def test_the_auxiliary_loss_is_given_what_the_policy_says_of_the_minibatch(space: str) -> None:
    learner = on_policy_learner(PPO, ACTION_SPACES[space], **SMALL)
    seen = []

    def loss(batch: Batch) -> torch.Tensor:
        expected = policy_outputs(learner.policy, batch.observations)
        assert batch.known is not None
        assert batch.optimiser == "policy"
        torch.testing.assert_close(
            torch.log_softmax(batch.outputs.head, -1) if space == "discrete" else batch.outputs.head,
            expected.log_probabilities() if space == "discrete" else expected.head,
        )
        torch.testing.assert_close(batch.outputs.value, expected.value)
        seen.append(len(batch.observations))
        return 0.1 * batch.outputs.head.square().mean()

    learner.auxiliary = loss
    learner.train()
    assert seen == [32] * 12
    assert learner.logger.name_to_value["train/auxiliary_loss"] > 0


def test_a_large_auxiliary_loss_takes_over() -> None:
    learner = on_policy_learner(PPO, DISCRETE, **(SMALL | {"n_epochs": 60, "learning_rate": 0.01}))
    learner.auxiliary = lambda batch: -100 * batch.outputs.log_probabilities()[:, 2].mean()
    learner.train()
    observations = torch.rand(50, 3) * 2 - 1
    assert policy_outputs(learner.policy, observations).log_probabilities()[:, 2].exp().min() > 0.9


def test_an_auxiliary_loss_of_none_changes_nothing() -> None:
    learners = [on_policy_learner(PPO, DISCRETE, **SMALL) for _ in range(2)]
    learners[0].auxiliary = lambda batch: None
    for learner in learners:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        learner.train()
    assert_same_parameters(*learners, tolerance=1e-6)  # the same sums, taken in another order
    assert "train/auxiliary_loss" not in learners[0].logger.name_to_value


def test_a_foreign_rollout_buffer_is_asked_for_its_minibatches() -> None:
    from stable_baselines3.common.buffers import RolloutBuffer

    class Foreign(RolloutBuffer):
        pass

    learners = [
        on_policy_learner(algorithm, DISCRETE, rollout_buffer_class=Foreign, **SMALL)
        for algorithm in (PPO, stable_baselines3.PPO)
    ]
    for learner in learners:
        np.random.seed(0)  # noqa: NPY002
        learner.train()
    assert_same_parameters(*learners)


def test_a_zip_opens_in_plain_sb3_and_does_not_hold_the_auxiliary_loss(tmp_path: Path) -> None:
    learner = on_policy_learner(PPO, DISCRETE, **SMALL)
    learner.train()
    learner.auxiliary = lambda batch: None
    learner.save(tmp_path / "ours.zip")
    plain = stable_baselines3.PPO.load(tmp_path / "ours.zip", device="cpu")
    assert_same_parameters(learner, plain, tolerance=0)
    again = PPO.load(tmp_path / "ours.zip", env=toys(DISCRETE), device="cpu")
    assert again.auxiliary is None
    quiet(again).learn(128)
