"""Games that draw with SDL: where there is no screen, and where a window needs one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from envs.errors import ConfigError


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
