"""The diagonal of a policy's Fisher information: how much each weight matters to what the policy does."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from agents.algorithms import default_mode
from agents.evaluation import SEED_BASE
from agents.generators import derived_seed, preserved
from agents.outputs import Observations, Outputs, policy_outputs
from agents.policy import Policy
from envs.errors import ConfigError
from envs.observations import each
from transfer.opposing import make_opposed

N_ENVS = 8
"""Environments of the rollout."""
AT_ONCE = 2**24
"""Numbers of gradients of single observations that are held at once, at most."""


def visited(policy: Policy, n: int, seed: int) -> Observations:
    """At least n observations (n, …) of the game that a policy was trained on, as it visits them.

    It acts as its algorithm is evaluated: sampled or greedy. Raises ConfigError if its game is not known.
    """
    if policy.task is None:
        raise ConfigError("ewc plays the source's game, and this policy does not say which that is")
    seen = []
    with preserved():
        venv = make_opposed(policy.task, n_envs=N_ENVS, seed=derived_seed(seed, 0, below=SEED_BASE - N_ENVS))
        try:
            generator = torch.Generator().manual_seed(derived_seed(seed, 1))
            play = policy.player(mode=default_mode(policy.algorithm), generator=generator)
            observations: Any = venv.reset()
            for _ in range(-(-n // venv.num_envs)):
                seen.append(each(np.copy, observations))
                observations = venv.step(play(observations))[0]
        finally:
            venv.close()
    if isinstance(seen[0], dict):
        return policy.seen({key: np.concatenate([one[key] for one in seen]) for key in seen[0]})  # type: ignore[no-any-return]
    return policy.seen(np.concatenate(seen))  # type: ignore[no-any-return]


def diagonal_fisher(network: BasePolicy, observations: Observations, temperature: float = 1.0) -> dict[str, Tensor]:
    """F_i = E_s E_{a∼π(·|s)} [(∂ log π(a|s)/∂θ_i)²] by parameter; those that the policy does not use are left out.

    The mean is over the observations (n, …), and exact over the actions: a sum over discrete ones; for a Gaussian
    E_a[…] = Σ_d (∂μ_d/∂θ_i)²/σ_d² + 2 (∂ log σ_d/∂θ_i)². Action values make a policy through softmax(Q/temperature).

    Raises ConfigError for a deterministic policy.
    """
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in named.items()}
    used: set[str] = set()
    network.set_training_mode(False)
    size = sum(p.numel() for p in named.values())
    for some in _chunks(observations, max(1, min(64, AT_ONCE // max(1, size)))):
        for weights, quantity in _terms(policy_outputs(network, some), temperature):
            basis = torch.eye(len(quantity), device=quantity.device)
            gradients = torch.autograd.grad(
                quantity, list(named.values()), basis, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
            for name, gradient in zip(named, gradients, strict=True):  # each (B, …)
                if gradient is not None:
                    used.add(name)
                    total[name] += torch.einsum("b,b...->...", weights, gradient.square())
    n = _number(observations)
    return {name: total[name] / n for name in named if name in used}


def _terms(outputs: Outputs, temperature: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights (B,) and quantities (B,) whose squared gradients add up to E_a[(∂ log π)²]."""
    if outputs.kind in ("categorical", "q"):
        log_probs = outputs.log_probabilities(temperature if outputs.kind == "q" else 1.0)
        for action in range(log_probs.shape[1]):
            yield log_probs[:, action].detach().exp(), log_probs[:, action]
    elif outputs.kind == "gaussian" and outputs.log_std is not None:
        for d in range(outputs.head.shape[1]):
            log_std = outputs.log_std[:, d]
            yield (-2 * log_std.detach()).exp(), outputs.head[:, d]
            if log_std.requires_grad:
                yield torch.full_like(log_std.detach(), 2.0), log_std
    else:
        raise ConfigError("a deterministic policy has no Fisher information: expected ppo, a2c, dqn or sac")


def _chunks(observations: Observations, size: int) -> Iterator[Observations]:
    for start in range(0, _number(observations), size):
        if isinstance(observations, dict):
            yield {key: part[start : start + size] for key, part in observations.items()}
        else:
            yield observations[start : start + size]


def _number(observations: Observations) -> int:
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
