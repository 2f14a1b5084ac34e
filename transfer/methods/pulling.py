"""A quadratic pull on weights, Σ c_i/2 (θ_i − a_i)²: what L2-SP and EWC add to the loss, with its gradient c(θ − a).

The gradient is given rather than found by autograd, so that a step costs a few passes over the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from agents.parts import parts
from envs.errors import ConfigError
from transfer.method import Method
from transfer.methods.finetune import Finetune

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy

    from agents.outputs import Batch


@dataclass
class Pull:
    """One parameter's."""

    parameter: nn.Parameter
    anchor: Tensor
    """a, of the parameter's shape, or a number."""
    strength: Tensor
    """c, likewise."""


class Pulling:
    """The pulls on all parameters of a policy, by the optimiser that steps them."""

    def __init__(self, policy: "BasePolicy", pulls: Sequence[Pull]) -> None:
        self._of: dict[str, list[Pull]] = {"policy": list(pulls)}
        for name in ("actor", "critic"):
            half = getattr(policy, name, None)
            if isinstance(half, nn.Module):
                own = {id(parameter) for parameter in half.parameters()}
                self._of[name] = [pull for pull in pulls if id(pull.parameter) in own]

    def loss(self, batch: "Batch") -> Tensor | None:
        """Σ c/2 (θ − a)² over what learns now and is stepped by the batch's optimiser; None if that is nothing."""
        pulls = [pull for pull in self._of.get(batch.optimiser, ()) if pull.parameter.requires_grad]
        if not pulls:
            return None
        found: Tensor = _Quadratic.apply(  # type: ignore[no-untyped-call]
            [pull.anchor for pull in pulls], [pull.strength for pull in pulls], *(pull.parameter for pull in pulls)
        )
        return found


class _Quadratic(torch.autograd.Function):
    """Σ c/2 (θ − a)²."""

    @staticmethod
    def forward(ctx: Any, anchors: list[Tensor], strengths: list[Tensor], *weights: Tensor) -> Tensor:
        """A scalar."""
        apart = torch._foreach_sub(list(weights), anchors)
        pulled = torch._foreach_mul(apart, strengths)
        ctx.pulled = pulled
        return 0.5 * torch.stack([torch.dot(a.ravel(), p.ravel()) for a, p in zip(apart, pulled, strict=True)]).sum()

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        """c(θ − a) for each weight."""
        return None, None, *torch._foreach_mul(ctx.pulled, outer[0])


def after_finetune(method: Method) -> Finetune:
    """The `finetune` before a method. Raises ConfigError if there is none."""
    for other in method.before:
        if isinstance(other, Finetune):
            return other
    raise ConfigError(
        f"{method.name} acts on weights that finetune carried, and none comes before it; take finetune+{method.name}"
    )


def carried_weights(finetune: Finetune, policy: "BasePolicy") -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters of a policy that were carried, and those that are new; standard deviations are neither."""
    known = parts(policy)
    carried = finetune.carried(list(known))
    return (
        [p for name, several in known.items() if name in carried for p in several],
        [p for name, several in known.items() if name not in carried for p in several],
    )
