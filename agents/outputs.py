"""What a policy network says of a batch of observations, whatever the algorithm: the heads, in one form.

Teachers, auxiliary losses and the watcher all read policies through this.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    StateDependentNoiseDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from agents.masking import MaskedActorCritic
from envs.errors import ConfigError

Kind = Literal["categorical", "gaussian", "q", "deterministic"]
Observations = Tensor | dict[str, Tensor]


@dataclass
class Outputs:
    """A policy's heads on a batch of B observations."""

    kind: Kind
    """What `head` holds."""
    head: Tensor
    """`categorical`: logits (B, n). `q`: action values (B, n). `gaussian`: means (B, d), before any squashing.
    `deterministic`: actions (B, d). Illegal actions' logits are at `agents.masking.ILLEGAL`."""
    log_std: Tensor | None = None
    """Of a `gaussian` head: (B, d)."""
    value: Tensor | None = None
    """State values (B,), where the policy has a critic of states; of a `q` head its maximum over actions."""

    def of(self, rows: Any) -> "Outputs":
        """Those of some of the observations."""
        log_std = None if self.log_std is None else self.log_std[rows]
        return Outputs(self.kind, self.head[rows], log_std, None if self.value is None else self.value[rows])

    def log_probabilities(self, temperature: float = 1.0) -> Tensor:
        """Log-probabilities (B, n) of a discrete head; action values are softened by the temperature."""
        if self.kind not in ("categorical", "q"):
            raise ConfigError(f"a {self.kind} policy has no probabilities of single actions")
        return torch.log_softmax(self.head / temperature, dim=-1)


def policy_outputs(policy: BasePolicy, observations: Observations) -> Outputs:
    """The heads of any Stable-Baselines3 policy on observations as its rollout buffer holds them.

    Raises ConfigError for a kind of policy or action space that has no such form.
    """
    if isinstance(policy, ActorCriticPolicy):
        distribution, value = _actor_critic(policy, observations)
        return from_distribution(distribution, value)
    if isinstance(policy, DQNPolicy):
        q_values = policy.q_net(observations)
        return Outputs("q", q_values, value=q_values.max(dim=-1).values)
    if isinstance(policy, SACPolicy):
        mean, log_std, _ = policy.actor.get_action_dist_params(observations)
        return Outputs("gaussian", mean, log_std=log_std)
    if isinstance(policy, TD3Policy):
        return Outputs("deterministic", policy.actor(observations))
    raise ConfigError(f"policies of the class {type(policy).__name__} have no heads that transfer can read")


def from_distribution(distribution: Any, value: Tensor | None) -> Outputs:
    """Outputs of an actor-critic that has its action distribution already."""
    if isinstance(distribution, CategoricalDistribution):
        return Outputs("categorical", distribution.distribution.logits, value=value)
    if isinstance(distribution, DiagGaussianDistribution | StateDependentNoiseDistribution):
        normal = distribution.distribution
        return Outputs("gaussian", normal.mean, log_std=normal.stddev.log(), value=value)
    raise ConfigError(
        f"a {type(distribution).__name__} cannot be read: transfer needs a Discrete or a Box action space"
    )


def _actor_critic(policy: ActorCriticPolicy, observations: Observations) -> tuple[Any, Tensor]:
    """One pass through both halves: the distribution and the values (B,)."""
    if isinstance(policy, MaskedActorCritic):
        distribution, values = policy.both(observations)
        return distribution, values.flatten()
    features = policy.extract_features(observations)
    if policy.share_features_extractor:
        latent_pi, latent_vf = policy.mlp_extractor(features)
    else:
        pi_features, vf_features = features
        latent_pi = policy.mlp_extractor.forward_actor(pi_features)
        latent_vf = policy.mlp_extractor.forward_critic(vf_features)
    distribution = policy._get_action_dist_from_latent(latent_pi)
    return distribution, policy.value_net(latent_vf).flatten()


@dataclass
class Batch:
    """One minibatch, as an auxiliary loss sees it."""

    policy: BasePolicy
    """The student."""
    observations: Observations
    """As the student's buffer holds them, on its device."""
    optimiser: str = "policy"
    """Whose loss is being formed: `policy`, or `actor` and `critic` where a learner has two optimisers."""
    known: Outputs | None = field(default=None, repr=False)
    """The student's outputs, where the learner has computed them already."""
    rollout: np.ndarray | dict[str, np.ndarray] | None = field(default=None, repr=False)
    """All observations (N, …) of the rollout that the minibatch is drawn from, where they do not change between its
    minibatches: what a constant network says of them has to be asked once."""
    rows: np.ndarray | None = field(default=None, repr=False)
    """Which of these the minibatch is (B,)."""

    @cached_property
    def outputs(self) -> Outputs:
        """The student's outputs, with gradient; computed at most once."""
        return self.known if self.known is not None else policy_outputs(self.policy, self.observations)
