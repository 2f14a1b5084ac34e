"""Policy distillation offline: the teacher plays, the student learns from what it did."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from envs.errors import ConfigError
from envs.task import Task
from transfer.distillation.method import Distillation, refuse_other_observations
from transfer.distillation.settings import DistillationSettings
from transfer.method import Crossing

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class DistillSettings(DistillationSettings):
    """How a policy is distilled offline."""

    on: Literal["target", "source"] = "target"
    """What the teachers play. `target`: every transition counts. `source`: the source's own game, before the student's
    first evaluation and without a transition of the target, where the student observes what the teacher observes."""


class Distill(Distillation):
    """Start: min over θ of E_{s ~ teacher}[D(π_T(·|s), π_θ(·|s))], then learning as usual (Rusu et al. 2015).

    The teacher plays, its heads are kept for every state, and the student is trained on them with Adam, in minibatches.
    D is the loss of `transfer.distillation.loss`, over the actions that both know. Several teachers play in turn and
    label all states; their losses are averaged (`Supervised`). Of SAC and TD3 the actor is taught and the critics are
    not: learning on, they have to catch up first.
    """

    Settings: ClassVar[type[DistillSettings]] = DistillSettings
    settings: DistillSettings

    def planned(self, steps: int) -> int:
        """Transitions to be played; those of the source's game are none of the budget."""
        if self.settings.on == "source" and self.settings.transitions is None:
            return max(1, steps // 10)
        return super().planned(steps)

    def _check_budget(self, steps: int) -> None:
        if self.settings.on == "target":
            super()._check_budget(steps)

    def check(self, crossing: Crossing) -> None:
        """Of the source's own game the student must observe the same."""
        super().check(crossing)
        if self.settings.on == "target":
            return
        if crossing.further:
            raise ConfigError('distill with on = "source" has one teacher: take on = "target" for several')
        if self.settings.view == "source":
            raise ConfigError('distill with on = "source" has one view: take on = "target", or leave view out')
        refuse_other_observations("distill", crossing)

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Learn from the source's game, if that is where the teacher plays."""
        super().initialise(learner)
        if self.settings.on == "source":
            self._distil(learner, self._source_task(), lambda _: None)

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """Learn from the target, if that is where the teacher plays."""
        if self.settings.on == "target":
            self._distil(learner, self.context.task, spend)

    def _distil(self, learner: "BaseAlgorithm", task: Task, spend: Callable[[int], None]) -> None:
        transitions = self.planned(self.context.steps)
        supervised = self.supervised(learner)
        with self.playing(task, self.teachers, transitions) as playing:
            data = playing.take(transitions, spend)
            self.learn(supervised, data, data, f"distilled on {task}")

    def _source_task(self) -> Task:
        task = self.context.teacher.task
        if task is None:
            raise ConfigError("distill: the source's policy does not say what it was trained on; take a run")
        return task
