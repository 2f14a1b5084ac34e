"""The target played step by step, by teachers or by a mixture with the student; teachers label every state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.generators import derived_seed
from agents.outputs import Outputs
from agents.policy import Policy
from envs.batched import stepped
from envs.masks import MASK, is_masked
from envs.observations import each, taken
from envs.task import Task
from transfer.choosing import chosen
from transfer.distillation.lessons import DataSet, Lesson, joined
from transfer.distillation.student import last_hidden
from transfer.distillation.views import TwoViews
from transfer.opposing import make_opposed

if TYPE_CHECKING:
    from transfer.method import Teacher

Act = Callable[[Any], np.ndarray]
"""Observations (B, …) → actions (B, …), as environments take them."""
BELOW = 2**30 - 2**16
"""Of the seeds of environments: evaluation's lie above."""
AT_ONCE = 1024
"""Observations that teachers are shown at once, of a data set."""


@dataclass(frozen=True)
class Manner:
    """How teachers act."""

    greedy: bool = False
    """The best action instead of a sampled one."""
    temperature: float = 1.0
    """Divides action values before they are sampled from."""
    random: float = 0.0
    """With which probability an action is drawn from the space instead."""
    hidden: bool = False
    """Whether lessons hold the last hidden layer."""


class Playing:
    """Environments of a task in which episodes go on from one call of `take` to the next; close it.

    Args:
        task: what is played, as the student sees it.
        teachers: who label every state; environment i is played by teacher i modulo their number.
        manner: how they act.
        n_envs: how many environments.
        seed: decides episodes and actions.
        observations: of each teacher the change of the observation that it is shown, where that is not the student's.
    """

    def __init__(
        self,
        task: Task,
        teachers: Sequence["Teacher"],
        manner: Manner,
        n_envs: int,
        seed: int,
        observations: tuple[str | None, ...] | None = None,
    ) -> None:
        self.teachers, self.manner = teachers, manner
        self._read = [_reader(teacher, manner.hidden) for teacher in teachers]
        self._views = None if observations is None else TwoViews(task, observations, n_envs)
        self.venv = make_opposed(task, n_envs=n_envs) if self._views is None else self._views.venv
        self.venv.seed(derived_seed(seed, 0, below=BELOW))
        self.generator = torch.Generator().manual_seed(derived_seed(seed, 1))
        self._numpy = np.random.default_rng(derived_seed(seed, 2))
        self._seen = self.venv.reset()

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    def take(
        self, transitions: int, spend: Callable[[int], None], *, student: Act | None = None, beta: float = 1.0
    ) -> DataSet:
        """Play on and label what is seen: whole steps of all environments, at most this many transitions.

        Args:
            transitions: how many.
            spend: called with the number of transitions of each step.
            student: who acts where the teacher does not.
            beta: the probability that the teacher acts, drawn in each step for each environment.
        """
        steps = transitions // self.venv.num_envs
        return joined([self._step(spend, student, beta) for _ in range(steps)])

    def _step(self, spend: Callable[[int], None], student: Act | None, beta: float) -> DataSet:
        seen = each(np.array, self._seen)  # a copy: batches may write the next observations over these
        shown = [seen if self._views is None else self._views.seen(k) for k in range(len(self.teachers))]
        lessons = tuple(read(view) for read, view in zip(self._read, shown, strict=True))
        actions = self._actions(lessons, seen)
        if student is not None and beta < 1.0:
            others = self._numpy.random(len(actions)) >= beta
            if others.any():
                actions[others] = student(seen)[others]
        step = stepped(self.venv, actions)
        self._seen = step.observations
        spend(self.venv.num_envs)
        return DataSet(seen, lessons)

    def _actions(self, lessons: Sequence[Lesson], seen: Any) -> np.ndarray:
        """Of each environment's own teacher, some of them random and legal in what is seen: (n_envs, …)."""
        chosen = [self._chosen(k, lesson.outputs) for k, lesson in enumerate(lessons)]
        actions = chosen[0]
        for k, other in enumerate(chosen[1:], start=1):
            actions[k :: len(chosen)] = other[k :: len(chosen)]
        if self.manner.random:
            drawn = np.flatnonzero(self._numpy.random(len(actions)) < self.manner.random)
            masks = seen[MASK] if is_masked(self.venv.observation_space) else None
            for index in drawn.tolist():
                mask = None if masks is None else masks[index]
                actions[index] = _drawn(self.venv.action_space, self._numpy, mask)
        return actions

    def _chosen(self, teacher: int, outputs: Outputs) -> np.ndarray:
        return chosen(
            outputs,
            self.venv.action_space,
            squashed=bool(self.teachers[teacher].policy.network.squash_output),
            generator=None if self.manner.greedy else self.generator,
            temperature=self.manner.temperature,
        )


def labelled(observations: Any, teachers: Sequence["Teacher"], *, hidden: bool = False) -> DataSet:
    """What teachers say of observations (N, …) that are there already, as environments give them.

    Raises ConfigError if there are none.
    """
    read = [_reader(teacher, hidden) for teacher in teachers]
    n = len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
    parts = [taken(observations, slice(start, start + AT_ONCE)) for start in range(0, n, AT_ONCE)]
    return joined([DataSet(part, tuple(one(part) for one in read)) for part in parts])


def _drawn(space: spaces.Space[Any], generator: np.random.Generator, mask: np.ndarray | None) -> Any:
    if mask is not None:
        return generator.choice(np.flatnonzero(mask))
    if isinstance(space, spaces.Discrete):
        return generator.integers(space.n)
    assert isinstance(space, spaces.Box)
    return generator.uniform(space.low, space.high)


def _reader(teacher: "Teacher", hidden: bool) -> Callable[[Any], Lesson]:
    """A teacher's word on observations as environments give them."""
    if not hidden:
        return lambda observations: Lesson(teacher.outputs(observations))
    read = teacher.mapping.teacher(_Plain(**vars(teacher.policy)))

    def lesson(observations: Any) -> Lesson:
        with last_hidden(teacher.policy.network) as kept:
            outputs = read(observations)
        layer: Tensor = kept[0]
        return Lesson(outputs, layer.clone())

    return lesson


class _Plain(Policy):
    """A policy that is read through PyTorch, where hooks see its layers."""

    def reader(self) -> Callable[[Any], Outputs]:
        """Never in compiled code."""
        return self.outputs
