"""Vectorised environments whose rewards are shaped, for learners on policy."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from envs.batched import Stepped, stepped
from envs.observations import stacked, taken
from transfer.shaping.arithmetic import look_back_term, state_term
from transfer.shaping.potentials import Advice, Potential

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class ReshapedVecEnv(VecEnvWrapper):
    """Environments that add something to their rewards; a subclass says what, in `_begin` and `_added`.

    Args:
        venv: B environments with Stable-Baselines3's conventions for ends of episodes.
        gamma: the learner's discount.
        coefficient: c now; read once a step.
    """

    def __init__(self, venv: VecEnv, gamma: float, coefficient: Callable[[], float] = lambda: 1.0) -> None:
        super().__init__(venv)
        self.gamma, self.coefficient = gamma, coefficient
        self._actions: Any = None

    def _begin(self, observations: Any) -> None:
        """All episodes begin with these observations."""
        raise NotImplementedError

    def _added(self, actions: Any, observations: Any, dones: np.ndarray, cut: Any, last: Any) -> np.ndarray:
        """What a step adds to its rewards (B,); `last` are the final observations of the episodes `cut` off."""
        raise NotImplementedError

    def reset(self) -> "VecEnvObs":
        """Begin."""
        observations = self.venv.reset()
        self._begin(observations)
        return observations

    def set_state(self, state: dict[str, Any]) -> Any:
        """Go on from another state, as if an episode began there. Returns the observations."""
        observations = self.venv.set_state(state)  # type: ignore[attr-defined]
        self._begin(observations)
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> "VecEnvStepReturn":
        """Shape one step; after the end of an episode the next one's state is that of the reset observation."""
        observations, rewards, dones, infos = self.venv.step_wait()
        cut = [i for i in np.flatnonzero(dones) if infos[i].get("TimeLimit.truncated", False)]
        last = stacked([infos[i]["terminal_observation"] for i in cut]) if cut else None
        added = self._added(self._actions, observations, dones, cut, last)
        return observations, np.asarray((rewards + added).astype(rewards.dtype)), dones, infos

    def step_arrays(self, actions: np.ndarray) -> Stepped:
        """The same step as arrays."""
        step = stepped(self.venv, actions)
        cut = step.ended[step.cut]
        last = taken(step.final_observations, step.cut) if len(cut) else None
        added = self._added(actions, step.observations, step.dones, cut, last)
        return step._replace(rewards=np.asarray((step.rewards + added).astype(step.rewards.dtype)))


class ShapedVecEnv(ReshapedVecEnv):
    """Adds γc′Φ(s′) − cΦ(s) to the rewards (`state_term`).

    Args:
        venv: B environments.
        potential: Φ.
        gamma: the learner's discount.
        coefficient: c now.
    """

    def __init__(
        self, venv: VecEnv, potential: Potential, gamma: float, coefficient: Callable[[], float] = lambda: 1.0
    ) -> None:
        super().__init__(venv, gamma, coefficient)
        self.potential = potential
        self._before = np.zeros(venv.num_envs)  # (B,), c(t)Φ(s) of the step to come

    def _begin(self, observations: Any) -> None:
        self._before = self.coefficient() * self.potential(observations)

    def _added(self, actions: Any, observations: Any, dones: np.ndarray, cut: Any, last: Any) -> np.ndarray:
        coefficient = self.coefficient()
        begun = coefficient * self.potential(observations)  # (B,), of what the agent sees next
        reached, terminated = begun.copy(), dones.copy()  # (B,), of what the step led to
        if len(cut):
            reached[cut] = coefficient * self.potential(last)
            terminated[cut] = False
        added = state_term(self._before, reached, terminated, self.gamma)
        self._before = begun
        return np.asarray(added)


class AdvisedVecEnv(ReshapedVecEnv):
    """Adds cΦ(s, a) − γ⁻¹c₋Φ(s₋, a₋) to the rewards (`look_back_term`).

    Args:
        venv: B environments.
        advice: Φ.
        gamma: the learner's discount.
        coefficient: c now.
    """

    def __init__(
        self, venv: VecEnv, advice: Advice, gamma: float, coefficient: Callable[[], float] = lambda: 1.0
    ) -> None:
        super().__init__(venv, gamma, coefficient)
        self.advice = advice
        self._of: Callable[[np.ndarray], np.ndarray] = lambda actions: np.zeros(len(actions))
        self._before = np.zeros(venv.num_envs)  # (B,), c₋Φ(s₋, a₋)
        self._seen: Any = None  # the observations that `_of` is about

    def _begin(self, observations: Any) -> None:
        self._look(observations)
        self._before = np.zeros(self.num_envs)

    def _look(self, observations: Any) -> None:
        self._seen, self._of = observations, self.advice(observations)

    def restored(self) -> None:
        """Ask again about the observations that a checkpoint kept."""
        self._look(self._seen)

    def _added(self, actions: Any, observations: Any, dones: np.ndarray, cut: Any, last: Any) -> np.ndarray:
        now, terminated = self.coefficient() * self._of(actions), dones.copy()
        terminated[cut] = False
        added = look_back_term(self._before, now, terminated, self.gamma)
        self._look(observations)
        self._before = np.where(dones, 0.0, now)
        return np.asarray(added)
