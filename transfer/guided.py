"""Environments whose episodes a guide begins: it plays their first steps, and the learner takes over where it stops.

The learner never sees the guide's steps. They count towards the episode's time limit and in `taken`; what they earned
is not credited: the records of finished episodes hold the learner's own rewards and steps. Where the guide ends an
episode, the next one begins with half as many of its steps as it took, so that some episode reaches the learner.
"""

from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from envs.batched import BatchedVecEnv, Stepped, stepped
from envs.observations import taken


class Act(Protocol):
    """Who plays: a batch of B observations → actions (B, …), ready for `step`."""

    def __call__(self, observations: Any, /) -> np.ndarray:
        """The actions."""


class Horizons(Protocol):
    """How many steps of an episode the guide takes."""

    @property
    def bound(self) -> int:
        """The most that is drawn now; 0 once the guide is gone."""

    @property
    def stage(self) -> int:
        """What the episodes that begin now belong to."""

    def draw(self, count: int) -> np.ndarray:
        """The guide's steps in `count` new episodes: (count,) int64."""

    def finished(self, stage: int, earned: float) -> None:
        """An episode that began in this stage has ended; `earned` is its whole return, the guide's part included."""


class GuidedVecEnv(VecEnvWrapper):
    """What guided environments have in common; `_begun` differs.

    Args:
        venv: B environments with episode records.
        guide: who begins.
        horizons: for how long.
    """

    def __init__(self, venv: VecEnv, guide: Act, horizons: Horizons) -> None:
        super().__init__(venv)
        self.guide, self.horizons = guide, horizons
        self.taken = 0
        """Steps that the guide took, of all environments together."""
        self._stages = np.zeros(venv.num_envs, dtype=np.int64)  # (B,), of the episodes under way
        self._steps = np.zeros(venv.num_envs, dtype=np.int64)  # (B,), the guide's in them
        self._earned = np.zeros(venv.num_envs)  # (B,), by the guide in them
        self._actions: Any = None

    @property
    def guided(self) -> np.ndarray:
        """The guide's steps in the episodes under way: (B,)."""
        return self._steps.copy()

    def reset(self) -> Any:
        """Begin new episodes; the observations are those that the guide leaves behind."""
        return self._begun(np.arange(self.num_envs), self.venv.reset())

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One step of every environment; where an episode ends, the guide begins the next."""
        step = self.step_arrays(self._actions)
        return step.observations, step.rewards, step.dones, list(step.infos)

    def step_arrays(self, actions: np.ndarray) -> Stepped:
        """The same step as arrays."""
        step = stepped(self.venv, actions)
        if not len(step.ended):
            return step
        for index, record in zip(step.ended.tolist(), step.records, strict=True):
            self.horizons.finished(int(self._stages[index]), float(record["r"]))
            record["r"] = round(float(record["r"] - self._earned[index]), 6)
            record["l"] = int(record["l"] - self._steps[index])
        return step._replace(observations=self._begun(step.ended, step.observations))

    def _begun(self, which: np.ndarray, observations: Any) -> Any:
        """Play the guide's part of the episodes that have begun in `which` (m,); all observations after it."""
        raise NotImplementedError


class GuidedObjects(GuidedVecEnv):
    """One object per environment: the guide steps those whose episode begins, the others wait."""

    def _begun(self, which: np.ndarray, observations: Any) -> Any:
        left = self.horizons.draw(len(which))  # (m,), steps still to be led
        self._stages[which], self._steps[which], self._earned[which] = self.horizons.stage, 0, 0.0
        while (left > 0).any():
            places = np.flatnonzero(left > 0)
            actions = self.guide(taken(observations, which[places]))
            for place, action in zip(places.tolist(), actions, strict=True):
                index = int(which[place])
                left[place] = self._step(index, action, int(left[place]), observations)
        return observations

    def _step(self, index: int, action: Any, left: int, observations: Any) -> int:
        """One step of the guide in one environment; how many are left."""
        seen, reward, terminated, truncated, _ = self.venv.env_method("step", action, indices=index)[0]
        self.taken += 1
        self._steps[index] += 1
        self._earned[index] += float(reward)
        left -= 1
        if terminated or truncated:
            left = int(self._steps[index]) // 2
            self._steps[index], self._earned[index] = 0, 0.0
            seen, _ = self.venv.env_method("reset", indices=index)[0]
        _put(observations, index, seen)
        return left


