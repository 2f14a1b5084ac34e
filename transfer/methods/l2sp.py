"""L2-SP: a penalty on the way from the starting point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from envs.errors import ConfigError
from transfer.method import Crossing, Method, MethodSettings, Place, family
from transfer.methods.finetune import APART
from transfer.methods.pulling import Pull, Pulling, after_finetune, carried_weights

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import Tensor

    from agents.outputs import Batch


class L2SPSettings(MethodSettings):
    """How strongly weights are held."""

    alpha: float = Field(default=0.01, ge=0.0)
    """α: how strongly carried weights are pulled to where they started."""
    beta: float = Field(default=0.0, ge=0.0)
    """β: how strongly the weights of new layers are pulled to 0."""


class L2SP(Method):
    """Gradient: L + α/2·‖w_S − w_S⁰‖² + β/2·‖w_S̄‖² (Li, Grandvalet & Davoine 2018, equation 4).

    w_S are the weights of the parts that `finetune` carried, and w_S⁰ what they are once the methods before this one
    are done; w_S̄ are those of the parts that start afresh. Biases are pulled as weights are. A standard deviation that
    no layer computes is left alone.
    """

    Settings: ClassVar[type[MethodSettings]] = L2SPSettings
    places: ClassVar[tuple[Place, ...]] = ("gradient",)
    uses_auxiliary_loss = True
    settings: L2SPSettings

    def alongside(self, others: Sequence[Method]) -> None:
        """There must be a starting point, and something to pull."""
        after_finetune(self)
        if self.settings.alpha == self.settings.beta == 0.0:
            raise ConfigError("l2sp: alpha and beta are both 0, which pulls nothing: expected one of them above 0")

    def check(self, crossing: Crossing) -> None:
        """The layers must be known."""
        check_steps(crossing, self.name)

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Remember w_S⁰."""
        carried, new = carried_weights(after_finetune(self), learner.policy)
        alpha, beta = torch.tensor(self.settings.alpha), torch.tensor(self.settings.beta)
        zero = torch.zeros(())
        pulls = [Pull(p, p.detach().clone(), alpha.to(p)) for p in carried if self.settings.alpha]
        pulls += [Pull(p, zero.to(p), beta.to(p)) for p in new if self.settings.beta]
        self._pulling = Pulling(learner.policy, pulls)
        held, shrunk = (sum(p.numel() for p in several) for several in (carried, new))
        self.said = [f"{held:,} weights are held where they start (α = {self.settings.alpha:g}), {shrunk:,} are new"]

    def auxiliary_loss(self, batch: "Batch") -> "Tensor | None":
        """A scalar with gradient."""
        return self._pulling.loss(batch)


def check_steps(crossing: Crossing, method: str) -> None:
    """Raises ConfigError unless the student's algorithm takes gradient steps on layers that are known one by one."""
    target = crossing.target.algorithm
    if family(target) not in APART or target == "trpo":
        raise ConfigError(f"{method} pulls on the weights of ppo, a2c, dqn, sac, td3 and ddpg, not of {target}")
