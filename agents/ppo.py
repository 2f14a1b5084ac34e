"""PPO with Stable-Baselines3's mathematics and constructor, and less overhead around it.

From the same data, weights and generators an update ends at SB3's parameters, to float tolerance (a test holds it to
that). On a CPU, small networks with discrete actions act and learn in compiled code (`agents.compiled`), and batched
games hand over arrays. Everything else goes through PyTorch, with less overhead: a rollout becomes tensors once,
what layers make of it that do not learn is computed once, losses stay tensors until they are logged, discrete actions
need no distribution objects, Adam runs fused. Either way no gradient goes below the lowest layer that learns.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional as F

from agents.compiled import compiled_ppo
from agents.encoders import learns
from agents.masking import masked, masked_class, masks_of
from agents.optimising import clip_gradients, fuse
from agents.outputs import Batch, Observations, Outputs, from_distribution
from agents.parts import fixed_beginning
from envs.observations import taken

if TYPE_CHECKING:
    from agents.compiled.learner import CompiledPPO

KNOWN = (RolloutBuffer, DictRolloutBuffer)
"""Rollout buffers whose arrays are read and written without their methods."""


class Minibatch(NamedTuple):
    """Some of a rollout's transitions: B of them."""

    observations: Observations | None
    """As the buffer holds them; None where nobody asked for them."""
    features: Tensor | None
    """What the encoder, and the actor's first layers, make of them (B, n), as far as they do not learn."""
    critic_features: Tensor | None
    """The same of the critic, where its first layers do not learn."""
    actions: Tensor  # (B,) if discrete, else (B, d)
    old_values: Tensor  # (B,)
    old_log_prob: Tensor  # (B,)
    advantages: Tensor  # (B,)
    returns: Tensor  # (B,)
    masks: Tensor | None = None  # (B, n), 0 where an action is illegal


class Evaluated(NamedTuple):
    """What the policy says of a minibatch now."""

    values: Tensor  # (B,)
    log_prob: Tensor  # (B,)
    entropy: Tensor | None  # (B,), or None where it has no closed form
    outputs: Outputs | None


