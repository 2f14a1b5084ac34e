"""How far a run is, in a small file of its folder: written by whoever trains it, read from any other process.

A second of progress is no result: the file is replaced in one step but not forced to the disk, and nothing that
counts is read from it.
"""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "pulse.json"

PAUSE = 1.0
"""Seconds between two writings."""


@dataclass(frozen=True)
class Pulse:
    """How far a run is."""

    step: int
    """Steps taken."""
    began: int
    """The step at which this process began: not 0 where it went on from a checkpoint."""
    seconds: float
    """Since this process began."""
    score: float | None
    """Mean return of the last evaluation."""
    peak: int
    """Most memory that the process and its children took, in bytes; 0 where the system does not say."""


class Heart:
    """Writes the pulse of one run, now and then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start = time.monotonic()
        self.last = 0.0
        self.began: int | None = None
        self.step, self.peak = 0, 0
        self.score: float | None = None

    def beat(self, step: int, score: float | None = None, *, now: bool = False) -> None:
        """So far it is. Written once a second, and when asked to be."""
        self.began = step if self.began is None else self.began
        self.step, self.score = step, self.score if score is None else score
        if now or time.monotonic() - self.last > PAUSE:
            self.last = time.monotonic()
            self.peak = max(self.peak, peak_memory())
            with suppress(OSError):  # a full disk is for the training to tell
                self._write()

    def _write(self) -> None:
        seconds = round(time.monotonic() - self.start, 3)
        pulse = Pulse(self.step, self.began or 0, seconds, self.score, self.peak)
        beside = self.folder / f".{NAME}"
        beside.write_text(json.dumps(asdict(pulse)), encoding="utf-8")
        os.replace(beside, self.folder / NAME)


def read_pulse(folder: Path) -> Pulse | None:
    """How far a run is; None where nobody says."""
    with suppress(OSError, ValueError, TypeError):
        return Pulse(**json.loads((folder / NAME).read_bytes()))
    return None


def peak_memory(pid: int | str = "self") -> int:
    """Bytes of its own that a process and its children took at most, libraries on disk excepted; 0 where unknown."""
    own = 0
    with suppress(OSError, ValueError, KeyError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        sizes = {
            name: int(text.split()[0]) for name, _, text in (line.partition(":") for line in lines) if " kB" in text
        }
        own = 1024 * (sizes["VmHWM"] - sizes["RssFile"])
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            own += sum(peak_memory(child) for child in file.read_text().split())
    return own
