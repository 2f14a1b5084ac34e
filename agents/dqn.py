"""DQN with Stable-Baselines3's mathematics and constructor, and less overhead around it.

From the same data, weights and generators an update ends at SB3's parameters, to float tolerance. What is saved: the
target network, constant within a round of updates, sees all their minibatches at once; losses stay tensors until they
are logged; Adam runs fused.
"""

from collections.abc import Callable, Iterator
from typing import Any

import stable_baselines3
import torch
from gymnasium.spaces import flatdim
from torch import Tensor
from torch.nn import functional as F

from agents.optimising import clip_gradients, fuse
from agents.outputs import Batch, Observations, Outputs

AT_ONCE = 2**21
"""Numbers that the target network sees in one pass, at most, so that images fit into memory."""


class DQN(stable_baselines3.DQN):
    """Deep Q-network (Mnih et al. 2015): one step of smooth L1 regression to r + γ max Q_target for each minibatch."""

    auxiliary: Callable[[Batch], Tensor | None] | None = None
    """A loss added to DQN's own in every minibatch, or None."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """A round of updates, each from one minibatch of the replay buffer, drawn in SB3's order."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
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
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", torch.stack(losses).mean().item())
        if added_losses:
            self.logger.record("train/auxiliary_loss", torch.stack(added_losses).mean().item())

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
        return [*super()._excluded_save_params(), "auxiliary"]


def _joined(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: torch.cat([part[key] for part in observations]) for key in observations[0]}
    return observations[0] if len(observations) == 1 else torch.cat(observations)
