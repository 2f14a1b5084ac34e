"""`headstart study FILE`: train all that a study compares, and report what it found."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from transfer.study.plan import Plan
    from transfer.study.pool import Event

SECONDS = 30.0
"""Between two plain lines about an arm, where there is no terminal."""


def study(
    file: Annotated[Path, typer.Argument(help="A study file: see studies/.", show_default=False)],
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Runs trained at once; by default one a core.")
    ] = None,
    runs: RunsOption = None,
    results: Annotated[Path, typer.Option("--results", help="Where results go.")] = Path("results"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and say what would be trained; train nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train the arms of a study over its seeds and write the report. What is finished is not trained again."""
    from agents.runs import runs_root
    from transfer.cli.console import emit_json, say

    root = runs_root(runs)
    if dry_run:
        planned, seconds = _checked(file, root)
        if json:
            emit_json(_document(planned, seconds))
        else:
            _announce(planned, seconds, workers)
        return
    folder = run_and_show(file, root=root, results=results, workers=workers, silent=json)
    if json:
        import json as codec

        emit_json(codec.loads((folder / "results.json").read_text(encoding="utf-8")))
    else:
        say(_time_taken(folder))
        say(f"report: {(folder / 'report.html').resolve()}")


def _time_taken(folder: Path) -> str:
    """What the runs of a study took, by its results."""
    import json as codec

    from transfer.report.method import evaluation_share, seconds_of

    document = codec.loads((folder / "results.json").read_text(encoding="utf-8"))
    runs = list((document["provenance"].get("runs") or {}).values())
    seconds = sum(seconds_of(run, "cpu") for run in runs)
    return f"{duration(seconds)} of CPU time in {len(runs)} runs, {evaluation_share(runs, 'cpu'):.0%} of it evaluation"


def run_and_show(
    file: Path, *, root: Path, results: Path = Path("results"), workers: int | None = None, silent: bool = False
) -> Path:
    """Run a study, showing how far each arm is. Returns its folder of results."""
    from transfer.study.execute import execute

    planned, seconds = _checked(file, root)
    if not silent:
        _announce(planned, seconds, workers)
    with _display(planned, silent=silent) as display:
        return execute(planned, file, results=results, workers=workers, on_event=display.show)


def _checked(file: Path, root: Path) -> "tuple[Plan, float]":
    """The plan, with all checked that can be, and a rough number of CPU seconds."""
    from transfer.study.check import check
    from transfer.study.plan import plan
    from transfer.study.spec import load_study

    planned = plan(load_study(file), root)
    return planned, check(planned)


def _announce(planned: "Plan", seconds: float, workers: int | None) -> None:
    """What will be trained and roughly what it costs, before it is."""
    from transfer.cli.console import counted, say
    from transfer.study.pool import cores

    study, todo = planned.study, len(planned.unfinished)
    arms = ", ".join(study.arms)
    turned = f"{study.dial.argument} at {', '.join(map(str, study.dial.values))}; " if study.dial else ""
    seeds = counted(len(study.seeds), "seed")
    say(f"study {study.name}: arms {arms}; {turned}{seeds}; primary metric {study.primary}")
    for warning in planned.warnings:
        say(f"note: {warning}")
    finished = len(planned.distinct) - todo
    if not todo:
        say(f"nothing to train: all of its {counted(finished, 'run')} are finished")
        return
    at_once = min(workers or cores(), todo)
    say(
        f"{counted(todo, 'run')} to train ({finished} finished already), {planned.steps:,} steps: very roughly "
        f"{duration(seconds)} of CPU time, {duration(seconds / at_once)} with {at_once} at once, plus evaluation"
    )


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _document(planned: "Plan", seconds: float) -> dict[str, Any]:
    return {
        "study": planned.study.name,
        "runs": [
            {
                "arm": run.arm,
                **({"at": run.at} if run.at else {}),
                "seed": run.seed,
                "key": run.key,
                "after": run.after,
                "steps": run.config.steps,
                "state": planned.run(run).state,
            }
            for run in planned.runs
        ],
        "steps": planned.steps,
        "cpu_seconds": round(seconds, 1),
        "warnings": list(planned.warnings),
    }


class _Display(Protocol):
    def show(self, event: "Event") -> None:
        """Take in what happened."""


@contextmanager
def _display(planned: "Plan", *, silent: bool) -> Iterator[_Display]:
    """Bars on a terminal, plain lines elsewhere, trouble only if silent."""
    if silent or not planned.unfinished:
        yield _Trouble()
    elif sys.stderr.isatty():
        with _bars(planned) as bars:
            yield bars
    else:
        yield _Lines(planned)


class _Trouble:
    """Says on standard error what went wrong, and nothing else."""

    def show(self, event: "Event") -> None:
        if event.kind in ("failed", "skipped", "retried"):
            self.say(f"{event.run}: {event.kind}: {event.line}")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class _Arms(_Trouble):
    """Adds up the steps and the last scores of each arm's runs."""

    def __init__(self, planned: "Plan") -> None:
        self.taken = {run.key: 0 for run in planned.distinct.values()}
        self.scores: dict[str, float] = {}
        self.keys: dict[str, list[str]] = {}
        for run in planned.distinct.values():
            self.keys.setdefault(run.arm, []).append(run.key)
            if run.key not in planned.unfinished:
                self.taken[run.key] = run.config.steps
        self.totals = {
            arm: sum(run.config.steps for run in planned.distinct.values() if run.arm == arm) for arm in self.keys
        }

    def show(self, event: "Event") -> None:
        super().show(event)
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


class _Lines(_Arms):
    """A line an arm now and then, and one for each run that ends."""

    def __init__(self, planned: "Plan") -> None:
        super().__init__(planned)
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
            self.say(f"{arm}: {self.steps(arm):,} of {self.totals[arm]:,} steps {self.note(arm)}".rstrip())


@contextmanager
def _bars(planned: "Plan") -> Iterator[_Display]:
    """A bar an arm."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        class Bars(_Arms):
            def say(self, line: str) -> None:
                progress.console.print(line, markup=False, highlight=False)

            def draw(self, arm: str, *, finished: bool) -> None:
                progress.update(tasks[arm], completed=self.steps(arm), note=self.note(arm))

        bars = Bars(planned)
        tasks = {
            arm: progress.add_task(arm, total=total, completed=bars.steps(arm), note="")
            for arm, total in bars.totals.items()
        }
        yield bars
