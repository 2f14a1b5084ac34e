"""Games that draw with SDL: where there is no screen, and where a window needs one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from envs.errors import ConfigError

SMALLEST_WINDOW = 480
"""Pixels of the longer side of a window: smaller frames are shown a whole number of times as large."""


@contextmanager
def headless() -> Iterator[None]:
    """Let games that draw with SDL do so without looking for a screen or loudspeakers."""
    unset = [name for name in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER") if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "dummy"))
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


def open_display(instead: str) -> Any:
    """pygame with its display on. Raises ConfigError where there is none, which says what to do instead."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ModuleNotFoundError as error:
        raise ConfigError(f"a window needs pygame: pip install pygame-ce; or {instead}") from error
    try:
        pygame.display.init()
    except pygame.error as error:
        raise ConfigError(f"there is no display to open a window on ({error}): {instead}") from error
    driver = pygame.display.get_driver()
    if driver in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
        pygame.display.quit()
        raise ConfigError(f"there is no display to open a window on: {instead}")
    return pygame


class Window:
    """A window that shows frames at the pace of `fps`; it is opened by the first of them.

    Args:
        fps: frames a second, at the most.
        size: (width, height) in pixels; by default as large as the frame, or larger.
        instead: what can be done where there is no display.

    Raises ConfigError where there is none.
    """

    def __init__(
        self, fps: float, *, size: tuple[int, int] | None = None, instead: str = "use render_mode='rgb_array'"
    ) -> None:
        self.fps, self.size, self.instead = fps, size, instead
        self._pygame: Any = None
        self._surface: Any = None
        self._clock: Any = None

    def show(self, frame: np.ndarray, caption: str = "headstart") -> None:
        """Show a frame (h, w, 3) uint8 and a title, no sooner than 1 / fps seconds after the one before."""
        times = max(1, -(-SMALLEST_WINDOW // max(frame.shape[:2])))
        size = self.size or (frame.shape[1] * times, frame.shape[0] * times)
        if self._pygame is None:
            self._pygame = open_display(self.instead)
            self._clock = self._pygame.time.Clock()
        if self._surface is None or self._surface.get_size() != size:
            self._surface = self._pygame.display.set_mode(size)
        self._pygame.event.pump()
        picture = self._pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        self._surface.blit(self._pygame.transform.scale(picture, size), (0, 0))
        self._pygame.display.set_caption(caption)
        self._pygame.display.flip()
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = self._surface = None
