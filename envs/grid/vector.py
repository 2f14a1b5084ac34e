"""A batch of grid worlds as a Gymnasium vector environment."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs import generators
from envs.errors import ConfigError
from envs.grid import render
from envs.grid.dials import setting
from envs.grid.worlds import Worlds
from envs.observations import taken
from envs.same_step import each_seed, final_infos, to_reset

Array = npt.NDArray[Any]


class GridVectorEnv(VectorEnv[Any, Array, Array]):
    """A batch of grid worlds of one game; one whose episode ends is started anew in that same step.

    Args:
        num_envs: how many.
        family: such as `door_key`; `envs.grid.families` knows them.
        render_mode: None, `rgb_array` or `ansi`.
        keywords: the family's own arguments, which are MiniGrid's, and those of `envs.grid.dials.Dials`.

    Raises UnknownName or ConfigError.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # Gymnasium declares it without ClassVar
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": render.FPS,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, num_envs: int = 1, *, family: str, render_mode: str | None = None, **keywords: Any) -> None:
        if num_envs < 1:
            raise ConfigError(f"{num_envs} environments of the grid world {family!r}: expected 1 or more")
        self.num_envs = num_envs
        self.render_mode = render.mode(render_mode, self.metadata)
        self.worlds = Worlds(setting(family, keywords), num_envs)
        self.missions = self.worlds.setting.missions
        self.metadata = {**self.metadata, "headstart": self.worlds.names}  # type: ignore[misc]
        self.single_observation_space, self.single_action_space = self.worlds.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeds: list[int | None] = [None] * num_envs
        self._generators: list[np.random.Generator] = []

    @property  # type: ignore[override]  # as SyncVectorEnv's
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """One generator an environment, for wrappers: the worlds have a chance of their own.

        They are what `GridEnv.np_random` is for the same seeds. Who never asks for them pays nothing: only from then on
        are they made, seeded, and part of the state.
        """
        if not self._generators:
            self._generators = [generators.from_seed(seed) for seed in self._seeds]
        return tuple(self._generators)

    @np_random.setter  # type: ignore[override]
    def np_random(self, value: Sequence[np.random.Generator]) -> None:
        self._generators = list(value)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: s seeds environment i with s + i; a sequence gives each its own; None goes on with their chance.
            options: `reset_mask` ((n_envs,) bool) resets only those.
        """
        seeds, which = each_seed(seed, self.num_envs), to_reset(options, self.num_envs)
        self.worlds.seed(which, [seeds[index] for index in which.tolist()])
        for index in which.tolist():
            self._seeds[index] = seeds[index] if seeds[index] is not None else self._seeds[index]
            if self._generators and seeds[index] is not None:
                self._generators[index] = generators.from_seed(seeds[index])
        self.worlds.start(which)
        return self.observe(), {}

    def step(self, actions: Array) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """One step of every environment. `actions` is (n_envs,). Raises ConfigError if one is no action."""
        observations, rewards, terminated, truncated, ended, last = self.step_arrays(actions)
        return observations, rewards, terminated, truncated, final_infos(self.num_envs, ended, last)

    def step_arrays(self, actions: Array) -> tuple[Any, Array, Array, Array, Array, Any]:
        """One step of every environment, in arrays alone.

        Returns:
            observations: of the episodes that are now under way.
            rewards, terminated, truncated: (n_envs,) float64 and bool.
            ended: (m,) int64, the environments whose episode ended in this step.
            last: the observations that these episodes ended with, as `observations` but m of them.
        """
        rewards, terminated, truncated = self.worlds.step(actions)
        observations = self.worlds.observe()
        ended = np.flatnonzero(terminated | truncated)
        last = taken(observations, ended)
        if len(ended):
            self.worlds.start(ended)
            _put(observations, ended, self.worlds.observe(ended))
        return observations, rewards, terminated, truncated, ended, last

    def observe(self) -> Any:
        """What the agents see now: (n_envs, view, view, 3) uint8, or a dictionary with that, directions, missions."""
        return self.worlds.observe()

    def render(self) -> tuple[Any, ...] | None:
        """Of each environment a frame (height, width, 3) uint8, or its text."""
        if self.render_mode is None:
            return None
        return render.texts(self.worlds) if self.render_mode == "ansi" else render.frames(self.worlds)

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, but the game: copies, each with a leading axis of n_envs."""
        drawn = {"generators": generators.to_array(self._generators)} if self._generators else {}
        return {**self.worlds.get_state(), **drawn}

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned. Raises ConfigError if that is of other worlds."""
        self.worlds.set_state(state)
        if "generators" in state:
            self._generators = generators.from_array(state["generators"])


def _put(observations: Any, which: Array, others: Any) -> None:
    """Put others in their places."""
    if isinstance(observations, dict):
        for name, array in observations.items():
            array[which] = others[name]
    else:
        observations[which] = others
