"""Games that draw with SDL, where there is no screen."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


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
