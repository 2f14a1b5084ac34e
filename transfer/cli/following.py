"""How far a study is, while it goes on: a bar an arm on a terminal, plain lines elsewhere, and the time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transfer.study.plan import Plan
    from transfer.study.scheduling import Event
    from transfer.study.standing import Forecast

SECONDS = 30.0
"""Between two plain lines about an arm, where there is no terminal."""

AGAIN = 2.0
"""Seconds between two forecasts."""


class Display(Protocol):
    """What shows how far a study is."""

    def show(self, event: "Event") -> None:
        """Take in what happened."""


@contextmanager
def display(planned: "Plan", workers: int, guess: float, *, silent: bool) -> Iterator[Display]:
    """Bars on a terminal, plain lines elsewhere, trouble only if silent.

    Args:
        planned: what is to be trained.
        workers: runs at once.
        guess: roughly how many seconds all of it takes one after the other, until something is measured.
        silent: whether only trouble is told.
    """
    if silent or not planned.unfinished:
        yield _Trouble()
    elif sys.stderr.isatty():
        with _bars(planned, workers, guess) as bars:
            yield bars
    else:
        yield _Lines(planned, workers, guess)


class _Trouble:
    """Says on standard error what went wrong, and nothing else."""

    def show(self, event: "Event") -> None:
        if event.kind in ("failed", "skipped", "retried", "held", "crowded"):
            self.say(f"{event.run}: {event.kind}: {event.line}")
        for line in event.log:
            self.say(f"    {line}")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Following:
    """Keeps count of the steps that runs have taken, and says when they will be done."""

    def __init__(self, planned: "Plan", workers: int, guess: float) -> None:
        from transfer.study.order import Pace, in_order

        self.workers = workers
        self.pace = Pace(guess / max(planned.steps, 1))
        self.todo = {run.key: run for run in in_order(planned, workers)}
        self.taken: dict[str, int] = {}
        self.began: dict[str, tuple[float, int]] = {}
        """When each that is running was first heard of, and its step then."""
        self.counted: dict[str, tuple[float, int]] = {}
        """Seconds and steps of each that the pace knows already."""

    def take(self, event: "Event", now: float) -> None:
        """Take in what happened, at a time in seconds."""
        key = event.run.key
        if event.kind == "started":
            self.began[key] = now, 0
            self.counted[key] = 0.0, 0
        elif event.kind in ("step", "evaluated", "done") and key in self.began:
            if key not in self.taken:
                self.began[key] = self.began[key][0], 0 if event.kind == "done" else event.step
            self.taken[key] = event.step
            self._count(event, now)
        if event.kind in ("done", "failed", "skipped"):
            self.todo.pop(key, None)
        if event.kind in ("done", "failed", "retried"):
            self.began.pop(key, None)
            self.taken.pop(key, None)

    def _count(self, event: "Event", now: float) -> None:
        start, first = self.began[event.run.key]
        seconds, steps = self.counted[event.run.key]
        total, done = now - start, event.step - first
        if done > steps:
            self.pace.add(event.run, done - steps, total - seconds)
            self.counted[event.run.key] = total, done

    def forecast(self) -> "Forecast":
        """When all will be done."""
        from transfer.study.standing import foreseen

        return foreseen(list(self.todo.values()), self.taken, set(self.began), self.pace, self.workers)


class _Arms(_Trouble):
    """Adds up the steps and the last scores of each arm's runs."""

    def __init__(self, planned: "Plan", workers: int, guess: float) -> None:
        self.following = Following(planned, workers, guess)
        self.foreseen, self.ahead = 0.0, self.following.forecast()
        self.taken = {run.key: 0 for run in planned.distinct.values()}
        self.scores: dict[str, float] = {}
        self.keys: dict[str, list[str]] = {}
        for run in planned.distinct.values():
            self.keys.setdefault(run.arm, []).append(run.key)
            if run.key not in planned.unfinished:
                self.taken[run.key] = run.config.steps
        self.totals = {arm: sum(planned.distinct[key].config.steps for key in keys) for arm, keys in self.keys.items()}

    def show(self, event: "Event") -> None:
        super().show(event)
        now = time.monotonic()
        self.following.take(event, now)
        if now - self.foreseen > AGAIN:
            self.foreseen, self.ahead = now, self.following.forecast()
        if event.kind in ("step", "evaluated", "done"):
            self.taken[event.run.key] = event.step
        if event.score is not None:
            self.scores[event.run.key] = event.score
        self.draw(event.run.arm, finished=event.kind == "done")

    def draw(self, arm: str, *, finished: bool) -> None:
        """Show one arm."""

    def steps(self, arm: str) -> int:
        return sum(self.taken[key] for key in self.keys[arm])

    def note(self, arm: str) -> str:
        """``return 132.4``: the mean of the runs' last evaluations."""
        scores = [self.scores[key] for key in self.keys[arm] if key in self.scores]
        return f"return {sum(scores) / len(scores):.2f}" if scores else ""

    def left(self, arm: str) -> str:
        """``12 min left``, until the last run of an arm is done."""
        from transfer.cli.study import duration

        seconds = [left for (name, _), left in self.ahead.arms.items() if name == arm]
        return f"{duration(max(seconds))} left" if seconds and self.steps(arm) < self.totals[arm] else ""

    def all_left(self) -> str:
        """The same of the whole study."""
        from transfer.cli.study import duration

        return f"about {duration(self.ahead.seconds)} left" if self.following.todo else ""


class _Lines(_Arms):
    """A line an arm now and then, and one for each run that ends."""

    def __init__(self, planned: "Plan", workers: int, guess: float) -> None:
        super().__init__(planned, workers, guess)
        self.last: dict[str, float] = {}

    def show(self, event: "Event") -> None:
        super().show(event)
        if event.kind == "done":
            score = self.scores.get(event.run.key)
            self.say(f"{event.run}: done" + (f", return {score:.2f}" if score is not None else ""))

    def draw(self, arm: str, *, finished: bool) -> None:
        now = time.monotonic()
        if not finished and now - self.last.setdefault(arm, now) > SECONDS:
            self.last[arm] = now
            far = f"{arm}: {self.steps(arm):,} of {self.totals[arm]:,} steps"
            told = [note for note in (self.note(arm), self.left(arm), f"all: {self.all_left()}") if note]
            self.say(", ".join([far, *told]))


@contextmanager
def _bars(planned: "Plan", workers: int, guess: float) -> Iterator[Display]:
    """A bar an arm, and one for all."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        class Bars(_Arms):
            def say(self, line: str) -> None:
                progress.console.print(line, markup=False, highlight=False)

            def draw(self, arm: str, *, finished: bool) -> None:
                progress.update(tasks[arm], completed=self.steps(arm), note=self.note(arm), left=self.left(arm))
                progress.update(whole, completed=sum(self.taken.values()), left=self.all_left())

        bars = Bars(planned, workers, guess)
        tasks = {
            arm: progress.add_task(arm, total=total, completed=bars.steps(arm), note="", left="")
            for arm, total in bars.totals.items()
        }
        whole = progress.add_task("all", total=sum(bars.totals.values()), completed=0, note="", left=bars.all_left())
        yield bars
