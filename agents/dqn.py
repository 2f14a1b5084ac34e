"""DQN with Stable-Baselines3's mathematics and constructor, and less overhead around it.

From the same data, weights and generators an update ends at SB3's parameters, to float tolerance. On a CPU, small
networks act and learn in compiled code (`agents.compiled`), and batched games hand over arrays. Everything else goes
through PyTorch: the target network, constant within a round of updates, sees all their minibatches at once; losses stay
tensors until they are logged; Adam runs fused.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import stable_baselines3
import torch
from gymnasium.spaces import flatdim
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional as F

from agents.bias import Bias, bias_of, set_bias
from agents.compiled import compiled_dqn
from agents.optimising import clip_gradients, fuse
from agents.outputs import Batch, Observations, Outputs
from agents.transitions import KNOWN, collect

if TYPE_CHECKING:
    from agents.compiled.q_learner import CompiledDQN

AT_ONCE = 2**21
"""Numbers that the target network sees in one pass, at most, so that images fit into memory."""
ACTING = ("predict", "_sample_action", "_store_transition", "_update_info_buffer")
"""What collecting with arrays does by itself; a subclass may do it otherwise."""


class DQN(stable_baselines3.DQN):
    """Deep Q-network (Mnih et al. 2015): one step of smooth L1 regression to r + γ max Q_target for each minibatch."""

    auxiliary: Callable[[Batch], Tensor | None] | None = None
    """A loss added to DQN's own in every minibatch, or None."""
    _known: "CompiledDQN | None" = None
    _known_to: Any = None

    acts_from_the_start: bool = False
    """Whether to act by the policy before `learning_starts` too, instead of at random."""
    compiles: bool = True
    """Whether to learn in compiled code where that knows the policy."""

    @property
    def action_bias(self) -> Bias | None:
        """Φ(s, ·), added to the action values wherever they choose or are compared: actions, targets, evaluation.

        A learner that declares it can be given look-ahead advice (`agents.bias`). Saved policies are Q alone.
        """
        return bias_of(self.policy)

    @action_bias.setter
    def action_bias(self, bias: Bias | None) -> None:
        set_bias(self.policy, bias)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Play and fill the buffer, as SB3 does."""
        learning_starts = 0 if self.acts_from_the_start else learning_starts
        if not self._collects(replay_buffer, action_noise):
            return super().collect_rollouts(
                env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval
            )
        if self.policy.training or self.q_net.training:
            self.policy.set_training_mode(False)
        compiled = self._compiled()
        if compiled is not None:
            compiled.load()
        act = self._best if compiled is None else compiled.act
        return collect(self, act, env, callback, train_freq, replay_buffer, learning_starts, log_interval)

    def _collects(self, buffer: ReplayBuffer, action_noise: ActionNoise | None) -> bool:
        """Whether transitions can be collected with arrays."""
        plainly = type(buffer) in KNOWN and "add" not in vars(buffer)
        own = all(
            name not in vars(self) and getattr(type(self), name) is getattr(stable_baselines3.DQN, name)
            for name in ACTING
        )
        return plainly and own and action_noise is None and self._vec_normalize_env is None

    def _best(self, observations: Any) -> np.ndarray:
        return self.policy.predict(observations)[0]

    def _compiled(self) -> "CompiledDQN | None":
        """The policy for compiled code; None if that does not know it."""
        if not self.compiles:
            return None
        if self._known_to is not self.policy:
            self._known_to, self._known = self.policy, compiled_dqn(self.policy)
        return self._known if self._known is not None and self._known.fits() else None

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """A round of updates, each from one minibatch of the replay buffer, drawn in SB3's order."""
        self._update_learning_rate(self.policy.optimizer)
        compiled = self._compiled()
        if compiled is not None and compiled.reads(self.replay_buffer) and self._vec_normalize_env is None:
            losses, added = compiled.update(self, gradient_steps, batch_size, self.auxiliary)
        else:
            losses, added = self._train_by_autograd(gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))
        if added:
            self.logger.record("train/auxiliary_loss", np.mean(added))

    def _train_by_autograd(self, gradient_steps: int, batch_size: int) -> tuple[list[float], list[float]]:
        """DQN's own losses (gradient_steps,), and the auxiliary losses."""
        self.policy.set_training_mode(True)
        fuse(self.policy.optimizer)
        parameters = list(self.q_net.parameters())
        losses, added_losses = [], []
        for data, targets in self._minibatches(gradient_steps, batch_size):
            q_values = self.q_net(data.observations)  # (B, n)
            taken = q_values.gather(1, data.actions.long())  # (B, 1)
            loss = F.smooth_l1_loss(taken, targets)
            losses.append(loss.detach())
            if self.auxiliary is not None:
                added = self.auxiliary(self._batch(data.observations, q_values))
                if added is not None:
                    loss = loss + added
                    added_losses.append(added.detach())
            self.policy.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_gradients(parameters, self.max_grad_norm)
            self.policy.optimizer.step()
        return _numbers(losses), _numbers(added_losses)

    def _batch(self, observations: Observations, q_values: Tensor) -> Batch:
        known = Outputs("q", q_values, value=q_values.max(dim=-1).values)
        return Batch(self.policy, observations, known=known)

    def _minibatches(self, gradient_steps: int, batch_size: int) -> Iterator[tuple[Any, Tensor]]:
        """Each minibatch of a round with its regression targets (B, 1)."""
        at_once = max(1, AT_ONCE // (batch_size * flatdim(self.observation_space)))
        for start in range(0, gradient_steps, at_once):
            samples = [
                self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
                for _ in range(min(at_once, gradient_steps - start))
            ]
            yield from zip(samples, self._targets(samples), strict=True)

    @torch.no_grad()
    def _targets(self, samples: list[Any]) -> list[Tensor]:
        """r + γ (1 − terminated) max Q_target of each minibatch."""
        following = self.q_net_target(_joined([data.next_observations for data in samples]))
        best = following.max(dim=1, keepdim=True).values.split([len(data.rewards) for data in samples])
        return [
            data.rewards + (1 - data.dones) * (self.gamma if data.discounts is None else data.discounts) * values
            for data, values in zip(samples, best, strict=True)
        ]

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "auxiliary", "_known", "_known_to"]


def _numbers(scalars: list[Tensor]) -> list[float]:
    return [float(scalar) for scalar in torch.stack(scalars).tolist()] if scalars else []


def _joined(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: torch.cat([part[key] for part in observations]) for key in observations[0]}
    return observations[0] if len(observations) == 1 else torch.cat(observations)
