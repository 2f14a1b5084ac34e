"""PPO's rollouts and updates through compiled code, for the policies that it knows."""

import importlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from agents.compiled import ahead, ppo, stacks
from agents.compiled.actor_critic import NOTHING_KEPT, Stacks, actor_critic, plain_adam
from agents.masking import insist_on_a_move, masked, masks_of
from agents.outputs import Batch, Outputs
from envs.observations import each, taken

SAMPLE = 2048
"""Rows that decide which symbols are common."""


class CompiledPPO:
    """One policy's network and optimiser, at hand for compiled code."""

    def __init__(self, policy: Any, stacked: Stacks) -> None:
        self.policy, self.stacked = policy, stacked
        self.n_actions = int(policy.action_space.n)
        self._rows = np.arange(stacks.CHUNK)
        one_thread()

    @classmethod
    def of(cls, policy: Any) -> Self | None:
        """None if compiled code does not know such a policy."""
        stacked = actor_critic(policy)
        if stacked is None:
            return None
        ahead.start()
        return cls(policy, stacked)

    def fits(self) -> bool:
        """Whether policy and optimiser still are what they were."""
        return plain_adam(self.policy.optimizer) and self.policy.device.type == "cpu"

    def load(self) -> None:
        """Take the policy's weights as they are now."""
        self.stacked.load()

    def act(
        self, observations: Any, *, greedy: bool = False, generator: torch.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions int64, values and log-probabilities float32, each (B,), of observations (B, …).

        Draws are those of `torch.multinomial`, which SB3 uses, from the generator, or from torch's global one.

        Raises GameError where observations say which actions are legal, and none is.
        """
        if self.stacked.inputs.masked:
            insist_on_a_move(masks_of(self.policy, observations), self.policy.game)
        return self._act(observations, greedy=greedy, generator=generator)

    def _act(
        self, observations: Any, *, greedy: bool, generator: torch.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.stacked.inputs.number(observations)
        rows = self._range(n)
        actions, values, log_probs = np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.float32)
        noise = NO_NOISE if greedy else torch.empty(n, self.n_actions).exponential_(generator=generator).numpy()
        ppo.act(self.stacked.net, self.stacked.feed(observations), rows, noise, actions, values, log_probs, greedy)
        return actions, values, log_probs

    def choose(self, observations: Any, *, greedy: bool, generator: torch.Generator | None) -> np.ndarray:
        """The actions alone."""
        return self.act(observations, greedy=greedy, generator=generator)[0]

    def outputs(self, observations: Any) -> Outputs:
        """The heads, without gradient, of observations (B, …)."""
        n = self.stacked.inputs.number(observations)
        log_probs, values = np.empty((n, self.n_actions), np.float32), np.empty(n, np.float32)
        ppo.look(self.stacked.net, self.stacked.feed(observations), self._range(n), log_probs, values)
        return Outputs("categorical", torch.from_numpy(log_probs), value=torch.from_numpy(values))

    def values(self, observations: Any) -> np.ndarray:
        """State values (B,) of observations (B, …)."""
        return self._act(observations, greedy=True)[1]

    def update(
        self,
        learner: Any,
        clip_range: float,
        clip_range_vf: float | None,
        auxiliary: Callable[[Batch], Tensor | None] | None,
    ) -> tuple[dict[str, float], int]:
        """All epochs of one update, from the learner's full rollout buffer.

        Returns:
            SB3's records by name (means over all minibatches, the divergence's over the last epoch), and the epochs
            begun.
        """
        rollout = Rollout(learner.rollout_buffer)
        stacked, optimiser = self.stacked, self.policy.optimizer
        if stacked.inputs.symbolic:
            some = taken(rollout.observations, slice(SAMPLE))
            stacks.commonest(stacked.inputs.rows(some)[1], stacked.inputs.positions)
        stacked.load()
        stacked.share_optimiser(optimiser)
        settings = self._settings(learner, clip_range, clip_range_vf)
        size, batch_size = len(rollout.rows), learner.batch_size
        per_epoch = -(-size // batch_size)
        logged = np.zeros((learner.n_epochs * per_epoch, 6))
        added: list[float] = []
        if auxiliary is not None and stacked.capacity < min(batch_size, size):
            stacked.make_room(min(batch_size, size))
        feed, used, begun = stacked.feed(rollout.observations), 0, 0
        kept = stacked.keep(feed, size) if learner.n_epochs > 1 else NOTHING_KEPT
        for _ in range(learner.n_epochs):
            order = rollout.rows[np.random.permutation(size)]  # noqa: NPY002  # SB3's generator
            part = logged[used : used + per_epoch]
            if auxiliary is None:
                done = ppo.epoch(
                    stacked.net, stacked.moments, feed, kept, rollout.data, order, batch_size, settings, part
                )
            else:
                done = self._epoch(rollout, feed, kept, order, batch_size, settings, part, auxiliary, added)
            begun += 1
            used += min(done + 1, per_epoch)
            if done < per_epoch:
                break
        stacked.store()
        return _records(logged[:used], logged[(begun - 1) * per_epoch : used], added), begun

    def _epoch(
        self,
        rollout: "Rollout",
        feed: tuple[Any, ...],
        kept: np.ndarray,
        order: np.ndarray,
        batch_size: int,
        settings: np.ndarray,
        logged: np.ndarray,
        auxiliary: Callable[[Batch], Tensor | None],
        added: list[float],
    ) -> int:
        """One epoch with another loss, which PyTorch takes the gradient of at the heads."""
        stacked = self.stacked
        parameters = list(self.policy.parameters())
        for k, start in enumerate(range(0, len(order), batch_size)):
            rows = order[start : start + batch_size]
            ppo.begin(stacked.net, stacked.moments, feed, kept, rows)
            logits, values = (self._heads(s, len(rows)) for s in range(2))
            stacked.store()  # the loss may look at the network itself
            loss = auxiliary(self._batch(rollout, rows, logits, values))
            if loss is not None:
                added.append(float(loss.detach()))
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
            gradients = [
                np.zeros(leaf.shape, np.float32) if leaf.grad is None else leaf.grad.numpy()
                for leaf in (logits, values)
            ]
            ppo.propagate(
                stacked.net,
                stacked.moments,
                feed,
                rollout.data,
                rows,
                settings,
                logged[k],
                gradients[0],
                gradients[1][:, 0],
            )
            logged[k, ppo.TOTAL] += 0.0 if loss is None else added[-1]
            if logged[k, ppo.DIVERGENCE] > settings[ppo.MOST_DIVERGENCE]:
                return k
            if any(p.grad is not None for p in parameters):
                stacked.add_gradients()
                self.policy.optimizer.zero_grad(set_to_none=True)
            ppo.step(stacked.params, stacked.moments, settings)
        return -(-len(order) // batch_size)

    def _heads(self, stack: int, n: int) -> Tensor:
        """A stack's outputs for the minibatch at hand, as a leaf (n, n_out) that takes a gradient."""
        return torch.tensor(self.stacked.outputs(stack, n), requires_grad=True)

    def _batch(self, rollout: "Rollout", rows: np.ndarray, logits: Tensor, values: Tensor) -> Batch:
        observations = each(torch.from_numpy, taken(rollout.observations, rows))
        log_probs = torch.log_softmax(masked(logits, masks_of(self.policy, observations)), dim=-1)
        known = Outputs("categorical", log_probs, value=values[:, 0])
        return Batch(self.policy, observations, known=known, rollout=rollout.observations, rows=rows)

    def _settings(self, learner: Any, clip_range: float, clip_range_vf: float | None) -> np.ndarray:
        group = self.policy.optimizer.param_groups[0]
        settings = np.zeros(10)
        settings[ppo.RANGE] = clip_range
        settings[ppo.RANGE_VALUE] = np.nan if clip_range_vf is None else clip_range_vf
        settings[ppo.ENTROPY_WEIGHT], settings[ppo.VALUE_WEIGHT] = learner.ent_coef, learner.vf_coef
        settings[ppo.NORMALISE] = learner.normalize_advantage
        settings[ppo.MOST_NORM] = learner.max_grad_norm
        settings[ppo.BETA1], settings[ppo.BETA2] = group["betas"]
        settings[ppo.EPSILON] = group["eps"]
        settings[ppo.MOST_DIVERGENCE] = np.nan if learner.target_kl is None else 1.5 * learner.target_kl
        return settings

    def _range(self, n: int) -> np.ndarray:
        if n > len(self._rows):
            self._rows = np.arange(n)
        return self._rows[:n]


