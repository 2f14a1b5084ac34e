"""Policy distillation on the student's own states, beside its own learning."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field

from agents.networks import action_head
from agents.outputs import policy_outputs
from envs.errors import ConfigError
from transfer.distillation.loss import divergence
from transfer.method import Crossing, Method, MethodSettings, Place, Teacher, check_readable, family

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy
    from torch import Tensor

    from agents.outputs import Batch, Outputs
    from agents.policy import Policy

CHOICES = ("actor-critic", "action values")
"""Families that choose among actions."""
LEFT = 0.01
"""What is left of an exponentially annealed weight at its end, where it is cut to 0."""


class KickstartSettings(MethodSettings):
    """How strongly and how long the teacher is followed, and in what."""

    coefficient: float = Field(default=1.0, gt=0.0)
    """Weight of the loss at the start."""
    until: float = Field(default=0.5, gt=0.0, le=1.0)
    """The fraction of the budget at which the weight is 0."""
    anneal: Literal["linear", "cosine", "exponential", "constant"] = "linear"
    """How it gets there; x goes from 0 to 1. `linear`: 1 − x. `cosine`: (1 + cos πx)/2. `exponential`: 0.01ˣ.
    `constant`: 1, to the end."""
    direction: Literal["forward", "reverse"] = "forward"
    """`forward`: KL(π_T‖π_S), which covers all that the teacher does. `reverse`: KL(π_S‖π_T), which settles on some."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Divides action values before their softmax, in the unit of returns."""
    logit_temperature: float = Field(default=1.0, gt=0.0)
    """Divides logits before their softmax, the teacher's and the student's; above 1 both are softer."""
    value: float = Field(default=0.0, ge=0.0)
    """Weight of (V_S − V_T)², the state's value that the critic and the teacher give, in the loss that `coefficient`
    scales; for rewards of one unit, with equal discounts."""
    features: float = Field(default=0.0, ge=0.0)
    """Likewise of the difference of similarities between the observations of a minibatch, in the last hidden layers,
    which may differ in size (Tung & Mori 2019)."""
    weights: tuple[float, ...] = ()
    """Of several teachers, the source first; by default equal. Divided by their sum."""


class Kickstart(Method):
    """Gradient: L + c(t)·Σ_k w_k·KL(π_k‖π_S) on the states that the student visits (Schmitt et al. 2018).

    Their term is the cross-entropy H(π_T‖π_S); the two differ by the teacher's entropy, which has no gradient. c goes
    from `coefficient` to 0. The mean is over the batch, and over the actions that the source knows: both policies are
    renormalised to them. Action values make a policy through softmax(Q/temperature).
    """

    Settings: ClassVar[type[MethodSettings]] = KickstartSettings
    places: ClassVar[tuple[Place, ...]] = ("gradient",)
    uses_auxiliary_loss = True
    takes_several: ClassVar[bool] = True
    settings: KickstartSettings

    def __init__(self, settings: KickstartSettings | None = None) -> None:
        super().__init__(settings)
        self._progress = 0.0
        self._asked: list[_Asked] | None = None

    @property
    def coefficient(self) -> float:
        """c at the progress of now."""
        return self.settings.coefficient * annealed(self.settings.anneal, self._progress / self.settings.until)

    def alongside(self, others: Sequence[Method]) -> None:
        """qdagger adds the same term, with a weight of its own."""
        if any(other.name == "qdagger" for other in others):
            raise ConfigError("kickstart and qdagger both add a distillation from the teacher to the loss: take one")

    def check(self, crossing: Crossing) -> None:
        """Discrete policies of any kind can be compared, continuous ones of one kind."""
        if crossing.target.algorithm in ("trpo", "ars"):
            raise ConfigError(
                f"{crossing.target.algorithm} has no gradient step that a loss could be added to; take ppo or a2c"
            )
        several = (crossing, *crossing.further)
        for one in several:
            self._check_pair(one)
        weights = self.settings.weights
        if weights and (len(weights) != len(several) or min(weights) < 0 or sum(weights) <= 0):
            raise ConfigError(
                f"kickstart.weights: found {list(weights)} for {len(several)} teachers, expected a number each, none "
                "negative and not all 0"
            )

    def _check_pair(self, crossing: Crossing) -> None:
        source, target = family(crossing.source.algorithm), family(crossing.target.algorithm)
        for config in (crossing.source, crossing.target):
            check_readable(config, crossing.mapping, self.name)
        if not getattr(crossing.mapping, "carries_actions", True):
            raise ConfigError("kickstart compares policies, and the mapping carries no action: map one, or finetune")
        if source != target and not {source, target} <= set(CHOICES):
            raise ConfigError(
                f"kickstart cannot compare the policies of {crossing.source.algorithm} and "
                f"{crossing.target.algorithm}: expected two with discrete actions, or two of one kind"
            )
        if self.settings.value and (target != "actor-critic" or source not in CHOICES):
            raise ConfigError(
                f"kickstart.value matches state values: found {crossing.source.algorithm} and "
                f"{crossing.target.algorithm}, expected a student with a critic of states, such as ppo, and a teacher "
                "that knows them, such as ppo or dqn"
            )

    def schedule(self, progress: float) -> None:
        """Remember where training is."""
        self._progress = progress

    def auxiliary_loss(self, batch: "Batch") -> "Tensor | None":
        """c(t) times the mean over the batch, a scalar, or None once c is 0 and for critics."""
        coefficient = self.coefficient
        if coefficient == 0.0 or batch.optimiser == "critic":
            return None
        losses = [weight * self._follow(asked, batch) for weight, asked in self._teachers() if weight]
        return coefficient * sum(losses[1:], start=losses[0])

    def _teachers(self) -> "list[tuple[float, _Asked]]":
        """Each with its share of the whole."""
        if self._asked is None:
            several = (Teacher(self.context.teacher, self.context.mapping), *self.context.further)
            first: list[Callable[[Batch], Outputs] | None] = [self.context.outputs_on]
            asks = first + [None] * len(self.context.further)
            self._asked = [_Asked(teacher, ask) for teacher, ask in zip(several, asks, strict=True)]
        weights = self.settings.weights or (1.0,) * len(self._asked)
        return [(weight / sum(weights), asked) for weight, asked in zip(weights, self._asked, strict=True)]

    def _follow(self, asked: "_Asked", batch: "Batch") -> "Tensor":
        """What one teacher adds, a scalar."""
        settings, mapping = self.settings, asked.teacher.mapping
        teacher, student = (
            _softened(outputs, settings.logit_temperature) for outputs in (asked.on(batch), batch.outputs)
        )
        matched = None if mapping.actions is None else mapping.matched
        pair = (teacher, student) if settings.direction == "forward" else (student, teacher)
        loss = divergence(*pair, matched, settings.temperature).mean()
        if settings.value:
            if teacher.value is None or student.value is None:
                raise ConfigError("kickstart.value needs the values of states of both policies, and one has none")
            loss = loss + settings.value * (student.value - teacher.value).square().mean()
        if settings.features:
            ours = hidden(batch.policy, lambda: policy_outputs(batch.policy, batch.observations))
            loss = loss + settings.features * similarity_error(asked.hidden(batch), ours)
        return loss


