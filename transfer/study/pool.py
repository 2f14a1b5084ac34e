"""A pool of processes, one a run: what can start starts, what fails takes only its dependants with it."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext, ForkServerContext, SpawnContext
from typing import Any, Literal

from transfer.study.plan import Plan, PlannedRun
from transfer.study.worker import Message, work

ATTEMPTS = 2
"""How often a run is tried whose process dies without a word."""

GRACE = 0.3
"""Seconds that workers have to end when told to, before they are killed."""

SERVER = "transfer.study.server"
"""The module that the server imports from which workers are forked."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "HEADSTART_FORK_SERVER": "1",
}
"""The server's, and so its workers': libraries read how many threads to take when they are loaded."""


@dataclass(frozen=True)
class Event:
    """Something happened to a run."""

    kind: Literal["started", "step", "evaluated", "done", "failed", "skipped", "retried"]
    run: PlannedRun
    step: int = 0
    """Steps taken."""
    score: float | None = None
    """Mean return of an evaluation."""
    line: str = ""
    """Why it failed, was skipped or is tried again."""


OnEvent = Callable[[Event], None]


def train_all(plan: Plan, workers: int, on_event: OnEvent) -> dict[str, str]:
    """Train what is unfinished, `workers` runs at once, the longest way to the end first.

    Returns why runs are missing, a line for each, by key. However it is left, no worker is left running.
    """
    pool = _Pool(plan, workers, on_event)
    try:
        while pool.running or pool.queue:
            pool.skip()
            pool.start()
            pool.listen()
    finally:
        pool.stop()
    return pool.failures


@dataclass
class _Worker:
    """One process that trains one run."""

    planned: PlannedRun
    attempt: int
    process: Any
    connection: Any
    last: Message | None = None


@dataclass
class _Pool:
    plan: Plan
    workers: int
    on_event: OnEvent
    context: BaseContext = field(init=False)
    queue: list[PlannedRun] = field(init=False)
    running: list[_Worker] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.queue = in_order(self.plan)
        if self.queue:
            self.context = _context()

    def skip(self) -> None:
        """Give up runs whose source failed."""
        for planned in [planned for planned in self.queue if planned.after in self.failures]:
            self.queue.remove(planned)
            self._missing(planned, "its source run failed", "skipped")

    def start(self) -> None:
        """Start what can start; runs that another process is training come last."""
        while len(self.running) < self.workers and (ready := [run for run in self.queue if self._ready(run)]):
            planned = min(ready, key=lambda run: self.plan.run(run).locked)
            self.queue.remove(planned)
            if self.plan.run(planned).state == "done":  # by another process, meanwhile
                self._done(planned)
            else:
                self._launch(planned, attempt=1)

    def listen(self) -> None:
        """Wait until workers say something or end, and take it in."""
        if not self.running:
            return
        sources = [source for w in self.running for source in (w.connection, w.process.sentinel)]
        heard = multiprocessing.connection.wait(sources)
        for worker in list(self.running):
            ended = worker.process.sentinel in heard
            if ended or worker.connection in heard:
                self._read(worker)
            if ended or worker.last is not None:
                self._close(worker)

    def stop(self) -> None:
        """End all workers, at once if they do not end by themselves."""
        for worker in self.running:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in self.running:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()

    def _ready(self, planned: PlannedRun) -> bool:
        return planned.after is None or planned.after in self.finished or planned.after not in self.plan.unfinished

    def _launch(self, planned: PlannedRun, attempt: int) -> None:
        receiving, sending = self.context.Pipe(duplex=False)
        arguments = (sending, planned.config, self.plan.root.resolve())
        process = self.context.Process(target=work, args=arguments, name=str(planned))  # type: ignore[attr-defined]
        with _interrupts_blocked():  # a worker that was started is known
            process.start()
            self.running.append(_Worker(planned, attempt, process, receiving))
        sending.close()
        self.on_event(Event("started", planned))

    def _read(self, worker: _Worker) -> None:
        try:
            while worker.last is None and worker.connection.poll():
                message = worker.connection.recv()
                if message.kind in ("done", "failed"):
                    worker.last = message
                else:
                    self.on_event(Event(message.kind, worker.planned, message.step, message.score))
        except (EOFError, OSError):
            worker.process.join(GRACE)  # it is ending: its sentinel says the rest

    def _close(self, worker: _Worker) -> None:
        """Take in how a worker ended."""
        worker.process.join()
        worker.connection.close()
        self.running.remove(worker)
        planned = worker.planned
        if worker.last is None:
            self._died(worker)
        elif worker.last.kind == "done":
            self._done(planned)
        else:
            self._missing(planned, worker.last.line, "failed")

    def _died(self, worker: _Worker) -> None:
        """A process that ended without a word is tried once more."""
        how = ended_how(worker.process.exitcode)
        if worker.attempt < ATTEMPTS:
            self.on_event(Event("retried", worker.planned, line=f"its process {how}; trying again"))
            self._launch(worker.planned, worker.attempt + 1)
        else:
            self._missing(worker.planned, f"its process {how}, {ATTEMPTS} times", "failed")

    def _done(self, planned: PlannedRun) -> None:
        self.finished.add(planned.key)
        self.on_event(Event("done", planned, planned.config.steps))

    def _missing(self, planned: PlannedRun, line: str, kind: Literal["failed", "skipped"]) -> None:
        self.failures[planned.key] = line
        self.on_event(Event(kind, planned, line=line))


def in_order(plan: Plan) -> list[PlannedRun]:
    """What is to be trained, by the steps from its start to the end of what waits for it, longest first."""
    behind: dict[str, int] = {}
    for planned in plan.unfinished.values():
        if planned.after is not None:
            behind[planned.after] = max(behind.get(planned.after, 0), planned.config.steps)
    return sorted(
        plan.unfinished.values(), key=lambda planned: planned.config.steps + behind.get(planned.key, 0), reverse=True
    )


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
