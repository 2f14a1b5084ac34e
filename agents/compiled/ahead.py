"""PPO's epoch compiled where nothing has been compiled before: on another core, while torch is imported.

It is the longest compilation there is. Two other processes begin at once, one with the epoch, one with the half of its
parts that it comes to last. Machine code is kept part by part, and who wants one that somebody compiles waits for it
(`envs.compiling`): so this process, too, finds what acting shares with the epoch. No number depends on who compiled.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from envs.compiling import folder
from envs.errors import ConfigError

EPOCH, PARTS = "epoch", "parts"
"""What a process may be asked for."""


@cache
def start() -> "tuple[subprocess.Popen[bytes], ...]":
    """Let other processes begin, unless that is done or nothing is gained by it. A second call does nothing.

    Returns:
        The processes, none if there is nothing to do.
    """
    place = _place()
    if place is None or any(place.rglob("ppo.epoch-*.nbc")):
        return ()
    safe = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    nowhere = subprocess.DEVNULL
    options: Any = {"env": {**os.environ, **safe}, "stdin": nowhere, "stdout": nowhere, "stderr": nowhere}
    command = [sys.executable, "-m", "agents.compiled.ahead"]
    try:
        return tuple(subprocess.Popen([*command, what], **options) for what in (EPOCH, PARTS))
    except OSError:
        return ()


def epoch() -> tuple[Any, tuple[Any, ...]]:
    """The function, and the types of what `CompiledPPO` calls it with, whatever the network and the game."""
    from agents.compiled import ppo

    t = _Types()
    kept, order = t.f2, t.i1
    return ppo.epoch, (t.net, t.moments, t.inputs, kept, t.rollout, order, t.int, t.d1, t.d2)


def parts() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """What the epoch comes to last, as it calls it."""
    from agents.compiled import ppo, stacks, steps

    t = _Types()
    rows, first, terms = t.i1, t.nought, t.d1
    yield (
        ppo.descend,
        (t.net, t.moments, t.inputs, t.rollout, rows, first, t.float, t.float, t.int, t.d1, t.f2, t.f1, terms),
    )
    yield stacks.give_back_relative, (t.f1, t.i2, t.i2, t.positions)
    yield steps.clip, (t.f1, t.i2, t.float)
    yield steps.adam, (t.f1, t.f1, t.f1, t.f1, t.i2, t.d1, t.f1, t.float, t.float, t.float)


class _Types:
    """numba's names of them."""

    def __init__(self) -> None:
        types: Any = importlib.import_module("numba").types
        self.int, self.float, self.nought = types.int64, types.float64, types.literal(0)
        f1, f2, i1, i2 = (types.Array(kind, n, "C") for kind in (types.float32, types.int64) for n in (1, 2))
        self.f1, self.f2, self.i1, self.i2 = f1, f2, i1, i2
        self.d1, self.d2 = (types.Array(types.float64, n, "C") for n in (1, 2))
        u2, self.positions = types.Array(types.uint8, 2, "C"), types.Array(types.int32, 2, "C")
        self.net = types.Tuple((f1, i2, i2, f1, f1, f1))
        self.moments = types.Tuple((f1, f1, f1, i2, self.d1, f1, f1, f1, f1))
        self.inputs = types.Tuple((f2, u2, self.positions, f1, f1, types.float64, f2, self.positions, i1, u2))
        self.rollout = types.Tuple((i1, f1, f1, f1, f1))


@cache
def _place() -> Path | None:
    """The folder for machine code; None where there is none, or no second core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return folder() if cores > 1 and sys.executable else None
    except (ConfigError, OSError, RuntimeError):
        return None


def main() -> None:
    """Compile what the command line asks for, unless another process was asked for it, too."""
    asked = sys.argv[-1]
    try:
        with FileLock(folder() / f"{asked}.lock").acquire(blocking=False):
            for function, signature in [epoch()] if asked == EPOCH else parts():
                function.compile(signature)
    except Timeout:
        return


if __name__ == "__main__":
    main()
