"""One Atari game as a Gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.atari.console import Console
from envs.atari.settings import AtariSettings, settings_of
from envs.generators import from_array, to_array
from envs.headless import Window

FRAMES_A_SECOND = 60
WINDOW = (480, 420)
"""Width and height of a window, in the proportions of a television."""


class AtariEnv(gymnasium.Env[np.ndarray, Any]):
    """An Atari game, played by ALE. What is seen, and the other arguments: see `AtariSettings`.

    Args:
        render_mode: None, "rgb_array" or "human" (a pygame window).
        arguments: the fields of `AtariSettings`.

    Raises ConfigError, UnknownName or MissingExtra in one line.
    """

    def __init__(
        self, *, max_episode_steps: int | None = 27_000, render_mode: str | None = None, **arguments: Any
    ) -> None:
        self.settings = settings_of({"max_episode_steps": max_episode_steps, **arguments})
        self.console = Console(self.settings)
        self.observation_space = self.console.observation_space
        self.action_space = spaces.Discrete(len(self.console.actions))
        self.metadata = metadata_of(self.console, self.settings)
        self.render_mode = render_mode
        self._window = Window(self.metadata["render_fps"], size=WINDOW)

    @property
    def keeps_records(self) -> bool:
        """Whether `info["episode"]` tells of whole games."""
        return self.settings.keeps_records

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new game, or the next life; with a seed, the same game every time."""
        seeded = seed is not None or self._np_random is None
        super().reset(seed=seed)
        self.console.reset(self.np_random, seeded=seeded)
        if self.render_mode == "human":
            self.render()
        return self.console.observe(), {"lives": self.console.lives}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One decision, by its number among the offered actions."""
        reward, terminated, truncated = self.console.step(int(action))
        info: dict[str, Any] = {"lives": self.console.lives}
        if self.keeps_records and (terminated or truncated):
            record = self.console.record()
            if record is not None:
                info["episode"] = record
        if self.render_mode == "human":
            self.render()
        return self.console.observe(), reward, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """(210, 160, 3) uint8 in the mode "rgb_array"; a frame in the window in the mode "human"."""
        if self.render_mode is None:
            return None
        picture = self.console.picture()
        if self.render_mode == "rgb_array":
            return picture
        self._window.show(picture, f"Atari {self.settings.game}")
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def __getstate__(self) -> dict[str, Any]:
        """With the machine as arrays, for a machine cannot be pickled."""
        held = {name: value for name, value in vars(self).items() if name not in ("console", "_np_random", "_window")}
        generator = None if self._np_random is None else to_array([self._np_random])
        return {**held, "console": self.console.get_state(), "_np_random": generator}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """On another machine, which goes on where the first one was."""
        vars(self).update(state)
        self.console = Console(self.settings)
        self.console.set_state(state["console"])
        self._np_random = None if state["_np_random"] is None else from_array(state["_np_random"])[0]
        self._window = Window(self.metadata["render_fps"], size=WINDOW)


def metadata_of(console: Console, settings: AtariSettings) -> dict[str, Any]:
    """Render modes and names."""
    return {
        "render_modes": ["human", "rgb_array"],
        "render_fps": FRAMES_A_SECOND // settings.frameskip or 1,
        "headstart": {"features": console.features, "actions": console.names},
    }