class GuidedBatch(GuidedVecEnv):
    """A batch whose state can be taken out and put back: the guide plays a whole batch of episodes beside it.

    A second batch leads as many episodes as there are environments to their horizons at once and keeps the states it
    reaches. An environment whose episode ends has begun another; it gives that beginning away for one of these states.
    When none is left, the beginnings are led in their turn. So each beginning is led once, each state is used once, and
    no two environments ever share a generator. Horizons are those of the time when the guide plays.

    Args:
        venv: B environments of one of our games.
        guide: who begins.
        horizons: for how long.
        beside: B other environments of the same game, seeded apart.
    """

    def __init__(self, venv: BatchedVecEnv, guide: Act, horizons: Horizons, beside: BatchedVecEnv) -> None:
        super().__init__(venv, guide, horizons)
        self.batch, self.beside = venv, beside
        self._pool: dict[str, Any] = {}  # of B states, some of them led, the others beginnings
        self._pool_stage = 0
        self._led: list[int] = []  # which of them are led, in the order in which they are used

    def close(self) -> None:
        """Close both batches."""
        self.beside.close()
        super().close()

    def _begun(self, which: np.ndarray, observations: Any) -> Any:
        self._stages[which], self._steps[which], self._earned[which] = self.horizons.stage, 0, 0.0
        if self.horizons.bound == 0:
            return observations
        if not self._pool:
            self.beside.reset()
            self._pool = self.beside.get_state()
        if len(which) == self.num_envs and not self._led:  # its own beginnings can be led as they are
            state = self._lead(self.batch.get_state())
            self._note(which, state)
            return self.batch.set_state(state)
        while len(which):
            if not self._led:
                self._pool_stage = self.horizons.stage
                self._pool, self._led = self._lead(self._pool), list(range(self.num_envs))
            slots, self._led = self._led[: len(which)], self._led[len(which) :]
            observations = self._exchange(which[: len(slots)], np.array(slots))
            which = which[len(slots) :]
        return observations

    def _exchange(self, which: np.ndarray, slots: np.ndarray) -> Any:
        """Give the environments in `which` (m,) the states in these slots (m,) for their own; all observations."""
        state = self.batch.get_state()
        led = _rows(self._pool, slots)
        _fill(self._pool, slots, _rows(state, which))
        _fill(state, which, led)
        self._stages[which] = self._pool_stage
        self._note(which, led)
        return self.batch.set_state(state)

    def _note(self, which: np.ndarray, led: dict[str, Any]) -> None:
        """Remember what the guide did in the episodes of `which` (m,), from the m states it led to."""
        self._steps[which], self._earned[which] = led["length"], led["return"]

    def _lead(self, state: dict[str, Any]) -> dict[str, Any]:
        """The states (B) that the guide reaches from these beginnings (B), each at its own horizon."""
        left = self.horizons.draw(self.num_envs)  # (B,), steps still to be led
        led = {name: array.copy() for name, array in state.items()}
        played = np.zeros(self.num_envs, dtype=np.int64)
        observations = self.beside.set_state(state) if (left > 0).any() else None
        while (left > 0).any():
            step = stepped(self.beside, self.guide(observations))
            observations = step.observations
            going = left > 0
            self.taken += int(going.sum())
            left[going] -= 1
            played[going] += 1
            ended = step.ended[going[step.ended]]
            left[ended] = played[ended] // 2
            played[ended] = 0
            arrived = np.flatnonzero(going & (left == 0))
            if len(arrived):
                _fill(led, arrived, _rows(self.beside.get_state(), arrived))
        return led


def _rows(state: dict[str, Any], which: np.ndarray) -> dict[str, Any]:
    return {name: array[which].copy() for name, array in state.items()}


def _fill(state: dict[str, Any], which: np.ndarray, rows: dict[str, Any]) -> None:
    for name, array in state.items():
        array[which] = rows[name]


def _put(observations: Any, index: int, one: Any) -> None:
    """One environment's observation into its place."""
    if isinstance(observations, dict):
        for name, array in observations.items():
            array[index] = one[name]
    else:
        observations[index] = one
