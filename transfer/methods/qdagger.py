"""QDagger (Agarwal et al. 2022, "Reincarnating Reinforcement Learning"): a DQN learns from a teacher, then without."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import spaces
from pydantic import Field

from agents.generators import derived_seed
from envs.catalogue import find_game
from envs.errors import ConfigError
from transfer.demonstrations.playing import play, uniform
from transfer.demonstrations.seeding import DemonstrationSettings, check_seeding, practise, seed_buffer
from transfer.method import Crossing, Method, MethodSettings, Place, check_readable, family
from transfer.methods.kickstart import CHOICES, divergence

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import Tensor

    from agents.outputs import Batch
    from envs.task import Task

STREAM = 0xDA66
"""Tells the generator of a run's random episodes from its others."""
TWICE = {
    "kickstart": "both add a distillation from the teacher to the loss",
    "dagger": "both add a distillation from the teacher to the loss",
    "replay": "both fill the buffer with the teacher's transitions",
}


class QDaggerSettings(DemonstrationSettings):
    """The two phases of QDagger."""

    offline: int = Field(default=5000, ge=0)
    """Gradient steps on the teacher's transitions before the student acts."""
    coefficient: float = Field(default=1.0, gt=0.0)
    """λ: weight of the distillation beside the TD loss; all through the first phase, and at most in the second."""
    temperature: float = Field(default=1.0, gt=0.0)
    """τ: divides action values before their softmax, in the unit of returns."""
    until: float = Field(default=1.0, gt=0.0, le=1.0)
    """The fraction of the budget after which there is no distillation any more."""
    window: int = Field(default=10, ge=1, le=100)
    """The student's score is the mean raw return of so many of its latest training episodes."""
    exploration: float | None = Field(default=0.05, ge=0.0, le=1.0)
    """With which probability the DQN starts to act at random, once it has learnt from the teacher; None: its own."""
    random_score: float | None = None
    """Mean return of random actions; by default the catalogue's; of a game that is changed or not listed, measured."""
    random_episodes: int = Field(default=10, ge=1)
    """How many episodes of random actions measure it; their steps count as the student's."""


