"""Actor-critics that play legal moves only: the logits of illegal ones are put at -1e8 before a distribution is made.

Huang & Ontañón 2022, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms"; the number is that of
sb3-contrib's MaskablePPO. In single precision an illegal action's probability is exactly 0 then, and so are its share
of the entropy and the gradient of its logit.

A network of this kind has observations `Dict(observation, action_mask)`. Its encoder is one for what is looked at, and
never sees the mask: the parts of two such networks are those of plain ones.
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from agents.progressive import ProgressiveActorCritic
from envs.errors import ConfigError, GameError
from envs.masks import MASK, SEEN, inner, is_masked

ILLEGAL = -1e8
"""The logit of an illegal action."""


def masked(logits: Tensor, masks: Tensor | None) -> Tensor:
    """Logits (B, n), those of actions whose mask (B, n) is 0 at `ILLEGAL`; as they are if there are no masks."""
    return logits if masks is None else logits.masked_fill(masks == 0, ILLEGAL)


def masks_of(policy: BasePolicy, observations: Any) -> Any:
    """The masks (B, n) among the observations of a policy; None where it has none."""
    return observations[MASK] if isinstance(policy, MaskedActorCritic) else None


def seen_by(policy: BasePolicy, observations: Any) -> Any:
    """What a policy's encoder sees of observations, before they are preprocessed."""
    dictionary = isinstance(policy, MaskedActorCritic) and isinstance(observations, dict)
    return observations[SEEN] if dictionary else observations


def features_of(policy: BasePolicy, observations: Any, encoder: BaseFeaturesExtractor) -> Tensor:
    """What an encoder makes of a policy's observations (B, …): (B, features_dim)."""
    if isinstance(policy, MaskedActorCritic):
        found: Tensor = policy.extract_features(observations, encoder)  # type: ignore[assignment]
        return found
    return BasePolicy.extract_features(policy, observations, encoder)


def insist_on_a_move(masks: Any, game: str | None) -> None:
    """Raises GameError if one of the masks (B, n), tensors or arrays, has no legal action."""
    if not masks.any(-1).all():
        where = f"game {game!r}" if game else "the game"
        raise GameError(
            f"{where} returned an {MASK} without any legal action: expected at least one 1 in every observation that "
            "is acted on; where an agent can only wait, let that be an action"
        )


class MaskedActorCritic(ActorCriticPolicy):
    """SB3's actor-critic for observations that say which actions are legal.

    `features_extractor` is one for the space that is looked at.

    Raises ConfigError for another observation space, and for actions that the mask does not count.
    """

    game: str | None = None
    """What is played, for messages."""

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], *args: Any, **kwargs: Any
    ):
        _must_fit(observation_space, action_space)
        super().__init__(observation_space, action_space, *args, **kwargs)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """Of what is looked at."""
        return self.features_extractor_class(inner(self.observation_space), **self.features_extractor_kwargs)

    def extract_features(  # type: ignore[override]
        self, obs: Any, features_extractor: BaseFeaturesExtractor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Features (B, n) of one encoder; without one, what actor and critic see, a pair if they share none."""
        seen = preprocess_obs(obs[SEEN], inner(self.observation_space), normalize_images=self.normalize_images)
        if features_extractor is not None:
            found: Tensor = features_extractor(seen)
            return found
        if self.share_features_extractor:
            return self.features_extractor(seen)  # type: ignore[no-any-return]
        return self.pi_features_extractor(seen), self.vf_features_extractor(seen)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (B,), values (B, 1) and log-probabilities (B,). Raises GameError where nothing is legal."""
        insist_on_a_move(obs[MASK], self.game)
        distribution, values = self.both(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values (B, 1), log-probabilities (B,) and entropies over the legal actions (B,)."""
        distribution, values = self.both(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """Over the actions, illegal ones having probability 0."""
        features: Any = self.extract_features(obs, self.pi_features_extractor)
        return self._distribution(self.mlp_extractor.forward_actor(features), obs)

    def predict_values(self, obs: Any) -> Tensor:
        """Values (B, 1)."""
        features: Any = self.extract_features(obs, self.vf_features_extractor)
        values: Tensor = self.value_net(self.mlp_extractor.forward_critic(features))
        return values

    def both(self, obs: Any) -> tuple[Distribution, Tensor]:
        """The distribution and the values (B, 1), in one pass."""
        features: Any = self.extract_features(obs)
        pi_features, vf_features = (features, features) if self.share_features_extractor else features
        latent_pi = self.mlp_extractor.forward_actor(pi_features)
        values = self.value_net(self.mlp_extractor.forward_critic(vf_features))
        return self._distribution(latent_pi, obs), values

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """SB3's, and with sb3-contrib's argument: masks (n,) or (B, n) in place of those of the observation.

        With masks the observation may also be what is looked at alone.
        """
        if action_masks is not None:
            seen = observation[SEEN] if isinstance(observation, dict) else observation
            space: Any = self.observation_space
            masks = np.asarray(action_masks).astype(np.int8)
            batched = np.shape(seen) != space[SEEN].shape
            observation = {SEEN: seen, MASK: masks.reshape(-1, space[MASK].n) if batched else masks.reshape(-1)}
        return super().predict(observation, state, episode_start, deterministic)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        insist_on_a_move(observation[MASK], self.game)
        return super()._predict(observation, deterministic)

    def _distribution(self, latent_pi: Tensor, obs: Any) -> Distribution:
        logits = masked(self.action_net(latent_pi), obs[MASK])
        return self.action_dist.proba_distribution(action_logits=logits)


class MaskedProgressive(MaskedActorCritic, ProgressiveActorCritic):
    """A progressive network, every column of which sees what is looked at."""


def masked_class(found: type[BasePolicy], space: spaces.Space[Any]) -> type[BasePolicy]:
    """The class of policies for a space: where its observations have masks, the one beside an actor-critic's.

    Raises ConfigError for policies that are no actor-critics.
    """
    if not is_masked(space) or issubclass(found, MaskedActorCritic):
        return found
    if not issubclass(found, ActorCriticPolicy):
        raise ConfigError(f"policies of the class {found.__name__} know no legal moves; take ppo")
    return MaskedProgressive if issubclass(found, ProgressiveActorCritic) else MaskedActorCritic


def _must_fit(observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
    if not is_masked(observations):
        raise ConfigError(
            f"legal moves: expected observations that are a Dict of {SEEN!r} and {MASK!r}, the latter MultiBinary(n), "
            f"found {observations}"
        )
    parts: Any = observations
    size = int(parts[MASK].n)
    if not isinstance(actions, spaces.Discrete) or int(actions.n) != size or actions.start != 0:
        raise ConfigError(f"legal moves: the {MASK} counts {size} actions, expected Discrete({size}), found {actions}")
    if isinstance(parts[SEEN], spaces.Dict):
        raise ConfigError(f"legal moves: what is looked at, {SEEN!r}, must be one array, found {parts[SEEN]}")
