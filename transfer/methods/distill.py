"""Policy distillation offline: the teacher plays, the student learns from what it did."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from envs.errors import ConfigError
from envs.observations import taken
from envs.task import Task
from transfer.demonstrations.datasets import load
from transfer.demonstrations.episodes import transitions
from transfer.demonstrations.given import DataSetSettings, check_fits, check_unchanged
from transfer.distillation.method import Distillation, refuse_other_observations
from transfer.distillation.playing import labelled
from transfer.distillation.settings import DistillationSettings
from transfer.method import Crossing

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class DistillSettings(DistillationSettings, DataSetSettings):
    """How a policy is distilled offline: on what teachers play, or on the states of a data set, which they label."""

    on: Literal["target", "source"] = "target"
    """What the teachers play. `target`: every transition counts. `source`: the source's own game, before the student's
    first evaluation and without a transition of the target, where the student observes what the teacher observes."""

    @model_serializer(mode="wrap")
    def _without_data_set(self, document: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a data set where there is none: the keys of runs that never heard of one stay."""
        found: dict[str, Any] = document(self)
        return {name: value for name, value in found.items() if value is not None or name not in ("dataset", "sha256")}


class Distill(Distillation):
    """Start: min over θ of E_{s ~ teacher}[D(π_T(·|s), π_θ(·|s))], then learning as usual (Rusu et al. 2015).

    The teacher plays, its heads are kept for every state, and the student is trained on them with Adam, in minibatches.
    D is the loss of `transfer.distillation.loss`, over the actions that both know. Several teachers play in turn and
    label all states; their losses are averaged (`Supervised`). With a data set nobody plays: the teachers label its
    states, before the student's first evaluation and without a transition of the target. Of SAC and TD3 the actor is
    taught and the critics are not: learning on, they have to catch up first.
    """

    Settings: ClassVar[type[DistillSettings]] = DistillSettings
    settings: DistillSettings

    def planned(self, steps: int) -> int:
        """Transitions to be played; those of the source's game are none of the budget."""
        if self.settings.on == "source" and self.settings.transitions is None:
            return max(1, steps // 10)
        return super().planned(steps)

    @property
    def _plays(self) -> bool:
        """Whether the target is played."""
        return self.settings.on == "target" and self.settings.dataset is None

    def _check_budget(self, steps: int) -> None:
        if self._plays:
            super()._check_budget(steps)

    def check(self, crossing: Crossing) -> None:
        """Of the source's own game the student must observe the same."""
        super().check(crossing)
        if self.settings.dataset is not None:
            self._check_data_set(self.settings.dataset, crossing)
        if self.settings.on == "target":
            return
        if crossing.further:
            raise ConfigError('distill with on = "source" has one teacher: take on = "target" for several')
        if self.settings.view == "source":
            raise ConfigError('distill with on = "source" has one view: take on = "target", or leave view out')
        refuse_other_observations("distill", crossing)

    def _check_data_set(self, dataset: str, crossing: Crossing) -> None:
        if self.settings.on == "source" or self.settings.view == "source":
            raise ConfigError(
                f"distill learns on the states of the data set {dataset!r}, as the target shows them: leave on and "
                "view out"
            )
        check_unchanged(dataset, self.settings.sha256)
        target = crossing.mapping.target
        check_fits(dataset, transitions(load(dataset)), target.observation_space, target.action_space, ordered=True)

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Learn from a data set or the source's game, if that is where the states come from."""
        super().initialise(learner)
        if self.settings.dataset is not None:
            self._read(learner, self.settings.dataset)
        elif self.settings.on == "source":
            self._distil(learner, self._source_task(), lambda _: None)

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """Learn from the target, if that is where the teacher plays."""
        if self._plays:
            self._distil(learner, self.context.task, spend)

    def _read(self, learner: "BaseAlgorithm", dataset: str) -> None:
        """Learn on the states of a data set: all, or the first `transitions` of them."""
        seen = taken(transitions(load(dataset)).observations, slice(self.settings.transitions))
        with self.drawing():
            supervised = self.supervised(learner)
            data = labelled(seen, self.teachers, hidden=self.settings.features > 0)
            self.learn(supervised, data, data, f"distilled on the data set {dataset}, no step of the target")

    def _distil(self, learner: "BaseAlgorithm", task: Task, spend: Callable[[int], None]) -> None:
        planned = self.planned(self.context.steps)
        supervised = self.supervised(learner)
        with self.playing(task, self.teachers, planned) as playing:
            data = playing.take(planned, spend)
            self.learn(supervised, data, data, f"distilled on {task}")

    def _source_task(self) -> Task:
        task = self.context.teacher.task
        if task is None:
            raise ConfigError("distill: the source's policy does not say what it was trained on; take a run")
        return task