class PPO(stable_baselines3.PPO):
    """Proximal policy optimisation (Schulman et al. 2017), clipped."""

    auxiliary: Callable[[Batch], Tensor | None] | None = None
    """A loss added to PPO's own in every minibatch, or None."""
    _known: "CompiledPPO | None" = None
    _known_to: Any = None
    _fixed: tuple[int, int] = (0, 0)  # modules of the actor's torso and of the critic's below all that learns

    compiles: bool = True
    """Whether to learn in compiled code where that knows the policy."""

    def _setup_model(self) -> None:
        if self.policy_class in (ActorCriticPolicy, MultiInputActorCriticPolicy):
            self.policy_class = masked_class(self.policy_class, self.observation_space)
        super()._setup_model()

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer, as SB3 does. Returns False if the callback ended it."""
        compiled = self._compiled()
        if compiled is None or type(rollout_buffer) not in KNOWN:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        from agents.compiled.rollouts import collect

        self.policy.set_training_mode(False)
        compiled.load()
        return collect(self, compiled, env, callback, rollout_buffer, n_rollout_steps)

    def _compiled(self) -> "CompiledPPO | None":
        """The policy for compiled code; None if that does not know it."""
        if not self.compiles:
            return None
        if self._known_to is not self.policy:
            self._known_to, self._known = self.policy, compiled_ppo(self.policy)
        return self._known if self._known is not None and self._known.fits() else None

    def train(self) -> None:
        """One update: `n_epochs` passes over the rollout, in minibatches, in SB3's order."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        progress = self._current_progress_remaining
        clip_range = self.clip_range(progress)  # type: ignore[operator]
        clip_range_vf = None if self.clip_range_vf is None else self.clip_range_vf(progress)  # type: ignore[operator]
        compiled = self._compiled()
        if compiled is not None and type(self.rollout_buffer) in KNOWN:
            records, begun = compiled.update(self, clip_range, clip_range_vf, self.auxiliary)
            self._n_updates += begun
            for key, value in records.items():
                self.logger.record(f"train/{key}", value)
            self._log_rest(clip_range, clip_range_vf)
        else:
            self._train_by_autograd(clip_range, clip_range_vf)

    def _train_by_autograd(self, clip_range: float, clip_range_vf: float | None) -> None:
        fuse(self.policy.optimizer)
        parameters = list(self.policy.parameters())
        logged: list[dict[str, Tensor]] = []
        epoch_starts, loss = 0, torch.zeros(())
        rollout = self._rollout()
        for _ in range(self.n_epochs):
            epoch_starts = len(logged)
            stopped = False
            for batch in self._minibatches(rollout):
                loss, terms = self._losses(batch, clip_range, clip_range_vf)
                logged.append(terms)
                if self.target_kl is not None and terms["approx_kl"].item() > 1.5 * self.target_kl:
                    stopped = True
                    break
                self.policy.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                clip_gradients(parameters, self.max_grad_norm)
                self.policy.optimizer.step()
            self._n_updates += 1
            if stopped:
                break
        self._log(logged, epoch_starts, loss, clip_range, clip_range_vf)

    def _losses(
        self, batch: Minibatch, clip_range: float, clip_range_vf: float | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a minibatch, and its terms without gradient."""
        now = self._evaluate(batch)
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = now.log_prob - batch.old_log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
        policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
        values = now.values
        if clip_range_vf is not None:
            change = (values - batch.old_values).clamp(-clip_range_vf, clip_range_vf)
            values = batch.old_values + change
        value_loss = F.mse_loss(values, batch.returns)
        entropy_loss = -(now.entropy if now.entropy is not None else -now.log_prob).mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        terms = {
            "policy_gradient_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy_loss": entropy_loss.detach(),
        }
        with torch.no_grad():
            terms["clip_fraction"] = ((ratio - 1).abs() > clip_range).float().mean()
            terms["approx_kl"] = (ratio - 1 - log_ratio).mean()  # Schulman's k3 estimate
        if self.auxiliary is not None:
            added = self.auxiliary(Batch(self.policy, batch.observations, known=now.outputs))  # type: ignore[arg-type]
            if added is not None:
                loss = loss + added
                terms["auxiliary_loss"] = added.detach()
        return loss, terms

    def _evaluate(self, batch: Minibatch) -> Evaluated:
        """SB3's `evaluate_actions`, through features already computed where there are some."""
        policy = self.policy
        if not policy.share_features_extractor:
            values, log_prob, entropy = policy.evaluate_actions(batch.observations, batch.actions)  # type: ignore[arg-type]
            return Evaluated(values.flatten(), log_prob, entropy, None)
        features = batch.features
        if features is None:
            features = policy.extract_features(batch.observations)  # type: ignore[arg-type, assignment]
        latent_pi, latent_vf = self._latents(features, batch.critic_features)
        values = policy.value_net(latent_vf).flatten()
        if isinstance(policy.action_dist, CategoricalDistribution):
            log_probs = torch.log_softmax(masked(policy.action_net(latent_pi), batch.masks), dim=-1)  # (B, n)
            log_prob = log_probs.gather(1, batch.actions.unsqueeze(1)).squeeze(1)
            entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
            return Evaluated(values, log_prob, entropy, Outputs("categorical", log_probs, value=values))
        distribution = policy._get_action_dist_from_latent(latent_pi)
        log_prob, entropy = distribution.log_prob(batch.actions), distribution.entropy()
        outputs = None
        if self.auxiliary is not None and isinstance(self.action_space, spaces.Box) and not self.use_sde:
            outputs = from_distribution(distribution, values)
        return Evaluated(values, log_prob, entropy, outputs)

    def _rollout(self) -> Minibatch | None:
        """The whole rollout as tensors, environment by environment, as SB3 flattens it; None for a foreign buffer."""
        buffer = self.rollout_buffer
        if type(buffer) not in KNOWN:
            return None

        def tensor(values: np.ndarray) -> Tensor:
            flat = values if buffer.generator_ready else buffer.swap_and_flatten(values)
            return torch.as_tensor(flat, device=self.device)

        observations: Observations
        if isinstance(buffer, DictRolloutBuffer):
            observations = {key: tensor(values) for key, values in buffer.observations.items()}
        else:
            observations = tensor(buffer.observations)
        features, critic_features = self._fixed_features(observations)
        numbers = (buffer.values, buffer.log_probs, buffer.advantages, buffer.returns)
        old_values, old_log_prob, advantages, returns = (tensor(each).flatten() for each in numbers)
        return Minibatch(
            observations if features is None or self.auxiliary is not None else None,
            features,
            critic_features,
            self._typed(tensor(buffer.actions)),
            old_values,
            old_log_prob,
            advantages,
            returns,
            masks_of(self.policy, observations),
        )

    @torch.no_grad()
    def _fixed_features(self, observations: Observations) -> tuple[Tensor | None, Tensor | None]:
        """What the layers that do not learn make of a whole rollout, and what the critic's make where they differ."""
        policy, self._fixed = self.policy, (0, 0)
        if not policy.share_features_extractor or learns(policy.features_extractor):
            return None, None
        features: Tensor = policy.extract_features(observations)  # type: ignore[assignment]
        nets = policy.mlp_extractor
        if type(nets) is MlpExtractor:
            self._fixed = (fixed_beginning(nets.policy_net), fixed_beginning(nets.value_net))
        actor, critic = self._fixed
        if actor == critic == 0:
            return features, None
        return nets.policy_net[:actor](features), nets.value_net[:critic](features)

    def _latents(self, features: Any, critic_features: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the heads see."""
        nets = self.policy.mlp_extractor
        if critic_features is None:
            latents: tuple[Tensor, Tensor] = nets(features)
            return latents
        actor, critic = self._fixed
        return nets.policy_net[actor:](features), nets.value_net[critic:](critic_features)

    def _typed(self, actions: Tensor) -> Tensor:
        return actions.long().flatten() if isinstance(self.action_space, spaces.Discrete) else actions.float()

    def _minibatches(self, rollout: Minibatch | None) -> Iterator[Minibatch]:
        """One epoch, shuffled by numpy's global generator, which is SB3's."""
        if rollout is None:
            for data in self.rollout_buffer.get(self.batch_size):
                given = (data.old_values, data.old_log_prob, data.advantages, data.returns)
                masks = masks_of(self.policy, data.observations)
                yield Minibatch(data.observations, None, None, self._typed(data.actions), *given, masks)
            return
        size = len(rollout.returns)
        order = torch.as_tensor(np.random.permutation(size), device=self.device)  # noqa: NPY002
        shuffled = [_take(values, order) for values in rollout]
        for start in range(0, size, self.batch_size):
            yield Minibatch(*(_take(values, slice(start, start + self.batch_size)) for values in shuffled))

    def _log(
        self,
        logged: list[dict[str, Tensor]],
        epoch_starts: int,
        loss: Tensor,
        clip_range: float,
        clip_range_vf: float | None,
    ) -> None:
        """SB3's records: means over all minibatches, the divergence's over the last epoch."""
        for key in ("entropy_loss", "policy_gradient_loss", "value_loss", "clip_fraction", "auxiliary_loss"):
            values = [terms[key] for terms in logged if key in terms]
            if values:
                self.logger.record(f"train/{key}", torch.stack(values).mean().item())
        last_epoch = [terms["approx_kl"] for terms in logged[epoch_starts:]]
        self.logger.record("train/approx_kl", torch.stack(last_epoch).mean().item())
        self.logger.record("train/loss", loss.item())
        self._log_rest(clip_range, clip_range_vf)

    def _log_rest(self, clip_range: float, clip_range_vf: float | None) -> None:
        buffer = self.rollout_buffer
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/explained_variance", explained)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", self.policy.log_std.exp().mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip_range)
        if clip_range_vf is not None:
            self.logger.record("train/clip_range_vf", clip_range_vf)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "auxiliary", "_known", "_known_to"]


def _take(values: Any, which: Any) -> Any:
    return None if values is None else taken(values, which)
