"""A window: the show, with a hand on the clock.

Keys: space pauses, the right arrow steps once, + and − change the speed, n goes to the next episode, q or Escape quits.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from agents.watch.drawing import Painter
from agents.watch.show import Show, settled
from envs.headless import open_display

HELP = "space pause · → one step · +/− speed · n next episode · q quit"
SLOWEST, FASTEST = 1 / 8, 16.0


@dataclass
class Clock:
    """When the next frame is due, and what the keys do to it. Times in seconds."""

    fps: float
    """At the speed 1."""
    speed: float = 1.0
    paused: bool = False
    quit: bool = False
    skip: bool = False
    """Whether the next episode was asked for."""
    _due: float = field(default=0.0, repr=False)
    _once: bool = field(default=False, repr=False)

    def press(self, key: str) -> None:
        """A key by pygame's name of it, or the character it types."""
        match key:
            case "space" | " ":
                self.paused = not self.paused
            case "right":
                self.paused = self._once = True
            case "+" | "=" | "[+]":
                self.speed = min(FASTEST, self.speed * 2)
            case "-" | "[-]":
                self.speed = max(SLOWEST, self.speed / 2)
            case "n":
                self.skip = self._once = True
            case "q" | "escape":
                self.quit = True

    def due(self, now: float) -> bool:
        """Whether to go on by one frame now."""
        if self._once:
            self._once = False
            return True
        return not self.paused and now >= self._due

    def shown(self, now: float, rest: float = 0.0) -> None:
        """A frame was shown; the next is due a frame's time and a rest later."""
        self._due = now + rest + 1 / (self.fps * self.speed)


def watch_in_window(show: Show, *, fps: int | None = None) -> None:
    """Play a show until it ends or is closed; it rests for a second where an episode ends.

    Raises ConfigError where there is no display.
    """
    clock, stream = Clock(fps or show.fps), iter(show)
    shown = next(stream, None)
    if shown is None:
        return
    painter = Painter(show.captions, [item.frame for item in shown])
    window = _Window(painter.size)
    try:
        while shown is not None and not clock.quit:
            window.show(painter.paint(shown), clock)
            clock.shown(time.monotonic(), rest=1.0 if settled(shown) else 0.0)
            while not clock.quit and not clock.due(time.monotonic()):
                window.wait(clock)
            if clock.skip:
                clock.skip = False
                show.skip()
            shown = None if clock.quit else next(stream, None)
    finally:
        window.close()


class _Window:
    """A pygame window that keeps its picture's proportions."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._pygame = open_display("use --terminal, or --record FILE.mp4")
        widths, heights = zip(*self._pygame.display.get_desktop_sizes(), strict=True)
        scale = min(1.0, 0.95 * max(widths) / size[0], 0.9 * max(heights) / size[1])
        fitting = (round(size[0] * scale), round(size[1] * scale))
        self._surface = self._pygame.display.set_mode(fitting, self._pygame.RESIZABLE)
        self._picture: Any = None

    def show(self, picture: Image.Image, clock: Clock) -> None:
        """Show a picture, and take what keys were pressed."""
        self._picture = self._pygame.image.frombytes(picture.tobytes(), picture.size, "RGB")
        self._draw()
        self._listen(clock)

    def wait(self, clock: Clock) -> None:
        """A hundredth of a second, listening."""
        self._pygame.time.wait(10)
        self._listen(clock)

    def close(self) -> None:
        """Close it."""
        self._pygame.display.quit()

    def _listen(self, clock: Clock) -> None:
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                clock.quit = True
            elif event.type == self._pygame.KEYDOWN:
                clock.press(event.unicode if event.unicode in ("+", "-", "=") else self._pygame.key.name(event.key))
            elif event.type == self._pygame.VIDEORESIZE:
                self._draw()
        state = "paused" if clock.paused else f"speed ×{clock.speed:g}"
        self._pygame.display.set_caption(f"headstart watch · {state} · {HELP}")

    def _draw(self) -> None:
        if self._picture is None:
            return
        room, size = self._surface.get_size(), self._picture.get_size()
        scale = min(room[0] / size[0], room[1] / size[1])
        fitting = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        picture = self._picture if fitting == size else self._pygame.transform.smoothscale(self._picture, fitting)
        self._surface.fill((0, 0, 0))
        self._surface.blit(picture, ((room[0] - fitting[0]) // 2, (room[1] - fitting[1]) // 2))
        self._pygame.display.flip()
