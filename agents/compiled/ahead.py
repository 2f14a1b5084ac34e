"""PPO's epoch compiled where nothing has been compiled before: on another core, while torch is imported.

It is the longest compilation there is. Another process begins it at once and keeps the machine code of all its parts
where `envs.compiling` looks, so that this one finds many of them when it compiles what acts; the first update waits. No
number depends on who compiled. Of processes that start together, one asks for it.
"""

import importlib
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from envs.compiling import folder
from envs.errors import ConfigError

PATIENCE = 120.0
"""Seconds after which a process compiles for itself what another has not compiled."""
PAUSE = 0.01
"""Seconds between looks for it."""


@cache
def start() -> "subprocess.Popen[bytes] | None":
    """Let another process begin, unless that is done or nothing is gained by it. A second call does nothing.

    Returns:
        The process, None if there is none.
    """
    place = _place()
    if place is None or _there(place):
        return None
    safe = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    nowhere = subprocess.DEVNULL
    try:
        command = [sys.executable, "-m", "agents.compiled.ahead"]
        return subprocess.Popen(command, env={**os.environ, **safe}, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    except OSError:
        return None


@cache
def wait() -> None:
    """Until it is compiled, if a process does that: numba loads it then. Else numba compiles it here, when called."""
    process, place = start(), _place()
    if process is None or place is None:
        return
    until = time.monotonic() + PATIENCE
    while not _there(place) and time.monotonic() < until:
        if process.poll() is not None and not _locked(place):
            return
        time.sleep(PAUSE)


def signature() -> tuple[Any, ...]:
    """The types of what `CompiledPPO` calls `epoch` with, whatever the network and the game."""
    types: Any = importlib.import_module("numba").types
    f1, f2, i1, i2 = (types.Array(kind, n, "C") for kind in (types.float32, types.int64) for n in (1, 2))
    d1, d2 = (types.Array(types.float64, n, "C") for n in (1, 2))
    u2, positions = types.Array(types.uint8, 2, "C"), types.Array(types.int32, 2, "C")
    net = types.Tuple((f1, i2, i2, f1, f1, f1))
    moments = types.Tuple((f1, f1, f1, i2, d1, f1, f1, f1, f1))
    inputs = types.Tuple((f2, u2, positions, f1, f1, types.float64, f2, positions, i1, u2))
    rollout = types.Tuple((i1, f1, f1, f1, f1))
    return net, moments, inputs, f2, rollout, i1, types.int64, d1, d2


@cache
def _place() -> Path | None:
    """The folder for machine code; None where there is none, or no second core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return folder() if cores > 1 and sys.executable else None
    except (ConfigError, OSError, RuntimeError):
        return None


def _there(place: Path) -> bool:
    """Whether the machine code is kept. Numba names it after file and function, and puts it there whole."""
    return any(place.rglob("ppo.epoch-*.nbc"))


def _lock(place: Path) -> FileLock:
    return FileLock(place / "epoch.lock")


def _locked(place: Path) -> bool:
    """Whether a process compiles it."""
    try:
        with _lock(place).acquire(blocking=False):
            return False
    except Timeout:
        return True


def main() -> None:
    """Compile it, unless somebody does, or has."""
    place = folder()
    try:
        with _lock(place).acquire(blocking=False):
            if not _there(place):
                from agents.compiled import ppo

                epoch: Any = ppo.epoch
                epoch.compile(signature())
    except Timeout:
        return


if __name__ == "__main__":
    main()
