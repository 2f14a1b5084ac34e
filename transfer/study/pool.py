"""Runs trained on this machine: a pool of processes, one a run, as many as asked for and as fit into the memory."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext, ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any

from transfer.study import memory
from transfer.study.plan import PlannedRun
from transfer.study.scheduling import Message
from transfer.study.worker import work

GRACE = 0.3
"""Seconds that workers have to end when told to, before they are killed."""

SERVER = "transfer.study.server"
"""The module that the server imports from which workers are forked."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "HEADSTART_FORK_SERVER": "1",
}
"""The server's, and so its workers': libraries read how many threads to take when they are loaded."""


@dataclass
class _Worker:
    """One process that trains one run."""

    planned: PlannedRun
    process: Any
    connection: Any
    size: int
    """Bytes that it is expected to take at its peak."""
    taken: int = 0
    """Bytes that it was seen to take."""
    last: Message | None = None


@dataclass
class Pool:
    """Worker processes on this machine: a `transfer.study.scheduling.Place`."""

    root: Path
    """Where runs live."""
    workers: int
    attempts: int = 2
    running: dict[str, _Worker] = field(default_factory=dict)
    """By key."""
    context: BaseContext | None = None

    def fits(self, size: int) -> bool:
        """Whether the memory that is free holds it, after what those that are running have still to take."""
        free = memory.available()
        if free is None:
            return True
        promised = sum(max(0, worker.size - worker.taken) for worker in self.running.values())
        return promised + size <= memory.FREE * free

    def start(self, planned: PlannedRun, size: int) -> None:
        """Start a process."""
        self.context = self.context or _context()
        receiving, sending = self.context.Pipe(duplex=False)
        arguments = (sending, planned.config, self.root.resolve())
        process = self.context.Process(target=work, args=arguments, name=str(planned))  # type: ignore[attr-defined]
        with _interrupts_blocked():  # a worker that was started is known
            process.start()
            self.running[planned.key] = _Worker(planned, process, receiving, size)
        sending.close()

    def listen(self, seconds: float) -> list[tuple[str, Message]]:
        """Wait until workers say something or end, and hand it on."""
        sources = [source for w in self.running.values() for source in (w.connection, w.process.sentinel)]
        heard = multiprocessing.connection.wait(sources, seconds)
        said = []
        for key, worker in list(self.running.items()):
            ended = worker.process.sentinel in heard
            if ended or worker.connection in heard:
                said += [(key, message) for message in _read(worker)]
            if ended or worker.last is not None:
                said.append((key, self._close(key)))
        return said

    def stop(self) -> None:
        """End all workers, at once if they do not end by themselves."""
        for worker in self.running.values():
            worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in self.running.values():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()

    def _close(self, key: str) -> Message:
        """How a worker ended."""
        worker = self.running.pop(key)
        worker.process.join()
        worker.connection.close()
        if worker.last is not None:
            return worker.last
        return Message("died", line=f"its process {ended_how(worker.process.exitcode)}", peak=worker.taken)


def _read(worker: _Worker) -> Iterator[Message]:
    """What a worker has said, but for its last word."""
    try:
        while worker.last is None and worker.connection.poll():
            message = worker.connection.recv()
            worker.taken = max(worker.taken, message.peak)
            if message.kind in ("done", "failed"):
                worker.last = message
            else:
                yield message
    except (EOFError, OSError):
        worker.process.join(GRACE)  # it is ending: its sentinel says the rest


def ended_how(code: int | None) -> str:
    """What an exit code says: ``was ended by SIGKILL``, which is what a machine short of memory does."""
    if code is None or code >= 0:
        return f"ended with exit code {code} without a word"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _context() -> ForkServerContext | SpawnContext:
    """Processes forked from a server that has the heavy imports done already; spawned where there is no such thing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([SERVER])
    with _interrupts_blocked(), _environment():
        from multiprocessing import forkserver

        forkserver.ensure_running()
    ready = context.Process(target=_ready)
    ready.start()  # waits for the server's imports, and hears Ctrl-C while it does; workers then start at once
    ready.join()
    return context


def _ready() -> None:
    """What a process does whose start says that the server is there."""


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started here are deaf to Ctrl-C from their first moment; their parent hears it a little later."""
    from multiprocessing import resource_tracker

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started before, as it unblocks the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _environment() -> Iterator[None]:
    """What a process started here finds in its environment."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
