"""A policy's network, by its parts: the encoder and its normaliser, the first layers, the heads.

An architecture is a plain JSON document, a part of the hyperparameters; from it and the two spaces the same network
can be built anywhere.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from agents.encoders import FlatEncoder, Normaliser, find_encoder
from agents.masking import seen_by
from agents.progressive import Column, Columns, earlier_columns
from envs.errors import ConfigError
from envs.masks import inner
from envs.registry import did_you_mean

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}

ARCHITECTURE = ("net_arch", "activation", "encoder", "normalise_observations")
"""The hyperparameters of every algorithm's network. `net_arch` and `activation` None stand for SB3's own."""

POLICY_ARGUMENTS = (
    "ortho_init",
    "log_std_init",
    "share_features_extractor",
    "full_std",
    "use_expln",
    "n_critics",
    "n_quantiles",
)
"""Arguments of SB3's policies that decide the network too, where an algorithm's policy takes them."""


def architecture(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The part of the hyperparameters that decides the network, as plain JSON."""
    keys = (*ARCHITECTURE, *POLICY_ARGUMENTS, "use_sde", "progressive")
    return {key: hyperparameters[key] for key in keys if key in hyperparameters}


def policy_kwargs(architecture: dict[str, Any], observation_space: spaces.Space[Any]) -> dict[str, Any]:
    """SB3's `policy_kwargs` for an architecture. Raises UnknownName or ConfigError.

    `use_sde` is not among them: SB3's algorithms hand it to their policies themselves.
    """
    extractor, arguments = find_encoder(
        architecture.get("encoder") or "auto",
        observation_space,
        bool(architecture.get("normalise_observations")),
    )
    kwargs = {"features_extractor_class": extractor, "features_extractor_kwargs": arguments}
    if architecture.get("net_arch") is not None:
        kwargs["net_arch"] = architecture["net_arch"]
    if architecture.get("activation") is not None:
        kwargs["activation_fn"] = activation(architecture["activation"])
    kwargs |= {key: architecture[key] for key in POLICY_ARGUMENTS if architecture.get(key) is not None}
    return kwargs


def activation(name: str) -> type[nn.Module]:
    """The module behind an activation's name. Raises UnknownName."""
    if name not in ACTIVATIONS:
        raise did_you_mean("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def encoders(policy: BasePolicy) -> list[BaseFeaturesExtractor]:
    """All encoders of a policy that learn, or could; those of its target networks included, the acting one first."""
    constant = {id(part) for column in policy.modules() if isinstance(column, Column) for part in column.modules()}
    return [
        module
        for module in policy.modules()
        if isinstance(module, BaseFeaturesExtractor) and not isinstance(module, Columns) and id(module) not in constant
    ]


def first_linears(policy: BasePolicy) -> list[nn.Linear]:
    """The linear layers that the encoder feeds: actor's and critic's of an actor-critic, else those that act.

    Where a network has no hidden layer these are its heads. Raises ConfigError for an unknown kind of policy.
    """
    if earlier_columns(policy):
        raise ConfigError(
            "the observation enters a progressive network in several columns, and features cannot be mapped in all of "
            "them: expected games with equal observations, or a source without the method progressive"
        )
    match policy:
        case ActorCriticPolicy():
            nets = policy.mlp_extractor
            return [
                _linears(nets.policy_net, policy.action_net)[0],
                _linears(nets.value_net, policy.value_net)[0],
            ]
        case DQNPolicy():
            return _linears(policy.q_net.q_net)[:1]
        case SACPolicy():
            hidden = _linears(policy.actor.latent_pi)
            return hidden[:1] or _linears(policy.actor.mu, policy.actor.log_std)
        case TD3Policy():
            return _linears(policy.actor.mu)[:1]
    raise _unknown(policy)


def action_head(policy: BasePolicy) -> nn.Linear:
    """The last layer of what acts: logits, Q-values or means. Raises ConfigError for an unknown kind of policy."""
    match policy:
        case ActorCriticPolicy():
            return _linears(policy.action_net)[-1]
        case DQNPolicy():
            return _linears(policy.q_net.q_net)[-1]
        case SACPolicy() | TD3Policy():
            return _linears(policy.actor.mu)[-1]
    raise _unknown(policy)


def value_head(policy: BasePolicy) -> nn.Linear | None:
    """The last layer of the critic of states; None where a policy has none (DQN, SAC, TD3)."""
    return _linears(policy.value_net)[-1] if isinstance(policy, ActorCriticPolicy) else None


def _linears(*modules: Any) -> list[nn.Linear]:
    return [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]


def _unknown(policy: BasePolicy) -> ConfigError:
    return ConfigError(f"policies of the class {type(policy).__name__} have no layers that transfer can read")


def normalisers(policy: BasePolicy) -> list[Normaliser]:
    """All normalisers of a policy, those of its target networks included; the acting one first."""
    found = (getattr(encoder, "normaliser", None) for encoder in encoders(policy))
    return [module for module in found if isinstance(module, Normaliser)]


def normaliser(policy: BasePolicy) -> Normaliser | None:
    """The normaliser of the observations that a policy acts on, if it has one."""
    return next(iter(normalisers(policy)), None)


@torch.no_grad()
def update_normaliser(policy: BasePolicy, observations: Any) -> None:
    """Merge observations (B, …), as a buffer holds them, into the policy's normaliser and all its twins.

    Of those that say which actions are legal, what is looked at may stand alone.

    Nothing happens to a policy without one.
    """
    first = next((e for e in encoders(policy) if isinstance(e, FlatEncoder) and e.normaliser), None)
    if first is None or first.normaliser is None:
        return
    tensor = torch.as_tensor(seen_by(policy, observations), device=policy.device)
    space = inner(policy.observation_space)
    preprocessed = preprocess_obs(tensor, space, normalize_images=policy.normalize_images)
    first.normaliser.update(first.encode(preprocessed))  # type: ignore[arg-type]
    sync_normalisers(policy)


def sync_normalisers(policy: BasePolicy) -> None:
    """Give every network of a policy, targets included, the statistics of the acting one."""
    found = normalisers(policy)
    for other in found[1:]:
        other.copy_from(found[0])


class NormaliserCallback(BaseCallback):
    """Updates a learner's normaliser as training goes on.

    On-policy: with a rollout's observations once the update from that rollout is done, so that statistics are constant
    within a rollout and its update. Off-policy: with the new observations, every `every` transitions.
    """

    def __init__(self, every: int = 1000) -> None:
        super().__init__()
        self.every = every
        self._seen: list[np.ndarray] = []

    def _on_rollout_start(self) -> None:
        if hasattr(self.model, "rollout_buffer"):
            self._flush()

    def _on_rollout_end(self) -> None:
        buffer = getattr(self.model, "rollout_buffer", None)
        if buffer is not None and normaliser(self.model.policy) is not None:
            observations = seen_by(self.model.policy, buffer.observations)  # (n_steps, n_envs, …)
            self._seen = [observations.reshape(-1, *observations.shape[2:]).copy()]

    def _on_step(self) -> bool:
        if not hasattr(self.model, "rollout_buffer") and normaliser(self.model.policy) is not None:
            self._seen.append(np.array(self.locals["new_obs"]))
            if sum(map(len, self._seen)) >= self.every:
                self._flush()
        return True

    def _flush(self) -> None:
        if self._seen:
            update_normaliser(self.model.policy, np.concatenate(self._seen))
            self._seen = []
