"""DQN's acting and updates through compiled code, for the policies that it knows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from stable_baselines3.dqn.policies import DQNPolicy, MultiInputPolicy, QNetwork
from torch import Tensor

from agents.bias import bias_of
from agents.compiled import dqn, stacks
from agents.compiled.actor_critic import Inputs, Stacks, layers_of, plain_adam
from agents.compiled.learner import one_thread
from agents.outputs import Batch, Outputs
from agents.recomputed import added_to
from agents.transitions import KNOWN
from envs.observations import each, taken

AT_ONCE = 2**21
"""Numbers of observations that are drawn before they are learnt from, at most, so that they fit into memory."""


class CompiledDQN:
    """One policy's action values and optimiser, at hand for compiled code."""

    def __init__(self, policy: Any, acting: Stacks, target: Stacks) -> None:
        self.policy, self.acting, self.target = policy, acting, target
        self.n_actions = int(policy.action_space.n)
        self._rows = np.arange(stacks.CHUNK)
        one_thread()

    @classmethod
    def of(cls, policy: Any) -> Self | None:
        """None if compiled code does not know such a policy."""
        if type(policy) not in (DQNPolicy, MultiInputPolicy) or policy.device.type != "cpu":
            return None
        acting, target = _q_network(policy.q_net), _q_network(policy.q_net_target)
        return None if acting is None or target is None else cls(policy, acting, target)

    def fits(self) -> bool:
        """Whether policy and optimiser still are what they were."""
        return plain_adam(self.policy.optimizer) and self.acting.linears[0].weight.device.type == "cpu"

    def reads(self, buffer: Any) -> bool:
        """Whether a replay buffer is one whose arrays can be read without its methods."""
        return type(buffer) in KNOWN and "sample" not in vars(buffer) and buffer.actions.dtype == np.int64

    def load(self) -> None:
        """Take the weights that act as they are now."""
        self.acting.load()

    def act(self, observations: Any) -> np.ndarray:
        """The best actions (B,), int64, in observations (B, …)."""
        best: np.ndarray = self._look(observations).argmax(axis=1)
        return best

    def choose(self, observations: Any, *, greedy: bool, generator: torch.Generator | None) -> np.ndarray:
        """The same: action values know no chance."""
        return self.act(observations)

    def outputs(self, observations: Any) -> Outputs:
        """The heads, without gradient, of observations (B, …)."""
        q_values = torch.from_numpy(self._look(observations))
        return Outputs("q", q_values, value=q_values.max(dim=-1).values)

    def _look(self, observations: Any) -> np.ndarray:
        """Action values (B, n_actions)."""
        n = self.acting.inputs.number(observations)
        q_values = np.empty((n, self.n_actions), np.float32)
        dqn.look(self.acting.net, self.acting.feed(observations), self._range(n), q_values)
        bias = self._bias(observations)
        return q_values if bias is NOTHING else q_values + bias

    def _bias(self, observations: Any) -> np.ndarray:
        """Φ (B, n_actions) of a policy that acts by Q + Φ, else empty."""
        bias = bias_of(self.policy)
        return NOTHING if bias is None else np.asarray(bias(observations).cpu().numpy(), np.float32)

    def update(
        self,
        learner: Any,
        gradient_steps: int,
        batch_size: int,
        auxiliary: Callable[[Batch], Tensor | None] | None,
    ) -> tuple[list[float], list[float]]:
        """A round of updates from the learner's replay buffer, which is one that `reads` knows.

        Returns:
            DQN's own losses (gradient_steps,), and the auxiliary losses.
        """
        acting, target = self.acting, self.target
        if acting.capacity < batch_size:
            acting.make_room(batch_size)
        settings, losses = self._settings(learner), np.zeros(gradient_steps)
        added: list[float] = []
        used = 0
        for drawn in draws(learner.replay_buffer, gradient_steps, batch_size):
            if used == 0:
                acting.load()
                target.load()
                acting.share_optimiser(self.policy.optimizer)
            rows, aims = self._range(len(drawn.actions)), np.empty(len(drawn.actions), np.float32)
            feed, part = acting.feed(drawn.observations), losses[used : used + len(rows) // batch_size]
            ahead, now = self._bias(drawn.following), self._bias(drawn.observations)
            unknown = dqn.aim(target.net, target.feed(drawn.following), drawn[2:], rows, learner.gamma, ahead, aims)
            if unknown:
                raise IndexError(f"{unknown} of {len(rows)} transitions of the replay buffer hold an unknown action")
            if now is not NOTHING:
                aims -= now[rows, drawn.actions]  # what (Q + Φ)(s, a) should be, without Φ(s, a)
            if auxiliary is None:
                dqn.learn(acting.net, acting.moments, feed, drawn.actions, aims, rows, batch_size, settings, part)
            else:
                self._learn(drawn, feed, aims, batch_size, settings, part, auxiliary, added)
            used += len(part)
        acting.store()
        return losses.tolist(), added

    def _learn(
        self,
        drawn: "Transitions",
        feed: tuple[Any, ...],
        aims: np.ndarray,
        batch_size: int,
        settings: np.ndarray,
        losses: np.ndarray,
        auxiliary: Callable[[Batch], Tensor | None],
        added: list[float],
    ) -> None:
        """Minibatches with another loss, which PyTorch takes the gradient of at the action values."""
        acting, parameters = self.acting, list(self.policy.parameters())
        for k in range(len(losses)):
            some = slice(k * batch_size, (k + 1) * batch_size)
            dqn.begin(acting.net, acting.moments, feed, self._rows[some])
            q_values = torch.tensor(acting.outputs(0, batch_size), requires_grad=True)
            acting.store()  # the loss may look at the network itself
            bias = self._bias(taken(drawn.observations, some))
            told = q_values if bias is NOTHING else q_values + torch.from_numpy(bias)
            known = Outputs("q", told, value=told.max(dim=-1).values)
            loss = auxiliary(Batch(self.policy, each(torch.from_numpy, taken(drawn.observations, some)), known=known))
            if loss is not None:
                added.append(float(loss.detach()))
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
            others = NOTHING if q_values.grad is None else q_values.grad.numpy()
            losses[k] = dqn.propagate(acting.net, acting.moments, feed, drawn.actions[some], aims[some], others)
            if any(p.grad is not None for p in parameters):
                acting.add_gradients()
                self.policy.optimizer.zero_grad(set_to_none=True)
            dqn.step(acting.params, acting.moments, settings)

    def _settings(self, learner: Any) -> np.ndarray:
        group = self.policy.optimizer.param_groups[0]
        settings = np.zeros(4)
        settings[dqn.MOST_NORM], settings[dqn.EPSILON] = learner.max_grad_norm, group["eps"]
        settings[dqn.BETA1], settings[dqn.BETA2] = group["betas"]
        return settings

    def _range(self, n: int) -> np.ndarray:
        if n > len(self._rows):
            self._rows = np.arange(n)
        return self._rows[:n]


NOTHING = np.zeros((0, 0), np.float32)


def _q_network(network: Any) -> Stacks | None:
    """A network of action values; None if compiled code cannot do what it does."""
    if type(network) is not QNetwork:
        return None
    inputs, layers = Inputs.of(network), layers_of(network.q_net)
    if inputs is None or not layers:
        return None
    # The gradient of a symbol left out is a difference, which is rarely quite 0, and DQN's Adam makes much of little.
    positions = inputs.positions
    positions[stacks.COMMON] = np.where(positions[stacks.STEP], -1, positions[stacks.COMMON])
    stacked = Stacks([layers], inputs)
    return stacked if stacked.is_all_of(network) else None


class Transitions(NamedTuple):
    """n transitions drawn from a replay buffer, minibatch after minibatch."""

    observations: Any
    """(n, …), an array or one for each part."""
    following: Any
    """What was seen next (n, …); where an episode ended, its last observation."""
    actions: np.ndarray  # (n,) int64
    rewards: np.ndarray  # (n,) float32
    ends: np.ndarray  # (n,) float32
    limits: np.ndarray
    """1 where it was a time limit that ended the episode: (n,) float32."""


def draws(buffer: Any, n: int, batch_size: int) -> Iterator[Transitions]:
    """n minibatches as SB3 draws them, as many at once as memory should hold."""
    width = sum(held[0, 0].size for held in _arrays(buffer.observations))
    at_once = max(1, AT_ONCE // (batch_size * width))
    for start in range(0, n, at_once):
        drawn = [_draw(buffer, batch_size) for _ in range(min(at_once, n - start))]
        steps, envs = (np.concatenate(part) for part in zip(*drawn, strict=True))
        rows = steps * buffer.n_envs + envs
        following, after = buffer.observations, (steps + 1) % buffer.buffer_size * buffer.n_envs + envs
        if not buffer.optimize_memory_usage:
            following, after = buffer.next_observations, rows
        yield Transitions(
            each(partial(_rows, rows=rows), buffer.observations),
            each(partial(_rows, rows=after), following),
            _rows(buffer.actions, rows).reshape(len(rows)),
            _rewards(buffer, rows),
            *(_rows(held, rows) for held in (buffer.dones, buffer.timeouts)),
        )


def _draw(buffer: Any, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and environments (batch_size,) of one minibatch, from SB3's generator in SB3's order."""
    randint = np.random.randint
    if not buffer.optimize_memory_usage:
        steps = randint(0, buffer.size(), size=batch_size)
    elif buffer.full:  # what followed the latest step has been overwritten
        steps = (randint(1, buffer.buffer_size, size=batch_size) + buffer.pos) % buffer.buffer_size
    else:
        steps = randint(0, buffer.pos, size=batch_size)
    return steps, randint(0, high=buffer.n_envs, size=batch_size)


def _rewards(buffer: Any, rows: np.ndarray) -> np.ndarray:
    """What the game paid in these rows (n,), and what is added when it is drawn."""
    rewards, added = _rows(buffer.rewards, rows).reshape(len(rows)), added_to(buffer)
    return rewards if added is None else (rewards + added(rows)).astype(rewards.dtype)


def _rows(held: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some of a buffer's (n_steps, n_envs, …): that of step t in environment e is in row t · n_envs + e."""
    return held.reshape(-1, *held.shape[2:]).take(rows, axis=0)


def _arrays(observations: Any) -> list[np.ndarray]:
    return list(observations.values()) if isinstance(observations, dict) else [observations]
