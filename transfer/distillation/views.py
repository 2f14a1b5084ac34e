"""Two views of one game: the student sees it as its task shows it, a teacher as its own task did.

A change of the observation is a wrapper of one environment, and may remember what it saw. So each view gets a wrapper
of its own: the student's around the game, the teacher's around an echo of what the game answered.
"""

from typing import Any

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs.catalogue import find_game, named
from envs.customise import change_env
from envs.guard import Guard
from envs.learnable import as_bytes, check_spaces, count_from_zero
from envs.observations import stacked
from envs.task import Change, Task
from envs.vector import make_env


def viewed(task: Task, observation: str | None) -> Task:
    """The same task with another change of its observation, or none."""
    return task.model_copy(update={"change": task.change.model_copy(update={"observation": observation})})


class TwoViews:
    """Environments of a task, and what others see of the same states.

    Args:
        task: the student's.
        observations: of each teacher, the change of the observation that it was trained with.
        n_envs: how many environments, an object each.

    Raises what making the task raises.
    """

    def __init__(self, task: Task, observations: tuple[str | None, ...], n_envs: int) -> None:
        made = [_seen_by(task, observations) for _ in range(n_envs)]
        self._mirrors = [mirrors for _, mirrors in made]
        self.venv: VecEnv = DummyVecEnv([lambda env=env: env for env, _ in made])  # type: ignore[misc]

    def seen(self, teacher: int) -> Any:
        """What this teacher sees of the states that the environments are in: (n_envs, …)."""
        return stacked([mirrors[teacher].observation for mirrors in self._mirrors])


def _seen_by(task: Task, observations: tuple[str | None, ...]) -> tuple[gym.Env[Any, Any], "list[Mirror]"]:
    """One environment of the task, and a mirror for each teacher; the layers are in the order of `make_env`'s."""
    change = task.change
    plain = task.model_copy(update={"change": Change(reward=change.reward, time_limit=change.time_limit)})
    source = Source(make_env(plain))
    mirrors = [Mirror(source, observation, task.game) for observation in observations]
    source.mirrors = mirrors
    names = named(find_game(task.game), source.metadata).actions
    rest = Change(observation=change.observation, sticky=change.sticky, actions=change.actions)
    env = as_bytes(count_from_zero(change_env(source, rest, task.game, names)))
    check_spaces(env.observation_space, env.action_space, task.game)
    return Monitor(Guard(env, task.game)), mirrors


class Source(gym.Wrapper[Any, Any, Any, Any]):
    """A game whose answers are handed on to mirrors."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.mirrors: list[Mirror] = []
        self.answer: Any = None
        """Of the last reset or step."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in all views."""
        self.answer = self.env.reset(seed=seed, options=options)
        for mirror in self.mirrors:
            mirror.follow_reset()
        return self.answer  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Go on by one step in all views."""
        self.answer = self.env.step(action)
        for mirror in self.mirrors:
            mirror.follow_step(action)
        return self.answer  # type: ignore[no-any-return]


class _Echo(gym.Wrapper[Any, Any, Any, Any]):
    """Answers what the source answered last, and plays nothing itself."""

    env: Source

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self.env.answer  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        return self.env.answer  # type: ignore[no-any-return]


class Mirror:
    """What one teacher sees of a source's states."""

    def __init__(self, source: Source, observation: str | None, game: str) -> None:
        self._view = as_bytes(change_env(_Echo(source), Change(observation=observation), game, None))
        self.observation: Any = None
        """Of the state that the source is in."""

    def follow_reset(self) -> None:
        """After the source's reset."""
        self.observation, _ = self._view.reset()

    def follow_step(self, action: Any) -> None:
        """After the source's step."""
        self.observation = self._view.step(action)[0]
