"""Which run comes first, and when all will be done: a study's runs played through as if they took what is expected.

Runs wait for their sources only, so a study is a forest of depth two that is laid out on some workers at once. Two
orders are tried, both list schedules (Graham 1969): the longest way to the end first, which is Hu's critical path, and
all sources before anything else. The one whose play ends sooner is taken.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transfer.study.plan import Plan, PlannedRun

Group = tuple[str, str | None]
"""Runs that should take alike: an arm, at a value of the dial."""


@dataclass
class Pace:
    """Seconds a step, as measured: of each arm, and where nothing was measured of it the mean of all."""

    guess: float = 1.0
    """Where nothing at all was measured."""
    _steps: dict[Group, float] = field(default_factory=dict)
    _seconds: dict[Group, float] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return bool(self._steps)

    def add(self, planned: PlannedRun, steps: int, seconds: float) -> None:
        """So many steps of a run took so many seconds."""
        if steps > 0 and seconds > 0:
            group = (planned.arm, planned.at)
            self._steps[group] = self._steps.get(group, 0.0) + steps
            self._seconds[group] = self._seconds.get(group, 0.0) + seconds

    def seconds(self, planned: PlannedRun, steps: int) -> float:
        """What so many steps of a run should take."""
        group = (planned.arm, planned.at)
        if group in self._steps:
            return steps * self._seconds[group] / self._steps[group]
        if self._steps:
            return steps * sum(self._seconds.values()) / sum(self._steps.values())
        return steps * self.guess


def in_order(plan: Plan, workers: int = 1, pace: Pace | None = None) -> list[PlannedRun]:
    """What is to be trained, so that it ends soonest with so many workers; ties are broken by the plan's order."""
    todo = list(plan.unfinished.values())
    pace = pace or Pace()
    seconds = {planned.key: pace.seconds(planned, planned.config.steps) for planned in todo}
    behind: dict[str, float] = {}
    for planned in todo:
        if planned.after is not None:
            behind[planned.after] = max(behind.get(planned.after, 0.0), seconds[planned.key])
    awaited = sorted(todo, key=lambda planned: (planned.key not in behind, -seconds[planned.key]))
    critical = sorted(todo, key=lambda planned: -seconds[planned.key] - behind.get(planned.key, 0.0))
    return min((awaited, critical), key=lambda order: max(played(order, seconds, workers).values(), default=0.0))


def played(
    order: Sequence[PlannedRun], seconds: Mapping[str, float], workers: int, running: Iterable[str] = ()
) -> dict[str, float]:
    """When each run would end, in seconds from now, by key.

    Args:
        order: what is unfinished; of those that can start, the first starts.
        seconds: what each still takes, by key.
        workers: how many at once.
        running: keys of those that have started; they go on.
    """
    under_way = set(running)
    keys = {planned.key for planned in order}
    waiting: dict[str, list[tuple[int, str]]] = {}
    ready: list[tuple[int, str]] = []
    for rank, planned in enumerate(order):
        entry = (-1 if planned.key in under_way else rank, planned.key)
        if planned.after in keys and planned.key not in under_way:
            waiting.setdefault(str(planned.after), []).append(entry)
        else:
            ready.append(entry)
    heapq.heapify(ready)
    now, busy, ends = 0.0, list[tuple[float, str]](), dict[str, float]()
    while ready or busy:
        while ready and len(busy) < max(workers, len(under_way), 1):
            key = heapq.heappop(ready)[1]
            heapq.heappush(busy, (now + seconds[key], key))
        now, key = heapq.heappop(busy)
        ends[key] = now
        under_way.discard(key)
        for entry in waiting.pop(key, ()):
            heapq.heappush(ready, entry)
    return ends
