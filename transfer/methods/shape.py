"""Potential-based reward shaping, with the source's value or a user's function as potential."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms import ALGORITHMS
from agents.recomputed import Remembered
from envs.customise import source_of
from envs.errors import ConfigError
from envs.vector import make_vec
from transfer.method import Crossing, Method, MethodSettings, Place, check_readable, family
from transfer.shaping.drawn import shape_when_drawn
from transfer.shaping.potentials import Potential, own_potential, source_potential
from transfer.shaping.worlds import ShapedVecEnv

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class ShapeSettings(MethodSettings):
    """By what, how strongly and how long rewards are shaped."""

    potential: str | None = None
    """A function `module:function` that takes a batch of B observations of the target and returns B potentials. By
    default the source's value: V of an actor-critic, max Q of a teacher with action values."""
    scale: float = Field(default=1.0, ge=-1e6, le=1e6)
    """Φ = scale·V. Below 0 it leads away from what the source valued; set it where the source's rewards have another
    unit, or another sign, than the target's (a source that normalised its rewards has values in units of their
    standard deviation)."""
    until: float | None = Field(default=None, gt=0.0, le=1.0)
    """The fraction of the budget at which shaping has faded to 0, linearly; by default it stays."""
    potential_source: str | None = None
    """SHA-256 of the source text of the potential's module; found if not given."""

    @model_validator(mode="before")
    @classmethod
    def _version(cls, document: Any) -> Any:
        """A run's key holds the text of the function, so that another one makes another run."""
        target = document.get("potential") if isinstance(document, dict) else None
        if not isinstance(target, str) or document.get("potential_source"):
            return document
        return {**document, "potential_source": source_of(target)}


class Shape(Method):
    """World: r + γΦ(s′) − Φ(s) with Φ = scale·V_teacher∘mapping (Ng, Harada & Russell 1999).

    No policy gains or loses by it: over an episode the discounted sum of what is added is −Φ(s₀) whatever the agent
    does, for Φ is 0 where an episode terminates. Where it is truncated the game would have gone on, so Φ is that of the
    final observation. A potential that fades is γc(t+1)Φ(s′) − c(t)Φ(s), which keeps this (Devlin & Kudenko 2012).
    γ is the learner's. Evaluation and the returns of finished episodes stay raw.

    A learner on policy plays environments with shaped rewards. One off policy keeps raw rewards in its replay buffer,
    and each minibatch is shaped when it is drawn, with c of now.

    A state potential does what starting the critic at Φ does (Wiewiora 2003): of a learner that hardly bootstraps, such
    as an actor-critic with λ near 1, expect little.
    """

    Settings: ClassVar[type[MethodSettings]] = ShapeSettings
    places: ClassVar[tuple[Place, ...]] = ("world",)
    settings: ShapeSettings

    def __init__(self, settings: ShapeSettings | None = None) -> None:
        super().__init__(settings)
        self._progress = 0.0
        self._potential: Potential | None = None
        self._space: Any = None
        self._known: Remembered | None = None  # Φ of what the replay buffer holds

    @property
    def value_share(self) -> float:
        """How much of the source's value the potential is: Φ = value_share·V, or 0 if it is a user's function."""
        return self.settings.scale if self.settings.potential is None else 0.0

    @property
    def coefficient(self) -> float:
        """c at the progress of now."""
        until = self.settings.until
        return 1.0 if until is None else max(0.0, 1.0 - self._progress / until)

    def check(self, crossing: Crossing) -> None:
        """The teacher must know the value of a state, or the function must give potentials."""
        if self.settings.potential is not None:
            self._try(own_potential(self.settings.potential), crossing.target.task)
            return
        kind = family(crossing.source.algorithm)
        if kind not in ("actor-critic", "action values"):
            raise ConfigError(
                f"shape needs a source that knows the value of a state: {crossing.source.algorithm} does not; "
                "expected ppo, a2c or dqn"
            )
        check_readable(crossing.source, crossing.mapping, self.name)

    def schedule(self, progress: float) -> None:
        """Remember where training is."""
        self._progress = progress

    def potential(self, observations: Any) -> np.ndarray:
        """Φ of a batch of observations: (B,). Raises ConfigError if it is not finite."""
        if self._potential is None:
            own = self.settings.potential
            self._potential = source_potential(self.context.outputs) if own is None else own_potential(own)
        return np.asarray(self.settings.scale * self._potential(observations))

    def wrap(self, venv: VecEnv) -> VecEnv:
        """The same environments, with shaped rewards unless the learner's are shaped when it draws them."""
        self._space = venv.observation_space
        if issubclass(ALGORITHMS.load(self.context.algorithm), OffPolicyAlgorithm):
            return venv
        return ShapedVecEnv(venv, self.potential, self.context.gamma, lambda: self.coefficient)

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Shape what a learner off policy draws."""
        if isinstance(learner, OffPolicyAlgorithm):
            self._try(self.potential, self.context.task)
            self._known = shape_when_drawn(
                learner, self.potential, self.context.gamma, lambda: self.coefficient, self._space
            )

    def state(self) -> dict[str, Any]:
        """The potentials that were asked for. What environments with shaped rewards hold is saved with them."""
        return {} if self._known is None else self._known.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        if self._known is not None:
            self._known.load_state(state)

    def _try(self, potential: Potential, task: Any) -> None:
        """Raises ConfigError now for a potential that the first episode would stumble over."""
        venv = make_vec(task, n_envs=2, seed=0)
        try:
            potential(venv.reset())
        finally:
            venv.close()


__all__ = ["Potential", "Shape", "ShapeSettings", "ShapedVecEnv"]
