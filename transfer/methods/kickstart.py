"""Policy distillation on the student's own states, beside its own learning."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from envs.errors import ConfigError
from transfer.method import Crossing, Method, MethodSettings, Place, check_readable, family

if TYPE_CHECKING:
    from torch import Tensor

    from agents.outputs import Batch, Outputs

CHOICES = ("actor-critic", "action values")


class KickstartSettings(MethodSettings):
    """How strongly and how long the teacher is followed."""

    coefficient: float = Field(default=1.0, gt=0.0)
    """Weight of the loss at the start."""
    until: float = Field(default=0.5, gt=0.0, le=1.0)
    """The fraction of the budget at which the weight has gone down to 0, linearly."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Divides action values before their softmax, in the unit of returns; logits are taken as they are."""


class Kickstart(Method):
    """Gradient: L + c(t)·KL(π_T‖π_S) on the states that the student visits (Schmitt et al. 2018).

    Their term is the cross-entropy H(π_T‖π_S); the two differ by the teacher's entropy, which has no gradient. c goes
    from `coefficient` to 0 linearly. The mean is over the batch, and over the actions that the source knows: both
    policies are renormalised to them. Action values make a policy through softmax(Q/temperature).
    """

    Settings: ClassVar[type[MethodSettings]] = KickstartSettings
    places: ClassVar[tuple[Place, ...]] = ("gradient",)
    uses_auxiliary_loss = True
    settings: KickstartSettings

    def __init__(self, settings: KickstartSettings | None = None) -> None:
        super().__init__(settings)
        self._progress = 0.0

    @property
    def coefficient(self) -> float:
        """c at the progress of now."""
        return self.settings.coefficient * max(0.0, 1.0 - self._progress / self.settings.until)

    def check(self, crossing: Crossing) -> None:
        """Discrete policies of any kind can be compared, continuous ones of one kind."""
        source, target = family(crossing.source.algorithm), family(crossing.target.algorithm)
        if crossing.target.algorithm in ("trpo", "ars"):
            raise ConfigError(
                f"{crossing.target.algorithm} has no gradient step that a loss could be added to; take ppo or a2c"
            )
        for config in (crossing.source, crossing.target):
            check_readable(config, crossing.mapping, self.name)
        if source != target and not {source, target} <= set(CHOICES):
            raise ConfigError(
                f"kickstart cannot compare the policies of {crossing.source.algorithm} and "
                f"{crossing.target.algorithm}: expected two with discrete actions, or two of one kind"
            )

    def schedule(self, progress: float) -> None:
        """Remember where training is."""
        self._progress = progress

    def auxiliary_loss(self, batch: "Batch") -> "Tensor | None":
        """c(t)·KL, a scalar, or None once c is 0 and for critics."""
        coefficient = self.coefficient
        if coefficient == 0.0 or batch.optimiser == "critic":
            return None
        teacher = self.context.outputs_on(batch)
        matched = None if self.context.mapping.actions is None else self.context.mapping.matched
        return coefficient * divergence(teacher, batch.outputs, matched, self.settings.temperature).mean()


def divergence(
    teacher: "Outputs", student: "Outputs", matched: tuple[int, ...] | None = None, temperature: float = 1.0
) -> "Tensor":
    """KL(teacher‖student) of each observation, (B,); of deterministic actions half the squared distance.

    Args:
        teacher: constants.
        student: with gradient.
        matched: the discrete actions to compare, renormalised to them; by default all.
        temperature: of action values.
    """
    if student.kind == "deterministic":
        return 0.5 * (student.head - teacher.head).square().sum(dim=-1)
    if student.kind == "gaussian":
        return _between_gaussians(teacher, student)
    log_t = _log_policy(teacher, matched, temperature)
    log_s = _log_policy(student, matched, temperature)
    return (log_t.exp() * (log_t - log_s)).sum(dim=-1)


def _log_policy(outputs: "Outputs", matched: tuple[int, ...] | None, temperature: float) -> "Tensor":
    """Log-probabilities (B, n_matched)."""
    head = outputs.head if matched is None else outputs.head[:, list(matched)]
    return torch.log_softmax(head / (temperature if outputs.kind == "q" else 1.0), dim=-1)


def _between_gaussians(teacher: "Outputs", student: "Outputs") -> "Tensor":
    """Of independent dimensions: Σ log σ_S/σ_T + (σ_T² + (μ_T − μ_S)²)/(2σ_S²) − ½."""
    if teacher.log_std is None or student.log_std is None:
        raise ConfigError("kickstart needs the standard deviations of both policies, and one has none")
    variance = (2 * student.log_std).exp()
    squares = (2 * teacher.log_std).exp() + (teacher.head - student.head).square()
    return (student.log_std - teacher.log_std + squares / (2 * variance) - 0.5).sum(dim=-1)
