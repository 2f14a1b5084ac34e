"""One game, opened to be watched: every state has its picture, also the one in which an episode ends.

A VecEnv begins the next episode within the step that ends one, and the last picture is lost; so the single
environment inside it is stepped instead.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.selfplay.attaching import settle
from agents.selfplay.seat import OneSeat
from envs.errors import ConfigError, HeadstartError
from envs.guard import blamed
from envs.interface import Interface
from envs.parallel import ParallelVecEnv
from envs.scoring import scored
from envs.task import Task
from envs.turns.making import evaluated
from envs.turns.vector import TurnsVecEnv
from envs.vector import interface, make_vec

USUAL_FPS = 15
"""Of games that do not say."""

Observation = np.ndarray | dict[str, np.ndarray]


class Stage(Protocol):
    """A game with its `agents` agents. Observations and actions have one row per agent."""

    interface: Interface
    agents: int
    fps: int
    """Frames a second at which the game wants to be seen."""

    def reset(self, seed: int) -> Observation:
        """Begin an episode."""

    def step(self, actions: np.ndarray) -> tuple[Observation, float, bool, bool]:
        """Observations, reward (the mean over agents), terminated, truncated."""

    def picture(self) -> np.ndarray | None:
        """The game's own, (H, W, 3) uint8, if it has one and was not opened for text."""

    def text(self) -> str | None:
        """The game's own picture in characters, if it was opened for that and has one."""

    def said(self) -> str | None:
        """What is to be known besides: in a game against somebody where one sits, and what the others played."""

    def close(self) -> None:
        """Close the game."""


def open_stage(task: Task, seed: int = 0, *, text: bool = False, root: Path | None = None) -> Stage:
    """Open a task for watching, as it is evaluated; as text if asked and if the game has some.

    `root`: where runs live that are played against; by default $HEADSTART_RUNS, else ./runs.

    Raises what `make_vec` raises.
    """
    task = scored(evaluated(task))
    stage = _stage(_opened(task, seed), task, root)
    if not text or "ansi" not in stage.modes:
        return stage
    stage.close()
    return _stage(make_vec(task, n_envs=1, seed=seed, render="ansi", backend="dummy"), task, root)


def _stage(venv: VecEnv, task: Task, root: Path | None) -> "OneAgent | ManyAgents | OneSeat":
    inner = venv.unwrapped
    if isinstance(inner, TurnsVecEnv):
        known = interface(venv)
        settle(inner, known, root=root)
        return OneSeat(inner, known)
    if isinstance(inner, ParallelVecEnv):
        return ManyAgents(inner, interface(venv), task)
    if isinstance(inner, DummyVecEnv):
        return OneAgent(inner, interface(venv), task)
    raise ConfigError(f"{task} cannot be watched: it can only be played in batches ({type(inner).__name__})")


def _opened(task: Task, seed: int) -> VecEnv:
    """With pictures if the game has some; many games refuse the argument that asks for them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*render_mode.*", UserWarning)  # Gymnasium's, to authors of games
        try:
            return make_vec(task, n_envs=1, seed=seed, render=True, backend="dummy")
        except HeadstartError as error:
            try:
                return make_vec(task, n_envs=1, seed=seed, backend="dummy")
            except HeadstartError:
                raise error from None


class OneAgent:
    """A Gymnasium environment."""

    agents = 1

    def __init__(self, venv: DummyVecEnv, interface: Interface, task: Task) -> None:
        self.interface, self._env, self._task = interface, venv.envs[0], task
        self._space = venv.observation_space
        self.fps, self.modes = _fps(self._env), _modes(self._env)

    def reset(self, seed: int) -> Observation:
        """Begin an episode: the one that SB3 would play after `venv.seed(seed)`."""
        return batch([self._env.reset(seed=seed)[0]], self._space)

    def step(self, actions: np.ndarray) -> tuple[Observation, float, bool, bool]:
        """One step."""
        observation, reward, terminated, truncated, _ = self._env.step(actions[0])
        return batch([observation], self._space), float(reward), bool(terminated), bool(truncated)

    def picture(self) -> np.ndarray | None:
        """The game's own."""
        return _pictured(self._env, self._task)

    def text(self) -> str | None:
        """The game's own picture in characters."""
        return _told(self._env, self._task)

    def said(self) -> str | None:
        """Nothing."""
        return None

    def close(self) -> None:
        """Close the game."""
        self._env.close()


