"""A game that breaks its contract is named, with the step and the action, before its fault reaches a learner."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np

from envs.errors import GameError, HeadstartError


@contextmanager
def blamed(game: str, when: Callable[[], str]) -> Iterator[None]:
    """Turn whatever the game raises into a GameError of one line that ends in `when()`. Our own errors pass."""
    try:
        yield
    except HeadstartError:
        raise
    except (Exception, SystemExit) as error:  # a game that leaves by sys.exit() takes no study with it
        raise GameError(f"game {game!r} raised {' '.join(repr(error).split())} {when()}") from error


def finite(values: Any) -> bool:
    """Whether an observation, batched or not, holds neither NaN nor infinity; only floats are looked at."""
    if isinstance(values, dict):
        return all(finite(part) for part in values.values())
    array = np.asarray(values)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def at(step: int, action: Any) -> str:
    """Where in an episode something happened, for a message."""
    return f"at step {step} of an episode (action {shown(action)})"


def shown(action: Any) -> str:
    """An action in a message."""
    return " ".join(str(action.tolist() if isinstance(action, np.ndarray | np.generic) else action).split())


class Guard(gym.Wrapper[Any, Any, Any, Any]):
    """Raises GameError when the game raises, or returns NaN, infinity or an observation of another shape."""

    def __init__(self, env: gym.Env[Any, Any], game: str) -> None:
        super().__init__(env)
        self._game = game
        self._steps = 0
        self._shape = env.observation_space.shape

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        self._steps = 0

        def when() -> str:
            return f"at the reset of an episode (seed {seed})"

        with blamed(self._game, when):
            observation, info = self.env.reset(seed=seed, options=options)
        self._check(observation, when)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Go on by one step. On the way of every transition: what costs nothing when all is well comes first."""
        self._steps += 1
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            wrong = not math.isfinite(reward)
        except HeadstartError:
            raise
        except (Exception, SystemExit):
            with blamed(self._game, lambda: at(self._steps, action)):
                raise
        if wrong:
            raise GameError(f"game {self._game!r} returned the reward {reward} {at(self._steps, action)}")
        if not self._plain(observation):
            self._check(observation, lambda: at(self._steps, action))
        return observation, reward, terminated, truncated, info

    def _plain(self, observation: Any) -> bool:
        """Whether an observation is a vector of finite floats of the right shape, seen in one product.

        A sum of squares is finite only if all are; where it overflows, `_check` looks more closely.
        """
        return (
            type(observation) is np.ndarray
            and observation.ndim == 1
            and observation.dtype.kind == "f"
            and observation.shape == self._shape
            and math.isfinite(observation.dot(observation))
        )

    def _check(self, observation: Any, when: Callable[[], str]) -> None:
        if not finite(observation):
            raise GameError(f"game {self._game!r} returned NaN or infinity in its observation {when()}")
        if self._shape is not None and np.shape(observation) != self._shape:
            raise GameError(
                f"game {self._game!r} returned an observation of shape {np.shape(observation)} {when()}; "
                f"its space says {self._shape}"
            )