def _records(logged: np.ndarray, last_epoch: np.ndarray, added: list[float]) -> dict[str, float]:
    """Rows (n_minibatches, 6) as SB3 names them."""
    means = logged.mean(axis=0)
    found = {
        "entropy_loss": means[ppo.ENTROPY],
        "policy_gradient_loss": means[ppo.POLICY],
        "value_loss": means[ppo.VALUE],
        "clip_fraction": means[ppo.CLIPPED],
        "approx_kl": last_epoch[:, ppo.DIVERGENCE].mean(),
        "loss": logged[-1, ppo.TOTAL],
    }
    return {key: float(value) for key, value in (found | ({"auxiliary_loss": np.mean(added)} if added else {})).items()}


class Rollout:
    """A rollout as flat arrays, whichever way SB3's buffer holds it at the moment."""

    def __init__(self, buffer: Any) -> None:
        size = buffer.buffer_size * buffer.n_envs
        if buffer.generator_ready:  # environment by environment already
            self.rows = np.arange(size)
            self.observations = buffer.observations
        else:
            steps, envs = buffer.buffer_size, buffer.n_envs
            self.rows = np.arange(size).reshape(steps, envs).T.ravel()
            self.observations = each(lambda held: held.reshape(size, *held.shape[2:]), buffer.observations)
        """Observations (n, …); `rows` lists them environment by environment, as SB3 counts them."""
        self.data = (
            np.ascontiguousarray(buffer.actions.reshape(-1), np.int64),
            *(
                np.ascontiguousarray(v.reshape(-1), np.float32)
                for v in (buffer.values, buffer.log_probs, buffer.advantages, buffer.returns)
            ),
        )


NO_NOISE = np.zeros((0, 0), np.float32)


def one_thread() -> None:
    """Let the libraries that numpy and compiled code multiply with use one thread: chunks are too small to share."""
    importlib.import_module("scipy.linalg.cython_blas")  # numba's, which it would load later
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)
