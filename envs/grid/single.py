"""One grid world as a Gymnasium environment: the batch's functions, for a batch of one."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from envs.grid import render
from envs.grid.dials import setting
from envs.grid.worlds import Worlds
from envs.headless import Window

Array = npt.NDArray[Any]


class GridEnv(gym.Env[Any, Any]):
    """One grid world. With the seed s it is the environment of a batch that is seeded with s.

    Args:
        family: such as `door_key`; `envs.grid.families` knows them.
        render_mode: None, `rgb_array`, `human` or `ansi`.
        keywords: the family's own arguments, which are MiniGrid's, and those of `envs.grid.dials.Dials`.

    Raises UnknownName or ConfigError.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": render.FPS,
    }

    def __init__(self, *, family: str, render_mode: str | None = None, **keywords: Any) -> None:
        self.render_mode = render.mode(render_mode, self.metadata)
        self._window = Window(render.FPS, instead="use render_mode='rgb_array' or 'ansi'")
        self.worlds = Worlds(setting(family, keywords), 1)
        self.missions = self.worlds.setting.missions
        self.metadata = {**self.metadata, "headstart": self.worlds.names}  # type: ignore[misc]
        self.observation_space, self.action_space = self.worlds.spaces()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode; without a seed, go on with the chance there is."""
        super().reset(seed=seed)
        self.worlds.seed(self.worlds.everyone, [seed])
        self.worlds.start(self.worlds.everyone)
        if self.render_mode == "human":
            self.render()
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step. Raises ConfigError if it is no action."""
        rewards, terminated, truncated = self.worlds.step(np.atleast_1d(action))
        if self.render_mode == "human":
            self.render()
        return self.observe(), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def observe(self) -> Any:
        """What the agent sees now: (view, view, 3) uint8, or a dictionary with that, its direction and mission."""
        seen = self.worlds.observe()
        return {name: array[0] for name, array in seen.items()} if isinstance(seen, dict) else seen[0]

    def render(self) -> Any:
        """A frame (height, width, 3) uint8; for `ansi` a text; for `human` a frame in the window, at its pace.

        Raises ConfigError where there is no display for a window.
        """
        if self.render_mode is None:
            return None
        if self.render_mode == "ansi":
            return render.texts(self.worlds)[0]
        (frame,) = render.frames(self.worlds)
        return self._window.show(frame) if self.render_mode == "human" else frame

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, but the game: as a batch of one."""
        return self.worlds.get_state()

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned. Raises ConfigError if that is of another world."""
        self.worlds.set_state(state)