class ManyAgents:
    """A PettingZoo parallel environment, its agents playing one policy. Agents who are out see zeros."""

    def __init__(self, venv: ParallelVecEnv, interface: Interface, task: Task) -> None:
        self.interface, self._venv, self._task = interface, venv, task
        self._game, self._team = venv.copies[0], venv.teams[0]
        self.agents = len(venv.agents)
        self._playing: list[int] = []
        self.fps, self.modes = _fps(self._game), _modes(self._game)

    def reset(self, seed: int) -> Observation:
        """Begin an episode."""
        rows = self._venv.layout.empty(1)
        self._team.reset(seed, None, rows)
        self._playing = self._team.roster
        self._venv.check(rows, [0.0])
        return self._seen(rows)

    def step(self, actions: np.ndarray) -> tuple[Observation, float, bool, bool]:
        """One step of all who are in. The episode ends with the last of them; truncated only if nobody terminated then.

        The reward is the mean over all agents who were there at the reset: its sum is the mean of their returns.
        """
        layout = self._venv.layout
        rows, rewards = layout.empty(1), list[float]()
        ends = self._team.step(layout.actions(actions), rows, rewards, [])
        for end in ends:
            layout.free(rows, end.agent)
        self._venv.check(rows, rewards)
        over = not self._team.roster
        cut = over and all(end.truncated for end in ends)
        return self._seen(rows), sum(rewards) / len(self._playing), over and not cut, cut

    def _seen(self, rows: list[np.ndarray]) -> Observation:
        seen: Observation = self._venv.layout.whole(rows)
        return seen

    def picture(self) -> np.ndarray | None:
        """The game's own, of all agents."""
        return _pictured(self._game, self._task)

    def text(self) -> str | None:
        """The game's own picture in characters, of all agents."""
        return _told(self._game, self._task)

    def said(self) -> str | None:
        """Nothing."""
        return None

    def close(self) -> None:
        """Close the game."""
        self._game.close()


def batch(observations: Iterable[Any], space: spaces.Space[Any]) -> Observation:
    """Single observations as the policy takes them, (n_agents, ...), copied."""
    rows = list(observations)
    if isinstance(space, spaces.Dict):
        return {
            key: np.stack([np.asarray(row[key], dtype=part.dtype) for row in rows])
            for key, part in space.spaces.items()
        }
    return np.stack([np.asarray(row, dtype=space.dtype) for row in rows])


def _fps(game: Any) -> int:
    return int(_metadata(game, "render_fps", None) or USUAL_FPS)


def _modes(game: Any) -> tuple[str, ...]:
    return tuple(_metadata(game, "render_modes", None) or ())


def _metadata(game: Any, key: str, otherwise: Any) -> Any:
    """What the game says of itself, below all wrappers."""
    return (game.unwrapped.metadata or {}).get(key, otherwise)


def _pictured(game: Any, task: Task) -> np.ndarray | None:
    picture = _rendered(game, task, "rgb_array")
    return None if picture is None else np.array(picture)


def _told(game: Any, task: Task) -> str | None:
    text = _rendered(game, task, "ansi")
    return text if isinstance(text, str) else None


def _rendered(game: Any, task: Task, mode: str) -> Any:
    """What the game draws, if it was opened to be drawn in that way."""
    if getattr(game, "render_mode", None) != mode or mode not in _modes(game):
        return None
    with blamed(task.game, lambda: "when it was asked for a picture"):
        return game.render()
