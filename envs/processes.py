"""One process an environment, for games that are slow enough to be worth it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
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
        """One step. Rewards are float32, as DummyVecEnv's are: the backend does not change a run's numbers."""
        with self._alive():
            observations, rewards, dones, infos = super().step_wait()
        return observations, rewards.astype(np.float32), dones, list(infos)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as error:
            for process in self.processes:  # the others would wait for an answer for ever
                process.terminate()
            self.closed = True
            raise GameError(
                f"a process of game {self._game!r} ended; its error is above, or run it with backend 'dummy'"
            ) from error
