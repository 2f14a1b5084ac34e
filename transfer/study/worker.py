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
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from agents.config import RunConfig
from agents.pulse import Heart
from envs.errors import HeadstartError
from transfer.study.scheduling import Message

PAUSE = 0.2
"""Seconds between two messages about steps."""


def work(connection: "Connection[Message, None]", config: RunConfig, root: Path) -> None:
    """Train one run: the whole life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)  # standard output is the parent's: what a game prints goes to standard error
    connection.send(trained(config, root, connection.send))


def trained(config: RunConfig, root: Path, tell: Callable[[Message], None], *, wait: bool = True) -> Message:
    """Train one run, telling how far it is; returns the last message. The pulse in its folder beats meanwhile."""
    import torch

    from transfer.carry import train_run

    torch.set_num_threads(config.threads)
    teller = _Teller(tell, Heart(root / config.key()))
    try:
        train_run(config, root, on_progress=teller.progress, on_evaluation=teller.evaluation, wait=wait)
    except HeadstartError as error:
        return Message("failed", line=str(error))
    except OSError as error:
        return Message("failed", line=f"{error.strerror or error}: {error.filename or root}")
    except (Exception, SystemExit) as error:  # whatever it is, the other runs go on
        return Message("failed", line=f"{type(error).__name__}: {' '.join(str(error).split())}")
    teller.end(config.steps)
    return Message("done", step=config.steps, peak=teller.heart.peak)


class _Teller:
    """The callbacks of a training, as messages and as its pulse; steps not too often."""

    def __init__(self, tell: Callable[[Message], None], heart: Heart) -> None:
        self.tell, self.heart = tell, heart
        self.last = 0.0

    def progress(self, done: int, total: int) -> None:
        """Steps taken."""
        now = time.monotonic()
        if now - self.last > PAUSE:
            self.last = now
            self.heart.beat(min(done, total))
            self.tell(Message("step", step=min(done, total), peak=self.heart.peak))

    def evaluation(self, step: int, mean_return: float) -> None:
        """An evaluation is done."""
        self.heart.beat(step, mean_return)
        self.tell(Message("evaluated", step=step, score=mean_return, peak=self.heart.peak))

    def end(self, step: int) -> None:
        """It is done; a run that another process had trained has no pulse of this one."""
        if self.heart.began is not None:
            self.heart.beat(step, now=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
