"""What starts next, what is tried again and what is given up: the same wherever runs are trained.

A *place* trains runs: a pool of processes on this machine, a Ray cluster, Slurm. This module knows the plan and asks
the place for room; a place knows nothing of plans.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from transfer.study import memory
from transfer.study.order import in_order
from transfer.study.plan import Plan, PlannedRun

LOOK = 1.0
"""Seconds between two looks at runs that another process trains, and at the memory that is free."""

TAIL = 6
"""Last lines of its log that are told of a run that failed."""

TRIED = 16
"""Runs that are tried for one that fits into the memory that is free."""


class Message(NamedTuple):
    """What is said of a run by whoever trains it."""

    kind: Literal["step", "evaluated", "done", "failed", "died"]
    """The last one is `done`, `failed` or `died`: it ended without a word."""
    step: int = 0
    """Steps of the run taken."""
    score: float | None = None
    """Mean return of an evaluation."""
    line: str = ""
    """Why it failed, or how it died."""
    peak: int = 0
    """Most memory it took so far, in bytes; 0 where unknown."""


@dataclass(frozen=True)
class Event:
    """Something happened to a run."""

    kind: Literal["started", "step", "evaluated", "done", "failed", "skipped", "retried", "held", "crowded"]
    """`held`: another process trains it. `crowded`: it waits for memory."""
    run: PlannedRun
    step: int = 0
    """Steps taken."""
    score: float | None = None
    """Mean return of an evaluation."""
    line: str = ""
    """Why it failed, was skipped, is tried again or waits."""
    log: tuple[str, ...] = ()
    """The last lines of its log, if it failed."""


OnEvent = Callable[[Event], None]


class Place(Protocol):
    """Where runs are trained."""

    attempts: int
    """How often a run is tried that fails or whose process dies."""

    @property
    def workers(self) -> int:
        """Runs trained at once."""

    def fits(self, size: int) -> bool:
        """Whether a run of this peak memory can start beside those that are running."""

    def start(self, planned: PlannedRun, size: int) -> None:
        """Begin to train a run, whose source is finished, and of which that much memory is expected."""

    def listen(self, seconds: float) -> Sequence[tuple[str, Message]]:
        """What was said of which run, by key; waits for it so long. After its last message a run is not running."""

    def stop(self) -> None:
        """End all that is running."""


def train_all(plan: Plan, place: Place, on_event: OnEvent) -> dict[str, str]:
    """Train what is unfinished, so that it ends soonest.

    Returns why runs are missing, a line for each, by key. However it is left, nothing is left running.
    """
    scheduler = _Scheduler(plan, place, on_event)
    try:
        while scheduler.busy:
            scheduler.start()
            scheduler.listen()
    finally:
        place.stop()
    return scheduler.failures


@dataclass
class _Tried:
    """A run under way."""

    planned: PlannedRun
    attempt: int
    size: int


@dataclass
class _Scheduler:
    plan: Plan
    place: Place
    on_event: OnEvent
    ready: list[tuple[int, int, PlannedRun, int]] = field(default_factory=list)
    """A heap of rank, a number that breaks ties, the run and which attempt it is."""
    waiting: dict[str, list[tuple[int, PlannedRun]]] = field(default_factory=dict)
    """Runs by the source they wait for."""
    held: dict[str, tuple[int, PlannedRun]] = field(default_factory=dict)
    """Runs that another process trains."""
    running: dict[str, _Tried] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    sizes: dict[tuple[str, str | None], int] = field(default_factory=dict)
    """Expected peak memory by arm and value of the dial."""
    looked: float = 0.0
    crowded: bool = False
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        todo = self.plan.unfinished
        for rank, planned in enumerate(in_order(self.plan, self.place.workers)):
            if planned.after in todo:
                self.waiting.setdefault(str(planned.after), []).append((rank, planned))
            else:
                self._push(rank, planned)

    @property
    def busy(self) -> bool:
        return bool(self.ready or self.running or self.held)

    def start(self) -> None:
        """Start what can start; what another process trains is looked at now and then."""
        if self.held and time.monotonic() - self.looked > LOOK:
            self.looked = time.monotonic()
            for rank, planned in list(self.held.values()):
                if not self.plan.run(planned).locked:
                    del self.held[planned.key]
                    self._push(rank, planned)
        while len(self.running) < self.place.workers and (found := self._next()):
            planned, attempt, size = found
            self.running[planned.key] = _Tried(planned, attempt, size)
            self.place.start(planned, size)
            self._tell(Event("started", planned))

    def listen(self) -> None:
        """Wait until something is said, and take it in."""
        if not self.running:
            if self.held:
                time.sleep(LOOK / 4)
            return
        for key, message in self.place.listen(LOOK):
            tried = self.running[key]
            if message.kind in ("step", "evaluated"):
                tried.size = max(tried.size, message.peak)
                self._tell(Event(message.kind, tried.planned, message.step, message.score))
            else:
                del self.running[key]
                self._ended(tried, message)

    def _next(self) -> tuple[PlannedRun, int, int] | None:
        """The first that can start and fits, with its attempt and its expected memory."""
        put_back: list[tuple[int, int, PlannedRun, int]] = []
        found: tuple[PlannedRun, int, int] | None = None
        while self.ready and found is None and len(put_back) < TRIED:
            entry = rank, _, planned, attempt = heapq.heappop(self.ready)
            run = self.plan.run(planned)
            if run.done:  # by another process, meanwhile
                self._done(planned)
            elif run.locked:
                self.held[planned.key] = (rank, planned)
                self._tell(Event("held", planned, line="another process trains it"))
            else:
                size = self._size(planned)
                if not self.running or self.place.fits(size):
                    found = planned, attempt, size
                else:
                    put_back.append(entry)
                    self._say_crowded(planned, size)
        for entry in put_back:
            heapq.heappush(self.ready, entry)
        return found

    def _size(self, planned: PlannedRun) -> int:
        group = planned.arm, planned.at
        if group not in self.sizes:
            self.sizes[group] = memory.expected(self.plan, planned)
        return self.sizes[group]

    def _say_crowded(self, planned: PlannedRun, size: int) -> None:
        """Once, why fewer runs are trained at once than were asked for."""
        if not self.crowded:
            self.crowded = True
            line = f"it waits for memory: {memory.in_words(size)} are expected, beside {len(self.running)} running"
            self._tell(Event("crowded", planned, line=line))

    def _ended(self, tried: _Tried, message: Message) -> None:
        """Take in how a run ended: one that failed or died is tried again first."""
        planned = tried.planned
        if message.kind == "done":
            self._learn_size(planned)
            self._done(planned)
            return
        if message.kind == "died":
            group = planned.arm, planned.at
            self.sizes[group] = max(self._size(planned), round(1.5 * max(tried.size, message.peak)))
        if tried.attempt < self.place.attempts:
            self._tell(Event("retried", planned, line=f"{message.line}; trying again"))
            self._push(-1, planned, tried.attempt + 1)
        else:
            times = f", {tried.attempt} times" if tried.attempt > 1 and message.kind == "died" else ""
            self._missing(planned, message.line + times, "failed", self.plan.run(planned).log_tail(TAIL))

    def _learn_size(self, planned: PlannedRun) -> None:
        """What the first run of an arm took is expected of the others."""
        group = planned.arm, planned.at
        measured = memory.measured(self.plan.run(planned))
        if measured is not None:
            self.sizes[group] = measured

    def _done(self, planned: PlannedRun) -> None:
        for rank, dependant in self.waiting.pop(planned.key, ()):
            self._push(rank, dependant)
        self._tell(Event("done", planned, planned.config.steps))

    def _missing(
        self, planned: PlannedRun, line: str, kind: Literal["failed", "skipped"], log: tuple[str, ...] = ()
    ) -> None:
        """Give a run up, and those that wait for it."""
        self.failures[planned.key] = line
        self._tell(Event(kind, planned, line=line, log=log))
        for _, dependant in self.waiting.pop(planned.key, ()):
            self._missing(dependant, "its source run failed", "skipped")

    def _push(self, rank: int, planned: PlannedRun, attempt: int = 1) -> None:
        heapq.heappush(self.ready, (rank, next(self.numbers), planned, attempt))

    def _tell(self, event: Event) -> None:
        self.on_event(event)
