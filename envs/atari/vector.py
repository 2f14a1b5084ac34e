"""A batch of one Atari game."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.atari.console import Console
from envs.atari.settings import AtariSettings, settings_of
from envs.atari.single import metadata_of
from envs.generators import from_array, from_seed, to_array
from envs.same_step import each_seed, final_infos, to_reset

Array = npt.NDArray[Any]
Outcome = tuple[float, bool, bool]


class AtariVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batch of one Atari game; an episode that ends is followed by the next one in that same step.

    Environment i of a batch seeded with s is the single environment seeded with s + i, however many threads play.
    ALE's own batch (`ale_py.vector_env`) knows neither modes, difficulties, RAM nor its own state, and is no faster:
    nearly all the time is the machines'.

    Args:
        num_envs: how many.
        render_mode: None or "rgb_array".
        arguments: the fields of `AtariSettings`.

    Raises what `AtariEnv` does.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = 27_000,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        settings = settings_of({"max_episode_steps": max_episode_steps, **arguments})
        self.settings: AtariSettings = settings
        self.num_envs, self.render_mode = num_envs, render_mode
        self._frames = np.zeros((num_envs, settings.stack, settings.size, settings.size), np.uint8)
        self.consoles = [Console(settings, frames) for frames in self._frames]
        first = self.consoles[0]
        self.metadata = {
            **metadata_of(first, settings),
            "render_modes": ["rgb_array"],
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space = first.observation_space
        self.single_action_space = spaces.Discrete(len(first.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator] = []
        self._threads = ThreadPoolExecutor(settings.threads) if settings.threads > 1 else None
        self.records: dict[int, dict[str, Any]] | None = None
        """Of the environments whose game ended in the last step, Monitor's record of the whole game; None where
        a learner sees the game's own score and end, and whoever counts them is right."""

    @property  # type: ignore[override]  # as SyncVectorEnv's
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """One generator an environment."""
        if not self._generators:
            self._generators = [from_seed(None) for _ in range(self.num_envs)]
        return tuple(self._generators)

    @np_random.setter  # type: ignore[override]
    def np_random(self, value: Sequence[np.random.Generator]) -> None:
        self._generators = list(value)

    def observe(self) -> np.ndarray:
        """What the agents see: (n_envs, size, size, stack) uint8, or (n_envs, 128) float32."""
        if self.settings.obs_type == "ram":
            return np.stack([console.ram() for console in self.consoles])
        return np.array(self._frames).transpose(0, 2, 3, 1)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: s seeds environment i with s + i; a sequence gives each its own; None goes on with their generators.
            options: `reset_mask` ((n_envs,) bool) resets only those.
        """
        seeds, which = each_seed(seed, self.num_envs), to_reset(options, self.num_envs)
        new = not self._generators
        generators = list(self.np_random)
        for index in which.tolist():
            if seeds[index] is not None:
                generators[index] = from_seed(seeds[index])
        self._generators = generators
        self._each(
            which.tolist(),
            lambda index: self.consoles[index].reset(generators[index], seeded=new or seeds[index] is not None),
        )
        return self.observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One decision in every game. `actions` (n_envs,) count within the offered actions."""
        observations, rewards, terminated, truncated, ended, last = self.step_arrays(actions)
        return observations, rewards, terminated, truncated, final_infos(self.num_envs, ended, last)

    def step_arrays(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One decision in every game, in arrays alone.

        Returns:
            observations: of the episodes that are now under way.
            rewards, terminated, truncated: (n_envs,) float64 and bool.
            ended: (m,) int64, the environments whose episode ended in this step.
            last: (m, …), what these episodes ended with.
        """
        chosen = actions.tolist()
        outcomes = self._each(range(self.num_envs), lambda index: self.consoles[index].step(chosen[index]))
        earned, over, cut = zip(*outcomes, strict=True)
        rewards, terminated = np.array(earned, dtype=np.float64), np.array(over, dtype=np.bool_)
        truncated = np.array(cut, dtype=np.bool_)
        observations = self.observe()
        ended = np.flatnonzero(terminated | truncated)
        last = observations[ended]
        if self.settings.keeps_records:
            told = {index: self.consoles[index].record() for index in ended.tolist()}
            self.records = {index: record for index, record in told.items() if record is not None}
        if len(ended):
            generators = self.np_random
            self._each(ended.tolist(), lambda index: self.consoles[index].reset(generators[index], seeded=False))
            observations = self.observe()
        return observations, rewards, terminated, truncated, ended, last

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame of each game, (210, 160, 3) uint8."""
        return None if self.render_mode is None else tuple(console.picture() for console in self.consoles)

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, as arrays with a leading axis of n_envs."""
        states = [console.get_state() for console in self.consoles]
        stacked = {key: np.stack([state[key] for state in states]) for key in states[0]}
        return {**stacked, "generators": to_array(self.np_random)}

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned."""
        self._generators = from_array(state["generators"])
        for index, console in enumerate(self.consoles):
            console.set_state({key: value[index] for key, value in state.items() if key != "generators"})

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
        if self._threads is not None:
            self._threads.shutdown()

    def _each(self, indices: Sequence[int], do: Callable[[int], Any]) -> list[Any]:
        """Do something with each of these machines, in their order or side by side."""
        return [do(index) for index in indices] if self._threads is None else list(self._threads.map(do, indices))


def make_batch(num_envs: int = 1, **arguments: Any) -> VectorEnv[np.ndarray, np.ndarray, np.ndarray]:
    """A batch by the engine that the arguments name. Raises what `AtariEnv` does."""
    if arguments.get("engine") == "envpool":
        from envs.atari.pool import EnvPoolAtari

        return EnvPoolAtari(num_envs, **arguments)
    return AtariVectorEnv(num_envs, **arguments)
