"""What the layers of a network are for, of every kind that is mapped: which read observations, which read actions, and
which are heads; those of target networks included."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from agents.encoders import Normaliser
from agents.networks import action_head, first_linears, value_head

KINDS = (ActorCriticPolicy, DQNPolicy, SACPolicy, TD3Policy)
"""Policies whose layers are known."""
ACTION_CRITICS = (SACPolicy, TD3Policy)
"""Those with critics of observation and action."""


def reading(policy: BasePolicy) -> dict[nn.Module, Normaliser | None]:
    """The linear layers that encoders feed, and what normalises the features that each reads.

    Raises ConfigError for a progressive network.
    """
    if isinstance(policy, ActorCriticPolicy):
        encoders = [policy.pi_features_extractor, policy.vf_features_extractor]
        return dict(zip(first_linears(policy), map(_normaliser, encoders), strict=True))
    if not isinstance(policy, ACTION_CRITICS):
        return dict.fromkeys(first_linears(policy), _normaliser(policy.q_net.features_extractor))  # type: ignore[union-attr]
    found: dict[nn.Module, Normaliser | None] = {}
    for actor in _actors(policy):
        found |= dict.fromkeys(_behind_the_encoder(actor), _normaliser(actor.features_extractor))
    for critic in (policy.critic, policy.critic_target):
        found |= dict.fromkeys((_linears(net)[0] for net in critic.q_networks), _normaliser(critic.features_extractor))
    return found


def reading_actions(policy: BasePolicy) -> set[nn.Linear]:
    """The layers that read actions, scaled to [-1, 1], behind the observation's features: the critics' first."""
    return {_linears(net)[0] for net in _q_networks(policy)}


@dataclass(frozen=True)
class Heads:
    """A network's last layers."""

    acting: frozenset[nn.Module]
    """Logits, action values, or the means of actions."""
    deviations: frozenset[nn.Module]
    """Logarithms of standard deviations, where a layer computes them."""
    values: frozenset[nn.Module]
    """What critics end in."""

    @classmethod
    def of(cls, policy: BasePolicy) -> "Heads":
        """Those of a policy. Raises ConfigError for an unknown kind."""
        if not isinstance(policy, ACTION_CRITICS):
            value = value_head(policy)
            return cls(frozenset({action_head(policy)}), frozenset(), frozenset({value} if value else ()))
        layers = [getattr(actor, "log_std", None) for actor in _actors(policy)]
        return cls(
            frozenset(_linears(actor.mu)[-1] for actor in _actors(policy)),
            frozenset(layer for layer in layers if isinstance(layer, nn.Linear)),
            frozenset(_linears(net)[-1] for net in _q_networks(policy)),
        )

    def __contains__(self, layer: nn.Module) -> bool:
        return any(layer in each for each in (self.acting, self.deviations, self.values))


def _actors(policy: Any) -> list[Any]:
    return [policy.actor, policy.actor_target] if isinstance(policy, TD3Policy) else [policy.actor]


def _q_networks(policy: Any) -> Iterator[nn.Module]:
    if isinstance(policy, ACTION_CRITICS):
        for critic in (policy.critic, policy.critic_target):
            yield from critic.q_networks


def _behind_the_encoder(actor: Any) -> list[nn.Linear]:
    """A TD3's first layer; a SAC's, or both of its heads where it has no hidden layer."""
    latent = getattr(actor, "latent_pi", None)
    if latent is None:
        return _linears(actor.mu)[:1]
    return _linears(latent)[:1] or [layer for head in (actor.mu, actor.log_std) for layer in _linears(head)]


def _linears(module: Any) -> list[nn.Linear]:
    """Those in a module; none in a parameter, such as the standard deviations of gSDE."""
    return [each for each in module.modules() if isinstance(each, nn.Linear)] if isinstance(module, nn.Module) else []


def _normaliser(encoder: Any) -> Normaliser | None:
    found = getattr(encoder, "normaliser", None)
    return found if isinstance(found, Normaliser) else None
