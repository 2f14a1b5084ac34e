"""Auxiliary losses for every algorithm that takes gradient steps.

Our PPO and DQN add them in their own update. Other algorithms get them through one adapter, which leaves the
algorithm's code alone: it notes the minibatch that the learner's buffer yielded last, switches the learner's own
clipping off from there to the optimiser's step, and in a hook before that step adds the loss's gradient and clips the
sum. That is what the term inside the loss would have done.
"""

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from agents.dqn import DQN
from agents.outputs import Batch
from agents.ppo import PPO
from envs.errors import ConfigError

AuxiliaryLoss = Callable[[Batch], Tensor | None]

_adapters: "WeakKeyDictionary[BaseAlgorithm, _Adapter]" = WeakKeyDictionary()


def attach(learner: BaseAlgorithm, loss: AuxiliaryLoss) -> None:
    """Add a loss to a learner's own, in place of any that was attached before.

    The loss gets each minibatch with the name of the optimiser whose step it joins: `policy`, or `actor` and `critic`
    where a learner has two; None adds nothing. It acts from the next minibatch on. Attach again after loading, and
    detach before pickling a replay buffer.

    Raises ConfigError for algorithms without gradient steps of that kind.
    """
    detach(learner)
    if isinstance(learner, PPO | DQN):
        learner.auxiliary = loss
    else:
        _adapters[learner] = _Adapter(learner, loss)


def detach(learner: BaseAlgorithm) -> None:
    """Leave a learner to its own loss again; nothing happens if none was attached."""
    if isinstance(learner, PPO | DQN):
        learner.auxiliary = None
    adapter = _adapters.pop(learner, None)
    if adapter is not None:
        adapter.remove()


def attached(learner: BaseAlgorithm) -> bool:
    """Whether a loss is attached."""
    return learner in _adapters or getattr(learner, "auxiliary", None) is not None


class _Adapter:
    """Holds on to a learner's buffer and optimisers until removed; to the learner itself weakly."""

    def __init__(self, learner: BaseAlgorithm, loss: AuxiliaryLoss) -> None:
        self.learner: Any = ref(learner)
        self.policy = learner.policy
        self.loss = loss
        self.observations: Any = None
        self.clip: float | None = None
        self._off = False
        optimisers = _optimisers(learner)
        self._undo = [self._watch(learner)]
        for name, optimiser in optimisers.items():
            handle = optimiser.register_step_pre_hook(self._hook(name))
            self._undo.append(handle.remove)

    def remove(self) -> None:
        """Undo everything."""
        self._restore()
        for undo in self._undo:
            undo()

    def _watch(self, learner: Any) -> Callable[[], None]:
        """Note every minibatch that the learner's buffer yields. The answer undoes that."""
        if hasattr(learner, "rollout_buffer"):
            buffer = learner.rollout_buffer
            return _override(buffer, "get", self._noting_rollout(buffer.get))
        buffer = learner.replay_buffer
        return _override(buffer, "sample", self._noting_replay(buffer.sample))

    def _noting_rollout(self, get: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def noting(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                for data in get(*args, **kwargs):
                    self._note(data)
                    yield data
            finally:  # the learner may stop early, without a step
                self._restore()

        return noting

    def _noting_replay(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **kwargs: Any) -> Any:
            data = sample(*args, **kwargs)
            self._note(data)
            return data

        return noting

    def _note(self, data: Any) -> None:
        """Keep a minibatch's observations, and switch the learner's clipping off until the step."""
        self._restore()
        self.observations = data.observations
        learner = self.learner()
        self.clip = getattr(learner, "max_grad_norm", None)
        if self.clip is not None:
            learner.max_grad_norm = float("inf")
            self._off = True

    def _restore(self) -> None:
        """Switch the learner's clipping on again."""
        if self._off:
            self.learner().max_grad_norm = self.clip
            self._off = False

    def _hook(self, name: str) -> Callable[..., None]:
        def before_step(optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            self._restore()
            with torch.enable_grad():
                self._add_gradient(name, optimiser)
            if self.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.clip)

        return before_step

    def _add_gradient(self, name: str, optimiser: torch.optim.Optimizer) -> None:
        added = self.loss(Batch(self.policy, self.observations, optimiser=name))
        if added is None or not added.requires_grad:
            return
        parameters = [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(added, parameters, allow_unused=True), strict=True
        ):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _optimisers(learner: Any) -> dict[str, torch.optim.Optimizer]:
    """A learner's optimisers by name. Raises ConfigError if it has none that an auxiliary loss could join."""
    kinds = {kind.__name__ for kind in type(learner).__mro__}
    if kinds & {"TRPO", "ARS"}:
        raise ConfigError(
            f"{type(learner).__name__} takes no gradient steps on a loss, so that no auxiliary loss can join it; "
            "take ppo, a2c, dqn, sac or td3"
        )
    if hasattr(learner, "actor") and hasattr(learner, "critic"):
        return {"actor": learner.actor.optimizer, "critic": learner.critic.optimizer}
    if hasattr(learner.policy, "optimizer"):
        return {"policy": learner.policy.optimizer}
    raise ConfigError(f"{type(learner).__name__} has no optimiser that an auxiliary loss could join")


def _override(instance: Any, name: str, function: Callable[..., Any]) -> Callable[[], None]:
    """Shadow a method on one object. The answer undoes that."""
    setattr(instance, name, function)
    return lambda: delattr(instance, name)
