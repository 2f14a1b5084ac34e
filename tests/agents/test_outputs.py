"""What networks say: one form for all algorithms, and SB3's numbers in it."""

from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.distributions import BernoulliDistribution
from stable_baselines3.common.policies import BasePolicy

from agents.outputs import Batch, Outputs, from_distribution, policy_outputs
from envs.errors import ConfigError
from tests.agents.toys import BOX, DISCRETE, MULTIDISCRETE, toys

OBSERVATIONS = torch.linspace(-1, 1, 15).view(5, 3)


def policy_of(algorithm: Any, space: Any, **settings: Any) -> BasePolicy:
    policy: BasePolicy = algorithm("MlpPolicy", toys(space, n_envs=1), seed=1, device="cpu", **settings).policy
    for parameter in policy.parameters():  # away from symmetric beginnings
        parameter.data += 0.1 * torch.randn_like(parameter)
    return policy


@pytest.mark.parametrize("share", [True, False])
def test_categorical_policies(share: bool) -> None:
    policy = policy_of(sb3.PPO, DISCRETE, policy_kwargs={"share_features_extractor": share})
    outputs = policy_outputs(policy, OBSERVATIONS)
    assert (outputs.kind, outputs.head.shape, outputs.log_std) == ("categorical", (5, 3), None)
    values, log_prob, _ = policy.evaluate_actions(OBSERVATIONS, torch.tensor([0, 1, 2, 1, 0]))  # type: ignore[operator]
    torch.testing.assert_close(outputs.value, values.flatten())
    torch.testing.assert_close(outputs.log_probabilities()[range(5), [0, 1, 2, 1, 0]], log_prob)


def test_gaussian_policies() -> None:
    policy = policy_of(sb3.A2C, BOX)
    outputs = policy_outputs(policy, OBSERVATIONS)
    assert outputs.kind == "gaussian"
    values, log_prob, _ = policy.evaluate_actions(OBSERVATIONS, torch.zeros(5, 2))  # type: ignore[operator]
    torch.testing.assert_close(outputs.value, values.flatten())
    assert outputs.log_std is not None
    normal = torch.distributions.Normal(outputs.head, outputs.log_std.exp())
    torch.testing.assert_close(normal.log_prob(torch.zeros(5, 2)).sum(1), log_prob)
    with pytest.raises(ConfigError, match="a gaussian policy has no probabilities of single actions"):
        outputs.log_probabilities()


def test_action_values() -> None:
    policy = policy_of(sb3.DQN, DISCRETE, buffer_size=10)
    outputs = policy_outputs(policy, OBSERVATIONS)
    assert outputs.kind == "q"
    assert outputs.value is not None
    chosen, _ = policy.predict(OBSERVATIONS.numpy(), deterministic=True)
    np.testing.assert_array_equal(outputs.head.argmax(1), chosen)
    torch.testing.assert_close(outputs.value, outputs.head[range(5), chosen])
    soft = outputs.log_probabilities(temperature=0.5).exp()
    torch.testing.assert_close(soft, torch.softmax(outputs.head * 2, dim=1))


def test_squashed_gaussian_policies_give_means_before_the_squashing() -> None:
    policy = policy_of(sb3.SAC, BOX, buffer_size=10)
    outputs = policy_outputs(policy, OBSERVATIONS)
    assert outputs.kind == "gaussian"
    assert outputs.value is None
    chosen, _ = policy.predict(OBSERVATIONS.numpy(), deterministic=True)
    np.testing.assert_allclose(torch.tanh(outputs.head).detach(), chosen, atol=1e-6)


def test_deterministic_policies() -> None:
    policy = policy_of(sb3.TD3, BOX, buffer_size=10)
    outputs = policy_outputs(policy, OBSERVATIONS)
    chosen, _ = policy.predict(OBSERVATIONS.numpy(), deterministic=True)
    assert (outputs.kind, outputs.value, outputs.log_std) == ("deterministic", None, None)
    np.testing.assert_allclose(outputs.head.detach(), chosen, atol=1e-6)


def test_what_has_no_such_form_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="class QRDQNPolicy have no heads that transfer can read"):
        policy_outputs(policy_of(sb3_contrib.QRDQN, DISCRETE, buffer_size=10), OBSERVATIONS)
    with pytest.raises(ConfigError, match=r"a MultiCategoricalDistribution cannot be read: .* Discrete or a Box"):
        policy_outputs(policy_of(sb3.PPO, MULTIDISCRETE), OBSERVATIONS)
    with pytest.raises(ConfigError, match="a BernoulliDistribution cannot be read"):
        from_distribution(BernoulliDistribution(2), None)


def test_a_batch_takes_what_is_known_and_else_asks_the_policy_once(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(sb3.PPO, DISCRETE)
    known = Outputs("categorical", torch.zeros(5, 3))
    assert Batch(policy, OBSERVATIONS, known=known).outputs is known
    asked = []

    def asking(*arguments: Any) -> Outputs:
        asked.append(arguments)
        return policy_outputs(*arguments)

    monkeypatch.setattr("agents.outputs.policy_outputs", asking)
    batch = Batch(policy, OBSERVATIONS)
    assert batch.outputs is batch.outputs
    assert batch.outputs.head.requires_grad
    assert len(asked) == 1
