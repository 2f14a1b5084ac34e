"""The optimiser's part of an update, with less overhead than the general functions and the same numbers.

Also what plain Stable-Baselines3 has not: learning rates of their own for some parameters, and an optimiser's state by
the names of the parameters, so that another learner can go on from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from envs.errors import CheckpointError

SHARE = "share"
"""Key of a parameter group: its part of the scheduled learning rate."""


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let Adam step in one kernel, where all its parameters allow it; other optimisers stay as they are."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return
    for group in optimizer.param_groups:
        if not group.get("fused") and not group["capturable"] and not group["differentiable"]:
            on_cpu = all(p.device.type == "cpu" and p.is_floating_point() for p in group["params"])
            if on_cpu:
                group["fused"], group["foreach"] = True, False
                for parameter in group["params"]:
                    _lay_out_alike(parameter, optimizer.state.get(parameter, {}))


def optimisers(learner: Any) -> list[torch.optim.Optimizer]:
    """All optimisers of a learner's networks: one, or actor's and critic's."""
    owners = (learner.policy, getattr(learner, "actor", None), getattr(learner, "critic", None))
    found = (getattr(owner, "optimizer", None) for owner in owners)
    return list({id(one): one for one in found if isinstance(one, torch.optim.Optimizer)}.values())


def share_rates(learner: Any, shares: Sequence[tuple[nn.Parameter, float]]) -> None:
    """Let some parameters learn with a share of the scheduled rate; all others with the whole.

    Stable-Baselines3 writes one rate into every group of parameters before each update, so the shares are applied
    again after it. Once a learner.
    """
    share_of = {id(parameter): share for parameter, share in shares}
    for optimiser in optimisers(learner):
        pieces = [piece for group in optimiser.param_groups for piece in _split(group, share_of)]
        optimiser.param_groups[:] = pieces
        _apply_shares(optimiser)
    update = learner._update_learning_rate

    def update_learning_rate(which: Any) -> None:
        update(which)
        for optimiser in which if isinstance(which, list) else [which]:
            _apply_shares(optimiser)

    learner._update_learning_rate = update_learning_rate


def _split(group: dict[str, Any], share_of: dict[int, float]) -> list[dict[str, Any]]:
    """A group for each share among a group's parameters."""
    found: dict[float, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        found.setdefault(share_of.get(id(parameter), 1.0), []).append(parameter)
    return [{**group, "params": parameters, SHARE: share} for share, parameters in found.items()]


def _apply_shares(optimiser: torch.optim.Optimizer) -> None:
    for group in optimiser.param_groups:
        group["lr"] *= group.get(SHARE, 1.0)


def learning_state(learner: Any) -> dict[str, Tensor]:
    """What a learner keeps besides its policy: `<parameter>:<key>` of its optimisers, and SAC's `log_ent_coef`."""
    found = {}
    for name, optimiser, parameter in _stepped(learner):
        for key, value in optimiser.state.get(parameter, {}).items():
            found[f"{name}:{key}"] = torch.as_tensor(value).detach().clone().contiguous()
    entropy = getattr(learner, "log_ent_coef", None)
    if entropy is not None:
        found["log_ent_coef"] = entropy.detach().clone()
    return found


@torch.no_grad()
def go_on_from(learner: Any, state: Mapping[str, Tensor]) -> None:
    """Let a fresh learner's optimisers go on where another one's were.

    Raises CheckpointError if the state is not that of such a learner.
    """
    known: dict[str, dict[str, Tensor]] = {}
    for entry, value in state.items():
        name, _, key = entry.partition(":")
        known.setdefault(name, {})[key] = value
    for name, optimiser, parameter in _stepped(learner):
        for key, value in known.get(name, {}).items():
            if value.dim() and value.shape != parameter.shape:
                raise CheckpointError(
                    f"the optimiser's state of {name} is {tuple(value.shape)}, expected {tuple(parameter.shape)}"
                )
            if key:
                optimiser.state[parameter][key] = value.clone()


def _stepped(learner: Any) -> list[tuple[str, torch.optim.Optimizer, nn.Parameter]]:
    """Every parameter that an optimiser steps, with its name."""
    names = {id(parameter): name for name, parameter in learner.policy.named_parameters()}
    every = [(one, p) for one in optimisers(learner) for group in one.param_groups for p in group["params"]]
    found = [(names[id(p)], one, p) for one, p in every if id(p) in names]
    if getattr(learner, "ent_coef_optimizer", None) is not None:
        found.append(("log_ent_coef", learner.ent_coef_optimizer, learner.log_ent_coef))
    return found


def unfuse(optimizer: torch.optim.Optimizer) -> None:
    """Let moments be laid out otherwise than their parameters, which the one kernel would take for another order."""
    for group in optimizer.param_groups:
        group["fused"] = None


def _lay_out_alike(parameter: nn.Parameter, state: dict[str, Tensor]) -> None:
    """Lay out an optimiser's tensors as the parameter."""
    for name, held in state.items():
        if held.shape == parameter.shape and held.stride() != parameter.stride():
            state[name] = torch.empty_like(parameter.data).copy_(held)


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> Tensor:
    """Scale gradients to a common norm of at most `most`, in place; the norm before, a scalar.

    `torch.nn.utils.clip_grad_norm_` for parameters of one device and one type.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (most / (norm + 1e-6)).clamp(max=1.0))
    return norm
