"""What every runner shares: the clock of a process from its cold start, and the one line of JSON that it prints.

Runners are executed by a peer's own Python, so this module imports nothing but the standard library.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

_FIRST_LINE = time.monotonic()


class Clock:
    """Seconds since the process was asked for (`BESIDE_STARTED`, a monotonic time), pauses apart."""

    def __init__(self) -> None:
        self._started = float(os.environ.get("BESIDE_STARTED", _FIRST_LINE))
        self.paused = 0.0
        """Seconds spent in `pause`: in checks that are no part of learning."""

    def cold(self) -> float:
        """Seconds since the start: interpreter, imports and compiling included, pauses not."""
        return time.monotonic() - self._started - self.paused

    @contextmanager
    def pause(self) -> Iterator[None]:
        """What happens inside does not count."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.paused += time.monotonic() - began


class Span:
    """The timed part of a run: steps from `begin` to `end`, start and compiling apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps = 0
        self._paused = 0.0
        self.began: float | None = None

    def begin(self, steps: int) -> None:
        """From here on, where `steps` steps have been made already."""
        self.began, self._steps, self._paused = time.monotonic(), steps, self._clock.paused

    def end(self, steps: int) -> dict[str, float | int]:
        """Up to here; raises RuntimeError if nothing was left to be timed."""
        if self.began is None:
            raise RuntimeError("the run ended before its timed part began: give it more --steps")
        ended = time.monotonic()
        return {
            "steps": steps - self._steps,
            "seconds": ended - self.began - (self._clock.paused - self._paused),
            "began": self.began,
            "ended": ended,
        }


def versions(*packages: str) -> dict[str, str]:
    """Of those packages that are installed, and of Python."""
    found = {"python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_bytes() -> int:
    """The most memory this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def say(clock: Clock, **result: object) -> None:
    """Print the result, with the seconds from the cold start to now, as one line: the last of the process."""
    common = {"cold_seconds": clock.cold(), "paused_seconds": clock.paused, "peak_bytes": peak_bytes()}
    print(json.dumps({**common, **result}), flush=True)
