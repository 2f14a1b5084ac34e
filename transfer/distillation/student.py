"""A policy as a pupil: its heads with gradient, and nothing computed that is not asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor

from agents.encoders import learns
from agents.networks import action_head, encoders
from agents.outputs import Outputs, policy_outputs
from envs.masks import is_masked
from envs.observations import each, taken

AT_ONCE = 2048
"""Observations that pass through a network together, when all of a data set do."""


class Pupil:
    """A policy that is taught; what is frozen of it stays."""

    def __init__(self, policy: BasePolicy) -> None:
        self.policy = policy
        self._encoder = encoders(policy)[0]
        self._plain = isinstance(policy, DQNPolicy) or (
            isinstance(policy, ActorCriticPolicy)
            and policy.share_features_extractor
            and not is_masked(policy.observation_space)
            and type(policy.action_dist) in (CategoricalDistribution, DiagGaussianDistribution)
        )

    @torch.no_grad()
    def encoded(self, observations: Any) -> Tensor | None:
        """The features (N, features_dim) of observations, if the encoder does not learn and they take no more room.

        Symbols that become planes are many times smaller before.
        """
        if not self._plain or learns(self._encoder) or isinstance(observations, dict):
            return None
        if self._encoder.features_dim > observations[0].numel():
            return None
        return torch.cat([self._features(part) for part in parts(observations)])

    def heads(self, observations: Any, features: Tensor | None = None, *, value: bool = True) -> Outputs:
        """The heads of B observations, with gradient.

        Args:
            observations: tensors as the network sees them; not looked at where there are features.
            features: what `encoded` made of them.
            value: whether the critic of an actor-critic is asked, too.
        """
        policy: Any = self.policy
        if not self._plain:
            return policy_outputs(policy, observations)
        features = self._features(observations) if features is None else features
        if isinstance(policy, DQNPolicy):
            q_values = policy.q_net.q_net(features)
            return Outputs("q", q_values, value=q_values.max(dim=-1).values)
        head = policy.action_net(policy.mlp_extractor.forward_actor(features))
        known = policy.value_net(policy.mlp_extractor.forward_critic(features)).flatten() if value else None
        if type(policy.action_dist) is CategoricalDistribution:
            return Outputs("categorical", head, value=known)
        return Outputs("gaussian", head, log_std=policy.log_std.expand_as(head), value=known)

    def _features(self, observations: Any) -> Tensor:
        policy: Any = self.policy
        asked = policy.q_net if isinstance(policy, DQNPolicy) else policy
        features: Tensor = BasePolicy.extract_features(asked, observations, self._encoder)
        return features


@contextmanager
def last_hidden(policy: BasePolicy) -> Iterator[list[Tensor]]:
    """Within the block, the list holds what the layer before the action head gave last, (B, n_hidden)."""
    kept: list[Tensor] = []

    def note(_: Any, inputs: tuple[Tensor, ...]) -> None:
        kept[:] = inputs[:1]

    handle = action_head(policy).register_forward_pre_hook(note)
    try:
        yield kept
    finally:
        handle.remove()


def length(observations: Any) -> int:
    """How many observations a batch holds."""
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


def parts(observations: Any) -> Iterator[Any]:
    """A batch in parts that pass through a network together."""
    for start in range(0, length(observations), AT_ONCE):
        yield taken(observations, slice(start, start + AT_ONCE))


def reordered(observations: Any, order: Tensor) -> Any:
    """A batch of tensors in another order, or some of it."""
    return each(lambda tensor: tensor.index_select(0, order), observations)