class _Asked:
    """A teacher, asked about minibatches; about those of one rollout once.

    Args:
        teacher: whom.
        on: who asks it already; by default it is asked here.
    """

    def __init__(self, teacher: Teacher, on: "Callable[[Batch], Outputs] | None" = None) -> None:
        self.teacher = teacher
        self.on = self._on if on is None else on
        self._rollout: Any = None
        self._said: Any = None
        self._plainly: Callable[[Any], Outputs] | None = None

    def _on(self, batch: "Batch") -> "Outputs":
        if batch.rollout is None:
            return self.teacher.outputs(batch.observations)
        if self._rollout is not batch.rollout:
            self._rollout, self._said = batch.rollout, self.teacher.outputs(batch.rollout)
        said: Outputs = self._said
        return said.of(batch.rows)

    def hidden(self, batch: "Batch") -> "Tensor":
        """Its last hidden layer on the mapped observations (B, n), constant."""
        if self._plainly is None:
            self._plainly = self.teacher.mapping.teacher(_uncompiled(self.teacher.policy))
        plainly = self._plainly
        with torch.no_grad():
            return hidden(self.teacher.policy.network, lambda: plainly(batch.observations))


def annealed(how: str, x: float) -> float:
    """What is left of a weight, in [0, 1], at the fraction x ≥ 0 of its time; 0 from 1 on."""
    if x >= 1.0:
        return 0.0
    if how == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * x))
    if how == "exponential":
        return float(LEFT**x)
    return 1.0 if how == "constant" else 1.0 - x


def similarity_error(teacher: "Tensor", student: "Tensor") -> "Tensor":
    """‖G_T − G_S‖²_F / B², where G is FFᵀ with rows of length 1 (Tung & Mori 2019, similarity-preserving distillation).

    Args:
        teacher: F_T (B, n), constant.
        student: F_S (B, m), with gradient.
    """
    grams = [torch.nn.functional.normalize(each @ each.T, dim=1) for each in (teacher, student)]
    return (grams[0] - grams[1]).square().mean()


def hidden(policy: "BasePolicy", run: Callable[[], Any]) -> "Tensor":
    """What enters the layer of a policy's actions while `run` runs the policy, (B, n)."""
    kept: list[Tensor] = []
    handle = action_head(policy).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        run()
    finally:
        handle.remove()
    return kept[-1]


def _softened(outputs: "Outputs", temperature: float) -> "Outputs":
    """The same with logits divided by the temperature."""
    if outputs.kind != "categorical" or temperature == 1.0:
        return outputs
    return replace(outputs, head=outputs.head / temperature)


def _uncompiled(policy: "Policy") -> "Policy":
    """The same policy, whose reader runs its PyTorch modules."""
    plain = replace(policy)
    plain.reader = lambda: plain.outputs  # type: ignore[method-assign]
    return plain


__all__ = ["CHOICES", "Kickstart", "KickstartSettings", "annealed", "divergence", "similarity_error"]