class QDagger(Method):
    """Start and gradient: L = L_TD(D) + λ_t·E_{s∼D} H(π_T(·|s) ‖ softmax(Q(s, ·)/τ)) (Agarwal et al. 2022, eq. 2).

    First D is the teacher's transitions on the target and λ_t = λ (their Algorithm 1, offline). Then the student acts,
    and λ_t = λ·max(1 − (G_S − G_rand)/(G_T − G_rand), 0): its score against the teacher's, normalised with the random
    one, and within [0, λ]. The published 1 − G_S/G_T needs positive returns: where they are negative it switches the
    distillation off for the worst students. The term is the mean over the minibatch of KL(π_T‖π_S), over the matched
    actions; it differs from the cross-entropy by the teacher's entropy, which has no gradient.

    G_T is the mean raw return of the whole episodes among the teacher's, G_S of the student's latest training episodes;
    before the first of these has ended λ_t = λ. A teacher that does no better than random has no λ_t: it is 0.
    """

    Settings: ClassVar[type[MethodSettings]] = QDaggerSettings
    places: ClassVar[tuple[Place, ...]] = ("start", "gradient")
    uses_auxiliary_loss = True
    settings: QDaggerSettings

    def __init__(self, settings: QDaggerSettings | None = None) -> None:
        super().__init__(settings)
        self._learner: Any = None
        self._progress = 0.0
        self._scores: tuple[float, float] | None = None  # G_T and G_rand, once the student acts

    def alongside(self, others: Sequence[Method]) -> None:
        """Nothing may count the teacher's policy, or its transitions, a second time."""
        for other in others:
            if other.name in TWICE:
                raise ConfigError(f"qdagger and {other.name} count the same twice: {TWICE[other.name]}; take one")

    def check(self, crossing: Crossing) -> None:
        """The student must be a DQN, and the teacher must choose among actions."""
        algorithm = crossing.target.algorithm
        if family(algorithm) != "action values":
            raise ConfigError(f"qdagger teaches a DQN, and the student is {algorithm}: take dqn, or kickstart")
        check_readable(crossing.source, crossing.mapping, self.name)
        if family(crossing.source.algorithm) not in CHOICES:
            raise ConfigError(
                f"qdagger needs a teacher with discrete actions, and the source is {crossing.source.algorithm}: take "
                "ppo, a2c or dqn"
            )
        if not getattr(crossing.mapping, "carries_actions", True) or not crossing.mapping.matched:
            raise ConfigError("qdagger reads the teacher's actions, and the mapping carries none: map at least one")
        check_seeding(crossing, self.settings, self.name)

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """The exploration of a student that has learnt already."""
        exploration = self.settings.exploration
        if exploration is None:
            return hyperparameters
        final = min(float(hyperparameters.get("exploration_final_eps", 0.05)), exploration)
        return {**hyperparameters, "exploration_initial_eps": exploration, "exploration_final_eps": final}

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Know whose scores count."""
        self._learner = learner
        told = "teacher's" if self.settings.dataset is None else f"data set {self.settings.dataset}'s"
        self.said = [f"the {told} transitions fill the buffer; {self.settings.offline:,} gradient steps on them"]

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """The first phase: collect, measure, learn."""
        student: Any = learner
        random = self._random_score(spend)
        seeded = seed_buffer(student, student.replay_buffer, self.context, self.settings, spend)
        if not seeded.returns:
            raise ConfigError(
                f"qdagger: none of the teacher's episodes ended within {seeded.transitions:,} steps, so that its score "
                "is not known: raise qdagger.steps, or give the game a time limit"
            )
        practise(student, self.settings.offline)
        self._scores = float(np.mean(seeded.returns)), random

    def state(self) -> dict[str, Any]:
        """The scores that were measured before the student acted."""
        return {"scores": self._scores}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self._scores = state["scores"]

    def schedule(self, progress: float) -> None:
        """Remember where training is."""
        self._progress = progress
        if self._scores is not None:
            self._learner.logger.record("transfer/distillation", self.weight)

    @property
    def weight(self) -> float:
        """λ_t of now."""
        if self._scores is None:
            return self.settings.coefficient
        if self._progress >= self.settings.until:
            return 0.0
        latest = islice(reversed(self._learner.ep_info_buffer or ()), self.settings.window)
        returns = [float(record["r"]) for record in latest]
        if not returns:
            return self.settings.coefficient
        return self.settings.coefficient * remaining(float(np.mean(returns)), *self._scores)

    def auxiliary_loss(self, batch: "Batch") -> "Tensor | None":
        """λ_t·KL, a scalar, or None once λ_t is 0."""
        weight = self.weight
        if weight == 0.0:
            return None
        teacher = self.context.outputs_on(batch)
        matched = None if self.context.mapping.actions is None else self.context.mapping.matched
        return weight * divergence(teacher, batch.outputs, matched, self.settings.temperature).mean()

    def _random_score(self, spend: Callable[[int], None]) -> float:
        """G_rand: given, the catalogue's, or measured."""
        known = self.settings.random_score
        if known is None:
            known = listed_score(self.context.task)
        if known is not None:
            return known
        generator = np.random.default_rng(derived_seed(self.context.seed, STREAM))
        return measured_score(self._learner.env, self.settings.random_episodes, generator, spend)


def remaining(student: float, teacher: float, random: float) -> float:
    """max(1 − (G_S − G_rand)/(G_T − G_rand), 0), at most 1: what the student lacks of the teacher's score.

    0 for a teacher that does no better than random.
    """
    if teacher <= random:
        return 0.0
    return min(max(1.0 - (student - random) / (teacher - random), 0.0), 1.0)


def listed_score(task: "Task") -> float | None:
    """The catalogue's score of random actions, where the task is the game as it is listed."""
    return find_game(task.game).random if task.change.nothing and not task.arguments else None


def measured_score(venv: Any, episodes: int, generator: np.random.Generator, spend: Callable[[int], None]) -> float:
    """Mean raw return of random actions over the first episodes of each environment, at least `episodes` in all.

    Every environment counts equally many, so that short episodes are not over-represented. Every step is booked.
    """
    each = -(-episodes // venv.num_envs)
    returns: list[list[float]] = [[] for _ in range(venv.num_envs)]
    space: spaces.Space[Any] = venv.action_space
    for _, _, step in play(venv, lambda _: uniform(space, venv.num_envs, generator), 2**62):
        for index, record in zip(step.ended.tolist(), step.records, strict=True):
            returns[index].append(float(record["r"]))
        spend(venv.num_envs)
        if all(len(found) >= each for found in returns):
            break
    return float(np.mean([found[:each] for found in returns]))
