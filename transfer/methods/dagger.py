"""Policy distillation on the states that the student itself gets into."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from agents.algorithms import default_mode
from envs.errors import ConfigError
from transfer.distillation.lessons import DataSet, joined
from transfer.distillation.method import Distillation
from transfer.distillation.settings import DistillationSettings

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class DaggerSettings(DistillationSettings):
    """How a policy is distilled round after round."""

    rounds: int = Field(default=5, ge=1)
    """How many; each plays an equal share of the transitions."""
    mixing: Literal["exponential", "linear"] = "exponential"
    """How β goes from 1 to 0: βᵢ = decayⁱ, or βᵢ = 1 − i/(rounds − 1)."""
    decay: float = Field(default=0.5, ge=0.0, le=1.0)
    """Of the exponential; 0 is βᵢ = [i = 0], which Ross et al. found best."""
    random: float = Field(default=0.0, ge=0.0, le=1.0)
    """With which probability a teacher's action is drawn from the space instead."""


class Dagger(Distillation):
    """Start: data set aggregation (Ross, Gordon & Bagnell 2011, algorithm 3.1).

    In round i the mixture βᵢ·π_teacher + (1 − βᵢ)·π_student plays, drawn anew in each step; the teachers label what it
    saw; the student is trained on all that was gathered so far, from where it was. Everything else is as in `Distill`.
    """

    Settings: ClassVar[type[DaggerSettings]] = DaggerSettings
    settings: DaggerSettings

    def beta(self, round_: int) -> float:
        """The probability βᵢ that a teacher acts in round i, from 0; β₀ = 1."""
        if self.settings.mixing == "exponential":
            return float(self.settings.decay**round_)
        return 1.0 if round_ == 0 else 1.0 - round_ / (self.settings.rounds - 1)

    def _check_budget(self, steps: int) -> None:
        super()._check_budget(steps)
        planned, rounds = self.planned(steps), self.settings.rounds
        if planned < rounds:
            raise ConfigError(f"dagger: {planned:,} transitions are fewer than {rounds} rounds; give more transitions")

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """Play, label and train, round after round; the student acts as it is evaluated."""
        share = self.planned(self.context.steps) // self.settings.rounds
        supervised = self.supervised(learner)
        student = supervised.student
        gathered: list[DataSet] = []
        with self.playing(self.context.task, self.teachers, share) as playing:
            for round_ in range(self.settings.rounds):
                beta = self.beta(round_)
                act = student.player(mode=default_mode(student.algorithm), generator=playing.generator)
                gathered.append(playing.take(share, spend, student=act, beta=beta))
                self.learn(supervised, joined(gathered), gathered[-1], f"round {round_}, β = {beta:g}")
