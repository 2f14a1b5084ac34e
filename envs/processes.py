"""One process an environment, for games that are slow enough to be worth it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import SubprocVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from envs.errors import GameError


class ProcessesVecEnv(SubprocVecEnv):
    """SB3's worker processes; when a game's fault ends one, that is said."""

    def __init__(self, factories: list[Callable[[], gym.Env[Any, Any]]], game: str) -> None:
        self._game = game
        super().__init__(factories)

    def reset(self) -> Any:
        """Start new episodes."""
        with self._alive():
            return super().reset()

    def step_wait(self) -> VecEnvStepReturn:
        """One step."""
        with self._alive():
            return super().step_wait()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as error:
            raise GameError(
                f"a process of game {self._game!r} ended; its error is above, or run it with backend 'dummy'"
            ) from error
