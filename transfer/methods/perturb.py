"""Shrink and perturb: carried weights made smaller and noisy, so that they learn as fresh ones do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from agents.build import build_network
from agents.generators import derived_seed, preserved
from agents.parts import follow
from envs.errors import ConfigError
from transfer.method import Crossing, Method, MethodSettings, Place, family
from transfer.methods.finetune import APART
from transfer.methods.pulling import after_finetune, carried_weights

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import Tensor

STREAM = 0x5041
"""Sets this method's draws apart from others' of the same run."""


class PerturbSettings(MethodSettings):
    """How much of the teacher is left."""

    shrink: float = Field(default=0.8, ge=0.0, le=1.0)
    """λ: what carried weights are multiplied by."""
    noise: float = Field(default=0.2, ge=0.0)
    """σ: what is added of the noise."""
    of: Literal["initialisation", "normal"] = "initialisation"
    """What the noise is: the weights that a new network would start with, or standard normal numbers."""


class Perturb(Method):
    """Start: θ ← λθ + σ·ε for the weights that `finetune` carried (Ash & Adams 2020, section 4).

    Their noise is normal of a small variance, the same for all weights. By default ε is instead a fresh initialisation
    of the network, whose size suits each layer: λ = 0, σ = 1 then is learning from scratch. The student no longer
    starts as the teacher. Standard deviations that no layer computes, and the normaliser's statistics, stay.
    """

    Settings: ClassVar[type[MethodSettings]] = PerturbSettings
    places: ClassVar[tuple[Place, ...]] = ("start",)
    settings: PerturbSettings

    def alongside(self, others: Sequence[Method]) -> None:
        """Weights must have been carried, and their optimiser's state must not belong to others."""
        if after_finetune(self).settings.optimiser:
            raise ConfigError(
                "perturb changes the weights that finetune.optimiser goes on with: take optimiser = false, or leave "
                "perturb out"
            )

    def check(self, crossing: Crossing) -> None:
        """The layers must be known."""
        target = crossing.target.algorithm
        if family(target) not in APART:
            raise ConfigError(f"perturb knows the layers of ppo, a2c, dqn, sac, td3 and ddpg, not of {target}")

    @torch.no_grad()
    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Shrink and perturb, once."""
        carried, _ = carried_weights(after_finetune(self), learner.policy)
        for parameter, noise in zip(carried, self._noise(learner, carried), strict=True):
            parameter.mul_(self.settings.shrink).add_(noise.to(parameter), alpha=self.settings.noise)
        follow(learner.policy)
        self.said.append(
            f"{sum(p.numel() for p in carried):,} carried weights: {self.settings.shrink:g} of each, and "
            f"{self.settings.noise:g} of the noise ({self.settings.of})"
        )

    def _noise(self, learner: "BaseAlgorithm", carried: "list[torch.nn.Parameter]") -> "list[Tensor]":
        """ε for each of the carried parameters, from the run's seed."""
        context = self.context
        seed = derived_seed(context.seed, STREAM)
        if self.settings.of == "normal":
            draw = torch.Generator().manual_seed(seed)
            return [torch.randn(parameter.shape, generator=draw) for parameter in carried]
        with preserved():
            torch.manual_seed(seed)
            fresh = build_network(context.algorithm, context.teacher.architecture, context.mapping.target)
        own = dict(fresh.named_parameters())
        names = {id(parameter): name for name, parameter in learner.policy.named_parameters()}
        return [own[names[id(parameter)]].detach() for parameter in carried]
