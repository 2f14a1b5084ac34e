"""What distilling offline and on the student's own states have in common."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.algorithms import check_action_space
from agents.dqn import DQN
from agents.generators import derived_seed, preserved
from agents.networks import update_normaliser
from agents.policy import Policy
from envs.errors import ConfigError
from envs.interface import in_words
from envs.task import Task
from transfer.carry import interface_of
from transfer.distillation.lessons import DataSet
from transfer.distillation.playing import Manner, Playing
from transfer.distillation.settings import DistillationSettings
from transfer.distillation.supervised import Supervised
from transfer.method import Crossing, Method, Place, Teacher, check_readable, family

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

CHOICES = ("actor-critic", "action values")
PLAYED, LEARNT, GLOBAL = 101, 102, 103
"""What a run's seed is joined with: for episodes and actions, for the order of learning, for global generators."""


class Distillation(Method):
    """Start: the student is trained, supervised, on what the teachers say of states of the target."""

    Settings: ClassVar[type[DistillationSettings]] = DistillationSettings
    places: ClassVar[tuple[Place, ...]] = ("start",)
    takes_several = True
    settings: DistillationSettings

    def __init__(self, settings: DistillationSettings | None = None) -> None:
        super().__init__(settings)
        self.value_scale = 1.0

    @property
    def replaces_learning(self) -> bool:
        """Whether the run ends with the distillation."""
        return not self.settings.then_learn

    def planned(self, steps: int) -> int:
        """Transitions to be played, of a budget."""
        asked = self.settings.transitions
        if asked is not None:
            return asked
        return steps // 10 if self.settings.then_learn else steps

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """The source, then the further ones."""
        return (Teacher(self.context.teacher, self.context.mapping), *self.context.further)

    def alongside(self, others: Sequence[Method]) -> None:
        """Weights that were copied leave nothing to distil; a critic beside shaping starts at V − Φ."""
        for other in others:
            if other.name == "finetune" and getattr(other.settings, "layers", "all") == "all":
                raise ConfigError(
                    f"{self.name} beside finetune: the student starts with its teacher's weights, and nothing is left "
                    f'to distil; take one of them, or finetune with layers = "torso"'
                )
            if isinstance(other, Distillation) and other.replaces_learning != self.replaces_learning:
                raise ConfigError(f"{self.name} and {other.name} differ in then_learn: give both the same")
            if self.settings.view == "source" and not isinstance(other, Distillation):
                raise ConfigError(
                    f'{self.name} with view = "source" shows the teacher what the student does not see, and '
                    f"{other.name} cannot: give {self.name} alone"
                )
            self.value_scale -= getattr(other, "value_share", 0.0)

    def check(self, crossing: Crossing) -> None:
        """Heads must be readable and comparable, and the budget large enough."""
        self._check_budget(crossing.target.steps)
        check_action_space(crossing.target.algorithm, crossing.mapping.target.action_space)
        several = (crossing, *crossing.further)
        weights = self.settings.weights
        if weights and (len(weights) != len(several) or min(weights) < 0 or sum(weights) <= 0):
            raise ConfigError(
                f"{self.name}.weights: found {list(weights)}, expected {len(several)}, one a teacher, none negative"
            )
        for one in several:
            check_readable(one.source, one.mapping, self.name)
            check_readable(one.target, one.mapping, self.name)
            if not one.mapping.matched:
                raise ConfigError(f"{self.name} learns a teacher's actions, and no action is mapped: map some")
            if not one.mapping.carries_observations:
                raise ConfigError(f"{self.name} asks the teacher, and observations are not mapped: map some features")
            self._check_heads(one)

    def _check_budget(self, steps: int) -> None:
        planned = self.planned(steps)
        if planned < 1:
            raise ConfigError(
                f"{self.name}: the distillation set would be empty, a tenth of {steps:,} steps; give more steps, or "
                f"{self.name}.transitions"
            )
        if planned > steps or (planned == steps and self.settings.then_learn):
            raise ConfigError(
                f"{self.name} plays {planned:,} transitions of the target, and the budget is {steps:,}: give more "
                f"steps, or {self.name}.transitions"
            )

    def _check_heads(self, crossing: Crossing) -> None:
        source, target = crossing.source.algorithm, crossing.target.algorithm
        kinds, loss = {family(source), family(target)}, self.settings.loss
        if isinstance(crossing.mapping.target.action_space, spaces.Discrete):
            if loss == "mse" and len(kinds) > 1:
                raise ConfigError(
                    f"{self.name}: mse cannot compare the logits of one with the action values of the other ({source}, "
                    f"{target}): take kl"
                )
            return
        if loss == "nll":
            raise ConfigError(
                f"{self.name}: nll is of single actions, and those of {target} are numbers: take kl or mse"
            )
        if loss == "kl" and len(kinds) > 1:
            raise ConfigError(
                f"{self.name}: kl cannot compare the continuous policies of {source} and {target}: take mse, which "
                "compares the actions themselves"
            )

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """The stated exploration."""
        if family(self.context.algorithm) != "action values":
            return hyperparameters
        wanted = 0.05 if self.settings.exploration is None else self.settings.exploration
        final = min(float(hyperparameters.get("exploration_final_eps", 0.05)), wanted)
        return {**hyperparameters, "exploration_initial_eps": wanted, "exploration_final_eps": final}

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """A student that was taught acts as it was taught from its first step."""
        if isinstance(learner, DQN):
            learner.acts_from_the_start = True
        elif isinstance(learner, OffPolicyAlgorithm):
            sample = learner._sample_action
            learner._sample_action = lambda _, *more, **named: sample(0, *more, **named)  # type: ignore[method-assign]

    def student(self, learner: "BaseAlgorithm") -> Policy:
        """The learner's policy, to be read and trained."""
        run = self.context
        return Policy.of(learner, run.task, interface_of(run.task), run.algorithm, run.hyperparameters)

    def supervised(self, learner: "BaseAlgorithm") -> Supervised:
        """What trains the learner's policy."""
        seed = derived_seed(self.context.seed, LEARNT)
        return Supervised(self.student(learner), self.teachers, self.settings, seed, self.value_scale)

    def learn(self, supervised: Supervised, data: DataSet, new: DataSet, label: str) -> None:
        """Train on the data, of which some is new to the student's normaliser; say how it went."""
        update_normaliser(supervised.student.network, new.observations)
        fitted = supervised.fit(data)
        agreed = "" if fitted.agreement is None else f", agrees with its teachers in {fitted.agreement:.1%}"
        self.said.append(f"{label}: {len(data):,} transitions, loss {fitted.loss:.4g}{agreed}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Whatever draws from global generators meanwhile does so by the run's seed; afterwards they are as before."""
        with preserved():
            torch.manual_seed(derived_seed(self.context.seed, GLOBAL))
            yield

    @contextmanager
    def playing(self, task: Task, teachers: Sequence[Teacher], transitions: int) -> Iterator[Playing]:
        """Environments to play in; see `drawing`."""
        settings, seed = self.settings, self.context.seed
        manner = Manner(settings.play == "greedy", settings.temperature, settings.random, settings.features > 0)
        views = tuple(_observation(teacher) for teacher in teachers) if settings.view == "source" else None
        n_envs = min(settings.n_envs, transitions)
        with self.drawing():
            playing = Playing(task, teachers, manner, n_envs, derived_seed(seed, PLAYED), views)
            try:
                yield playing
            finally:
                playing.close()


def same_observations(crossing: Crossing) -> bool:
    """Whether what the student sees is what the teacher sees, name by name."""
    mapping = crossing.mapping
    same = mapping.source.observation_space == mapping.target.observation_space
    return same and mapping.features is None and mapping.carries_observations


def refuse_other_observations(name: str, crossing: Crossing) -> None:
    """Raises ConfigError unless a student can learn from what its teacher sees in the teacher's own game."""
    if not same_observations(crossing):
        mapping = crossing.mapping
        raise ConfigError(
            f'{name} with on = "source" teaches on what the source sees, {in_words(mapping.source.observation_space)}, '
            f'and the student sees {in_words(mapping.target.observation_space)}: take on = "target"'
        )


def _observation(teacher: Teacher) -> str | None:
    """The change of the observation that a teacher was trained with."""
    return None if teacher.policy.task is None else teacher.policy.task.change.observation
