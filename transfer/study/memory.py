"""How much memory a run takes, was measured to take, and is free: so that nothing is started that does not fit."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from agents.config import RunConfig
from agents.pulse import read_pulse
from agents.runs import Run
from envs.errors import HeadstartError
from transfer.study.plan import Plan, PlannedRun

PROCESS = 350 * 2**20
"""Bytes that a worker takes at least: libraries, networks, environments. Measured on Linux with PPO on CartPole at 313
MiB, most of it shared with the server that it is forked from, and at 404 MiB where it has to compile."""

MARGIN = 1.1
"""A run may take this much more than one of the same arm was measured to take."""

FREE = 0.9
"""The part of the available memory that runs may fill."""

LOOKED_AT = 3
"""Finished runs of an arm whose peaks are read."""


def expected(plan: Plan, planned: PlannedRun) -> int:
    """Bytes that a run should take at its peak: by finished runs of its arm, else by its config."""
    peaks: list[int] = []
    for other in plan.of(planned.arm):
        peak = measured(plan.run(other)) if other.at == planned.at else None
        if peak is not None:
            peaks.append(peak)
        if len(peaks) == LOOKED_AT:
            break
    return max(peaks, default=0) or estimated(planned.config)


def measured(run: Run) -> int | None:
    """Bytes to expect of runs like a finished one; None where it did not say."""
    pulse = read_pulse(run.path) if run.done else None
    return round(pulse.peak * MARGIN) if pulse is not None and pulse.peak else None


def estimated(config: RunConfig) -> int:
    """Bytes by a run's config: a process, and the transitions that a replay buffer will come to hold."""
    size = config.hyperparameters.get("buffer_size")
    if not isinstance(size, int):
        return PROCESS
    return PROCESS + min(size, config.steps) * 2 * _observation_bytes(config)


def _observation_bytes(config: RunConfig) -> int:
    """Of one observation; 0 where the game does not say."""
    from transfer.carry import interface_of

    with suppress(HeadstartError):
        return _bytes_of(interface_of(config.task).observation_space)
    return 0


def _bytes_of(space: spaces.Space[Any]) -> int:
    if isinstance(space, spaces.Dict):
        return sum(_bytes_of(part) for part in space.spaces.values())
    shape, dtype = space.shape or (), np.dtype(space.dtype or np.float32)
    return int(np.prod(shape)) * dtype.itemsize


def available() -> int | None:
    """Bytes that can still be used, of the machine or of the control group that this process is in; None if unknown."""
    found = [bytes_left for bytes_left in (_of_machine(), _of_group()) if bytes_left is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    return None


def _of_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a control group (version 2) may still take; the files it has cached do not count."""
    with suppress(OSError, ValueError):
        most, taken = ((folder / name).read_text() for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())["inactive_file"]
        return int(most) - int(taken) + int(cached)
    return None


def in_words(size: float) -> str:
    """``3.1 GB``, ``350 MB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
