"""Elastic weight consolidation: weights are held as strongly as they matter to the source's policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from agents.generators import derived_seed
from envs.errors import ConfigError
from transfer.fisher import diagonal_fisher, visited
from transfer.method import Crossing, Method, MethodSettings, Place, check_readable, family
from transfer.methods.l2sp import check_steps
from transfer.methods.pulling import Pull, Pulling, after_finetune, carried_weights

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import Tensor

    from agents.outputs import Batch

STREAM = 0x4557
"""Sets this method's draws apart from others' of the same run."""


class EWCSettings(MethodSettings):
    """How strongly weights are held, and how well it is known which of them matter."""

    coefficient: float = Field(default=100.0, gt=0.0)
    """λ."""
    samples: int = Field(default=2048, ge=1, le=1_000_000)
    """Steps of the source's game on which the Fisher information is estimated. They are source steps: the student's
    budget does not pay for them."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Divides action values before their softmax, in the unit of returns."""


class EWC(Method):
    """Gradient: L + Σ_i λ/2·F_i (θ_i − θ*_i)² (Kirkpatrick et al. 2017, equation 3).

    θ* are the teacher's weights, F is the diagonal of its policy's Fisher information on the states that it visits in
    the source's game. It is the policy's alone: the critic is free to learn the target's returns. The spaces must be
    equal, for a weight's importance belongs to what it is connected to.
    """

    Settings: ClassVar[type[MethodSettings]] = EWCSettings
    places: ClassVar[tuple[Place, ...]] = ("gradient",)
    uses_auxiliary_loss = True
    settings: EWCSettings

    def alongside(self, others: Sequence[Method]) -> None:
        """Weights must have been carried."""
        after_finetune(self)

    def check(self, crossing: Crossing) -> None:
        """The source's policy must have a likelihood, and its weights must be the student's, one by one."""
        check_steps(crossing, self.name)
        source = crossing.source.algorithm
        if family(source) == "deterministic actor":
            raise ConfigError(
                f"ewc needs the probabilities of the source's actions, and {source}'s policy has none; take l2sp"
            )
        check_readable(crossing.source, crossing.mapping, self.name)
        if not crossing.mapping.identity:
            raise ConfigError(
                "ewc holds each weight by what it matters to the source, and these games' observations or actions "
                "differ, so that their weights do not correspond; expected equal spaces; take l2sp"
            )

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Estimate F, and remember θ*."""
        teacher, settings = self.context.teacher, self.settings
        observations = visited(teacher, settings.samples, derived_seed(self.context.seed, STREAM))
        fisher = diagonal_fisher(teacher.network, observations, settings.temperature)
        theirs = dict(teacher.network.named_parameters())
        carried = {id(p) for p in carried_weights(after_finetune(self), learner.policy)[0]}
        pulls = [
            Pull(parameter, theirs[name].detach().clone(), settings.coefficient * fisher[name])
            for name, parameter in learner.policy.named_parameters()
            if id(parameter) in carried and name in fisher
        ]
        if not pulls:
            raise ConfigError("ewc: finetune carries no layer of the policy; carry its torso, or leave ewc out")
        self._pulling = Pulling(learner.policy, pulls)
        held = sum(pull.parameter.numel() for pull in pulls)
        self.said.append(
            f"the Fisher information of {held:,} weights was estimated on {settings.samples:,} steps of the source "
            f"({teacher.task}); they are no steps of the target"
        )

    def auxiliary_loss(self, batch: "Batch") -> "Tensor | None":
        """A scalar with gradient."""
        return self._pulling.loss(batch)
