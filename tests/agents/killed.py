"""Runs that are killed and started again, and what is left of a run that must not depend on that.

Two ways to die: `interrupted` raises at a boundary, in this process; `killed` is SIGKILL at any moment, to a process of
its own. Whatever the moment, the outcome has to be the same, so that the clock decides nothing.
"""

import csv
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from agents.config import RunConfig
from agents.resuming.boundaries import VARIABLE, Boundaries
from agents.runs import Run

Train = Callable[[RunConfig, Path], Run]

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.agents.killed", "agents.training", "agents.ppo", "agents.dqn", "transfer.carry"])


class KilledError(BaseException):
    """As sudden as in-process deaths get: no `except Exception` sees it."""


def outcome(run: Run) -> dict[str, Any]:
    """All of a run that must be the same, bit for bit."""
    files = [run.path / "evaluations.csv", *sorted(run.path.glob("policy/*.safetensors"))]
    files += sorted(run.path.glob("snapshots/*/policy.safetensors"))
    found: dict[str, Any] = {str(file.relative_to(run.path)): file.read_bytes() for file in files}
    with (run.path / "progress.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found["progress.csv"] = [
        {name: cell for name, cell in row.items() if name not in ("time/fps", "time/time_elapsed")} for row in rows
    ]
    return found


def interrupted(train: Train, config: RunConfig, root: Path, at: int, monkeypatch: Any) -> bool:
    """Train until the boundary number `at` (from 1) of this attempt, and die there; False if it was done before."""
    passed, boundaries = Boundaries._pass, [0]

    def dying(self: Boundaries) -> None:
        passed(self)
        boundaries[0] += 1
        if boundaries[0] == at:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, "0")
        patch.setattr(Boundaries, "_pass", dying)
        try:
            train(config, root)
        except KilledError:
            return True
    return False


def killed(train: Train, config: RunConfig, root: Path, delay: float, seconds: float = 0.0) -> bool:
    """Train in another process, which gets SIGKILL `delay` seconds after it has begun; False if it was done before."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_child, args=(theirs, train, config, root, seconds))
    process.start()
    ours.recv()
    time.sleep(delay)
    process.kill()
    process.join()
    return not Run(root / config.key()).done


def _child(begun: "Connection[None, None]", train: Train, config: RunConfig, root: Path, seconds: float) -> None:
    os.environ[VARIABLE] = str(seconds)
    torch.set_num_threads(1)
    begun.send(None)
    train(config, root)
