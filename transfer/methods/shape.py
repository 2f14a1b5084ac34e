"""Reward shaping with the source's value function as potential."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from envs.batched import Stepped, stepped
from envs.errors import ConfigError
from envs.observations import stacked, taken
from transfer.method import Crossing, Method, MethodSettings, Place, check_readable, family

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

Potential = Callable[[Any], np.ndarray]
"""A batch of B observations → potentials (B,)."""


class ShapeSettings(MethodSettings):
    """How strongly and how long rewards are shaped."""

    scale: float = Field(default=1.0, ge=-1e6, le=1e6)
    """Φ = scale·V. Below 0 it leads away from what the source valued; set it where the source's rewards have another
    unit, or another sign, than the target's (a source that normalised its rewards has values in units of their
    standard deviation)."""
    until: float | None = Field(default=None, gt=0.0, le=1.0)
    """The fraction of the budget at which shaping has faded to 0, linearly; by default it stays."""


class Shape(Method):
    """World: r + γΦ(s′) − Φ(s) with Φ = scale·V_teacher∘mapping (Ng, Harada & Russell 1999).

    No policy gains or loses by it: over an episode the discounted sum of what is added is −Φ(s₀) whatever the agent
    does, for Φ is 0 where an episode terminates. Where it is truncated the game would have gone on, so Φ is that of the
    final observation. A potential that fades is γc(t+1)Φ(s′) − c(t)Φ(s), which keeps this (Devlin & Kudenko 2012).
    γ is the learner's. V of a teacher with action values is its highest one among the target's actions. Evaluation and
    the returns of finished episodes stay raw. A state potential does what starting the critic at Φ does
    (Wiewiora 2003): of an on-policy actor-critic expect little.
    """

    Settings: ClassVar[type[MethodSettings]] = ShapeSettings
    places: ClassVar[tuple[Place, ...]] = ("world",)
    settings: ShapeSettings

    def __init__(self, settings: ShapeSettings | None = None) -> None:
        super().__init__(settings)
        self._progress = 0.0

    @property
    def coefficient(self) -> float:
        """c at the progress of now."""
        until = self.settings.until
        return 1.0 if until is None else max(0.0, 1.0 - self._progress / until)

    def check(self, crossing: Crossing) -> None:
        """The teacher must know the value of a state."""
        if family(crossing.source.algorithm) not in ("actor-critic", "action values"):
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
        value = self.context.outputs(observations).value
        if value is None:
            raise ConfigError("shape needs a source that knows the value of a state, and this policy does not")
        potentials = self.settings.scale * value.double().cpu().numpy()
        if not np.isfinite(potentials).all():
            raise ConfigError(
                f"shape: the source's value of a state is {potentials[~np.isfinite(potentials)][0]}: its critic has "
                "diverged; take another source, or an earlier source_step"
            )
        return np.asarray(potentials)

    def wrap(self, venv: VecEnv) -> VecEnv:
        """The same environments with shaped rewards."""
        return ShapedVecEnv(venv, self.potential, self.context.gamma, lambda: self.coefficient)


class ShapedVecEnv(VecEnvWrapper):
    """Adds γc′Φ(s′) − cΦ(s) to the rewards of vectorised environments.

    Args:
        venv: B environments with Stable-Baselines3's conventions for ends of episodes.
        potential: Φ.
        gamma: the learner's discount.
        coefficient: c now; read once a step.
    """

    def __init__(
        self, venv: VecEnv, potential: Potential, gamma: float, coefficient: Callable[[], float] = lambda: 1.0
    ) -> None:
        super().__init__(venv)
        self.potential, self.gamma, self.coefficient = potential, gamma, coefficient
        self._before = np.zeros(venv.num_envs)  # (B,), c(t)Φ(s) of the step to come

    def reset(self) -> "VecEnvObs":
        """Begin; Φ(s) is that of the first observations."""
        observations = self.venv.reset()
        self._before = self.coefficient() * self.potential(observations)
        return observations

    def step_wait(self) -> "VecEnvStepReturn":
        """Shape one step; after the end of an episode the next Φ(s) is that of the reset observation."""
        observations, rewards, dones, infos = self.venv.step_wait()
        cut = [i for i in np.flatnonzero(dones) if infos[i].get("TimeLimit.truncated", False)]
        last = stacked([infos[i]["terminal_observation"] for i in cut]) if cut else None
        return observations, self._shaped(observations, rewards, dones, cut, last), dones, infos

    def step_arrays(self, actions: np.ndarray) -> "Stepped":
        """The same step as arrays."""
        step = stepped(self.venv, actions)
        cut = step.ended[step.cut]
        last = taken(step.final_observations, step.cut) if len(cut) else None
        return step._replace(rewards=self._shaped(step.observations, step.rewards, step.dones, cut, last))

    def _shaped(self, observations: Any, rewards: np.ndarray, dones: np.ndarray, cut: Any, last: Any) -> np.ndarray:
        """The rewards of a step; `last` are the final observations of the episodes `cut` off."""
        begun = self.potential(observations)  # (B,), of what the agent sees next
        reached = np.where(dones, 0.0, begun)  # (B,), of what the step led to
        if len(cut):
            reached[cut] = self.potential(last)
        coefficient = self.coefficient()
        shaped = rewards + self.gamma * coefficient * reached - self._before
        self._before = coefficient * begun
        return np.asarray(shaped.astype(rewards.dtype))
