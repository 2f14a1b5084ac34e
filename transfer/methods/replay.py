"""Replay seeding: an off-policy student starts with the teacher's transitions in its replay buffer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field

from envs.errors import ConfigError
from transfer.demonstrations.seeding import DemonstrationSettings, check_seeding, practise, seed_buffer
from transfer.method import Crossing, Method, MethodSettings, Place

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class ReplaySettings(DemonstrationSettings):
    """Which transitions the buffer starts with, and what is done with them."""

    learn: int = Field(default=0, ge=0)
    """Gradient steps on them before the student acts."""
    share: float | None = Field(default=None, gt=0.0, lt=1.0)
    """The fraction of every minibatch that is drawn from the demonstrations, which then have a buffer of their own and
    are never overwritten (Ball et al. 2023 take 0.5); by default they are drawn as all others are, and the oldest go
    first. A DQN with a share learns through PyTorch, not in compiled code."""


class Replay(Method):
    """Start: D ← transitions of teacher∘mapping on the target, or of a data set (Hester et al. 2018; Ball et al. 2023).

    What the teacher takes is booked on the student's budget, transition by transition. Rewards are those of the
    student's own environments. The demonstrations count towards `learning_starts`: where there are as many, the student
    learns and acts by its policy from its first step; the ε of a DQN goes on from where the budget stands.
    """

    Settings: ClassVar[type[MethodSettings]] = ReplaySettings
    places: ClassVar[tuple[Place, ...]] = ("start",)
    settings: ReplaySettings

    def __init__(self, settings: ReplaySettings | None = None) -> None:
        super().__init__(settings)
        self._demonstrations: Any = None

    def alongside(self, others: Sequence[Method]) -> None:
        """qdagger fills the buffer itself."""
        if any(other.name == "qdagger" for other in others):
            raise ConfigError("replay and qdagger both fill the buffer with the teacher's transitions: take qdagger")

    def check(self, crossing: Crossing) -> None:
        """There must be a buffer, and a teacher that can act."""
        check_seeding(crossing, self.settings, self.name)
        if self.settings.learn and crossing.target.algorithm == "qrdqn":
            raise ConfigError("replay.learn: the target network of qrdqn follows only while it acts: leave learn out")

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Say where the transitions come from; make room for them where they are kept apart."""
        settings = self.settings
        if settings.dataset is None:
            self.said = [f"the teacher's {settings.steps:,} steps on the target fill the buffer, and are counted"]
        else:
            self.said = [f"the data set {settings.dataset} fills the buffer; its steps are not counted"]
        if settings.share is not None:
            self._demonstrations = _apart(learner, settings.share)

    def buffers(self) -> dict[str, Any]:
        """The demonstrations, where they are kept apart."""
        return {} if self._demonstrations is None else {"demonstrations": self._demonstrations}

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """Fill the buffer, and learn from it as long as was asked for."""
        student: Any = learner
        buffer = student.replay_buffer if self._demonstrations is None else self._demonstrations
        seed_buffer(student, buffer, self.context, self.settings, spend)
        if self.settings.learn:
            practise(student, self.settings.learn)


def _apart(learner: Any, share: float) -> Any:
    """A buffer for demonstrations, of which the learner's own yields a share from now on."""
    own = learner.replay_buffer
    kept = type(own)(
        own.buffer_size * own.n_envs,
        own.observation_space,
        own.action_space,
        device=own.device,
        n_envs=own.n_envs,
        optimize_memory_usage=own.optimize_memory_usage,
        **learner.replay_buffer_kwargs,
    )
    draw = own.sample

    def sample(batch_size: int, env: Any = None) -> Any:
        if not own.size():
            return kept.sample(batch_size, env=env)
        ours = round(share * batch_size)
        parts = [buffer(size, env=env) for buffer, size in ((kept.sample, ours), (draw, batch_size - ours)) if size]
        return parts[0] if len(parts) == 1 else type(parts[0])(*map(_joined, *parts))

    own.sample = sample
    return kept


def _joined(*parts: Any) -> Any:
    if isinstance(parts[0], dict):
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return None if parts[0] is None else torch.cat(parts)
