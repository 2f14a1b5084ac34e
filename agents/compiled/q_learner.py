"""DQN's acting and updates through compiled code, for the policies that it knows."""

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor

from agents.compiled import dqn, stacks
from agents.compiled.actor_critic import Inputs, Stacks, layers_of, plain_adam
from agents.compiled.learner import one_thread
from agents.outputs import Batch, Outputs

AT_ONCE = 2**18
"""Transitions drawn before they are learnt from, at most."""
SAMPLE = 256
"""Rows that decide which symbols are common."""


class CompiledDQN:
    """One policy's action values and optimiser, at hand for compiled code."""

    def __init__(self, policy: Any, acting: Stacks, target: Stacks) -> None:
        self.policy, self.acting, self.target = policy, acting, target
        self.n_actions = int(policy.action_space.n)
        self._rows = np.arange(stacks.CHUNK)
        self._knows_symbols = False
        one_thread()

    @classmethod
    def of(cls, policy: Any) -> Self | None:
        """None if compiled code does not know such a policy."""
        if type(policy) is not DQNPolicy or policy.device.type != "cpu":
            return None
        acting, target = _q_network(policy.q_net), _q_network(policy.q_net_target)
        return None if acting is None or target is None else cls(policy, acting, target)

    def fits(self) -> bool:
        """Whether policy and optimiser still are what they were."""
        return plain_adam(self.policy.optimizer) and self.policy.device.type == "cpu"

    def reads(self, buffer: Any) -> bool:
        """Whether a replay buffer is SB3's plain one, with observations and actions as compiled code takes them."""
        return (
            type(buffer) is ReplayBuffer
            and "sample" not in vars(buffer)
            and buffer.observations.dtype in (np.float32, np.uint8, np.int8, np.bool_)
            and buffer.actions.dtype == np.int64
        )

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
        if n > len(self._rows):
            self._rows = np.arange(n)
        q_values = np.empty((n, self.n_actions), np.float32)
        dqn.look(self.acting.net, self.acting.feed(observations), self._rows[:n], q_values)
        return q_values

    def update(
        self,
        learner: Any,
        gradient_steps: int,
        batch_size: int,
        auxiliary: Callable[[Batch], Tensor | None] | None,
    ) -> tuple[list[float], list[float]]:
        """A round of updates from the learner's replay buffer, which is one of those that `plain` knows.

        Returns:
            DQN's own losses (gradient_steps,), and the auxiliary losses.
        """
        acting, optimiser = self.acting, self.policy.optimizer
        replay = Replay(learner.replay_buffer)
        if acting.inputs.symbolic and not self._knows_symbols:
            self._knows_symbols = True
            for network in (acting, self.target):
                symbols = network.inputs.rows(replay.observations[:SAMPLE])[1]
                stacks.commonest(symbols, network.inputs.positions)
        acting.load()
        self.target.load()
        acting.share_optimiser(optimiser)
        if acting.capacity < batch_size:
            acting.make_room(batch_size)
        settings = self._settings(learner)
        feed, losses = acting.feed(replay.observations), np.zeros(gradient_steps)
        added: list[float] = []
        used = 0
        for rows, next_rows in replay.draws(gradient_steps, batch_size):
            aims = self._aims(replay, rows, next_rows, settings)
            part = losses[used : used + len(rows)]
            if auxiliary is None:
                dqn.learn(acting.net, acting.moments, feed, replay.data[0], rows, aims, settings, part)
            else:
                self._learn(replay, feed, rows, aims, settings, part, auxiliary, added)
            used += len(rows)
        acting.store()
        return losses.tolist(), added

    def _aims(self, replay: "Replay", rows: np.ndarray, next_rows: np.ndarray, settings: np.ndarray) -> np.ndarray:
        """What the target network has the transitions of minibatches regress to: (n_minibatches, B)."""
        aims = np.empty(rows.shape, np.float32)
        target, gamma = self.target, settings[dqn.DISCOUNT]
        feed = target.feed(replay.next_observations)
        unknown = dqn.aim(target.net, feed, replay.data, rows.ravel(), next_rows.ravel(), gamma, aims.ravel())
        if unknown:
            raise IndexError(f"{unknown} of {rows.size} transitions of the replay buffer hold no action of the policy")
        return aims

    def _learn(
        self,
        replay: "Replay",
        feed: tuple[Any, ...],
        rows: np.ndarray,
        aims: np.ndarray,
        settings: np.ndarray,
        losses: np.ndarray,
        auxiliary: Callable[[Batch], Tensor | None],
        added: list[float],
    ) -> None:
        """Minibatches with another loss, which PyTorch takes the gradient of at the action values."""
        acting, parameters = self.acting, list(self.policy.parameters())
        for k, some in enumerate(rows):
            dqn.begin(acting.net, acting.moments, feed, some)
            q_values = torch.tensor(acting.outputs(0, len(some)), requires_grad=True)
            acting.store()  # the loss may look at the network itself
            known = Outputs("q", q_values, value=q_values.max(dim=-1).values)
            loss = auxiliary(Batch(self.policy, torch.from_numpy(replay.observations[some]), known=known))
            if loss is not None:
                added.append(float(loss.detach()))
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
            others = NOTHING if q_values.grad is None else q_values.grad.numpy()
            losses[k] = dqn.propagate(acting.net, acting.moments, feed, replay.data[0], some, aims[k], others)
            if any(p.grad is not None for p in parameters):
                acting.add_gradients()
                self.policy.optimizer.zero_grad(set_to_none=True)
            dqn.step(acting.params, acting.moments, settings)

    def _settings(self, learner: Any) -> np.ndarray:
        group = self.policy.optimizer.param_groups[0]
        settings = np.zeros(5)
        settings[dqn.DISCOUNT], settings[dqn.MOST_NORM] = learner.gamma, learner.max_grad_norm
        settings[dqn.BETA1], settings[dqn.BETA2] = group["betas"]
        settings[dqn.EPSILON] = group["eps"]
        return settings


