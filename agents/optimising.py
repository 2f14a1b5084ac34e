"""The optimiser's part of an update, with less overhead than the general functions and the same numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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
