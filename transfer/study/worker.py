"""What a worker process of a study does: one run, telling its parent how far it is.

A worker ignores Ctrl-C, which is its parent's to handle, and ends when its parent has ended, however that came about:
nobody is left training for a study that is gone.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, NamedTuple

from agents.config import RunConfig
from envs.errors import HeadstartError

PAUSE = 0.2
"""Seconds between two messages about steps."""


class Message(NamedTuple):
    """What a worker tells."""

    kind: Literal["step", "evaluated", "done", "failed"]
    """The last one is `done` or `failed`."""
    step: int = 0
    """Steps of the run taken."""
    score: float | None = None
    """Mean return of an evaluation."""
    line: str = ""
    """Why it failed."""


def work(connection: "Connection[Message, None]", config: RunConfig, root: Path) -> None:
    """Train one run: the whole life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)  # standard output is the parent's: what a game prints goes to standard error
    connection.send(_trained(connection, config, root))


def _trained(connection: "Connection[Message, None]", config: RunConfig, root: Path) -> Message:
    """The last message."""
    import torch

    from transfer.carry import train_run

    torch.set_num_threads(config.threads)
    teller = _Teller(connection)
    try:
        train_run(config, root, on_progress=teller.progress, on_evaluation=teller.evaluation, wait=True)
    except HeadstartError as error:
        return Message("failed", line=str(error))
    except OSError as error:
        return Message("failed", line=f"{error.strerror or error}: {error.filename or root}")
    except (Exception, SystemExit) as error:  # whatever it is, the other runs go on
        return Message("failed", line=f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Message("done", step=config.steps)


class _Teller:
    """The callbacks of a training, as messages; steps not too often."""

    def __init__(self, connection: "Connection[Message, None]") -> None:
        self.connection = connection
        self.last = 0.0

    def progress(self, done: int, total: int) -> None:
        """Steps taken."""
        now = time.monotonic()
        if now - self.last > PAUSE:
            self.last = now
            self.connection.send(Message("step", step=min(done, total)))

    def evaluation(self, step: int, mean_return: float) -> None:
        """An evaluation is done."""
        self.connection.send(Message("evaluated", step=step, score=mean_return))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