NOTHING = np.zeros((0, 0), np.float32)


def _q_network(network: Any) -> Stacks | None:
    """A network of action values; None if compiled code cannot do what it does."""
    if type(network) is not QNetwork:
        return None
    inputs, layers = Inputs.of(network), layers_of(network.q_net)
    if inputs is None or not layers:
        return None
    stacked = Stacks([layers], inputs)
    return stacked if stacked.is_all_of(network) else None


class Replay:
    """A replay buffer as arrays of transitions: that of step t in environment e stands in row t · n_envs + e."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        size = buffer.buffer_size * buffer.n_envs
        self.observations = buffer.observations.reshape(size, *buffer.observations.shape[2:])
        self.next_observations = self.observations
        if not buffer.optimize_memory_usage:
            self.next_observations = buffer.next_observations.reshape(self.observations.shape)
        self.data = tuple(v.reshape(size) for v in (buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts))

    def draws(self, n: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """n minibatches as SB3 draws them: rows of transitions, and of what followed, each (…, batch_size)."""
        at_once = max(1, AT_ONCE // batch_size)
        for start in range(0, n, at_once):
            drawn = [self._draw(batch_size) for _ in range(min(at_once, n - start))]
            steps, envs = (np.array(part) for part in zip(*drawn, strict=True))
            buffer = self.buffer
            rows = steps * buffer.n_envs + envs
            following = (steps + 1) % buffer.buffer_size * buffer.n_envs + envs
            yield rows, following if buffer.optimize_memory_usage else rows

    def _draw(self, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps and environments (batch_size,) of one minibatch, from SB3's generator in SB3's order."""
        buffer, randint = self.buffer, np.random.randint
        if not buffer.optimize_memory_usage:
            steps = randint(0, buffer.size(), size=batch_size)
        elif buffer.full:  # what followed the latest step has been overwritten
            steps = (randint(1, buffer.buffer_size, size=batch_size) + buffer.pos) % buffer.buffer_size
        else:
            steps = randint(0, buffer.pos, size=batch_size)
        return steps, randint(0, high=buffer.n_envs, size=batch_size)
