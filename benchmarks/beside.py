"""Contenders beside each other: in alternation, each a process of its own that prints one line of JSON; medians.

What benchmarks share. A contender is a command; several processes of it may make one measurement (ten seeds, two at a
time). `measure` runs all of them in turn, again and again; `Table` prints what was found as text and as Markdown, with
the machine, its load while measuring, the versions, and what was not measured and why.
"""

import json
import math
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from peers import PEERS

HOME = Path(__file__).resolve().parent.parent
RUNS = Path(__file__).resolve().parent / "peer_runs"

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TRIES = 3
"""Hanging processes of a contender after which it is given up."""
GRACE = 45.0
"""Seconds that a measurement of so many steps may take longer than the longest before it, until it has hung."""

Result = dict[str, Any]


class Failed(Exception):
    """Why a process gave no result, in one line."""


class Hung(Failed):
    """A process that did not end in time."""


@dataclass(frozen=True)
class Contender:
    """A command that prints a line of JSON, and how often it takes part in one measurement."""

    name: str
    command: Sequence[str]
    peer: str | None = None
    """The environment of its own that it needs."""
    processes: int = 1
    """How many make one measurement, with seeds of their own."""
    at_once: int = 1
    shared: int | None = None
    """Seeds that the processes share, each training its own in turn; None: a seed each."""
    fresh: tuple[str, ...] = ()
    """Environment variables that name a folder, empty before each measurement: caches that must be cold."""
    limit: float = 300.0
    """Seconds after which a process has hung: it is ended, and its measurement made again."""
    note: str = ""

    def why_not(self) -> str | None:
        """Why it cannot be measured; None if it can."""
        return None if self.peer is None else PEERS[self.peer].why_not()

    def each_seed(self, seeds: int) -> "Contender":
        """The same with a process for each of several seeds, as many at once as there are cores."""
        return replace(self, processes=seeds, at_once=min(seeds, CORES))

    @property
    def turns(self) -> int:
        """The most seeds that a process trains in turn."""
        return 1 if self.shared is None else -(-self.shared // self.processes)

    def in_turn(self, seeds: int) -> "Contender":
        """The same with several seeds, shared by as many processes as there are cores; one for one seed."""
        if seeds == 1:
            return self
        places = min(seeds, CORES)
        return replace(self, processes=places, at_once=places, shared=seeds)

    def _seeds(self, repeat: int) -> list[list[str]]:
        """What each process is told of its seeds; no two measurements have one in common."""
        if self.shared is None:
            return [[f"--seed={repeat * self.processes + i}"] for i in range(self.processes)]
        ends = [self.shared * i // self.processes for i in range(self.processes + 1)]
        return [
            [f"--seed={repeat * self.shared + first}", f"--in-turn={last - first}"] for first, last in pairwise(ends)
        ]

    def once(self, repeat: int) -> Result:
        """One measurement. Raises Failed."""
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(self.at_once) as pool:
            empty = {name: str(Path(folder) / name) for name in self.fresh}
            for path in empty.values():
                Path(path).mkdir()

            def process(seeds: list[str]) -> Result:
                return run([*self.command, *seeds], empty, self.limit, folder)

            return combined(list(pool.map(process, self._seeds(repeat))), self.at_once)


def ours(name: str, runner: str, *arguments: str, **details: Any) -> Contender:
    """A contender that this Python runs: `runner` is a file of `peer_runs/`."""
    return Contender(name, [sys.executable, str(RUNS / runner), *arguments], **details)


def theirs(name: str, peer: str, runner: str, *arguments: str, **details: Any) -> Contender:
    """A contender that a peer's Python runs; its repository's file comes first where it has one."""
    found = PEERS[peer]
    file = [str(found.source)] if found.repository else []
    return Contender(name, [str(found.python), str(RUNS / runner), *file, *arguments], peer=peer, **details)


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, limit: float = 300.0, cwd: str | None = None
) -> Result:
    """The last line of what a process prints, read as JSON. Raises Failed, or Hung after `limit` seconds."""
    path = os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": path, **(environment or {}), "BESIDE_STARTED": str(time.monotonic())}
    process = subprocess.Popen(
        command,
        env=variables,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Hung(f"no answer in {limit:.0f} s") from error
        raise
    lines = out.strip().splitlines()
    if process.returncode or not lines:
        said = [line for line in err.splitlines() if line.strip()] or [f"exit code {process.returncode}"]
        raise Failed(said[-1].strip()[:200])
    result: Result = json.loads(lines[-1])
    return result


def combined(results: Sequence[Result], at_once: int) -> Result:
    """One result of several processes: steps and seconds of all together, memory of those that run at once.

    Where a threshold was asked for, `reached` holds the seconds after which the last process was through, if each takes
    the next free one of `at_once` places in turn: their pauses for checks are no part of it.
    """
    if len(results) == 1:
        return results[0]
    found: Result = {"versions": results[0].get("versions", {}), "each": list(results)}
    found["peak_bytes"] = at_once * max(result["peak_bytes"] for result in results)
    found["cold_seconds"] = makespan([result["cold_seconds"] for result in results], at_once)
    if "reached" in results[0]:
        each = [result["reached"] for result in results]
        found["reached"] = None
        if None not in each:
            seconds = makespan([one["seconds"] for one in each], at_once)
            found["reached"] = {"steps": statistics.median(one["steps"] for one in each), "seconds": seconds}
        return found
    found["steps"] = sum(result["steps"] for result in results)
    found["seconds"] = max(result["ended"] for result in results) - min(result["began"] for result in results)
    return found


def makespan(seconds: Iterable[float], places: int) -> float:
    """When the last job ends, if each starts as soon as one of the places is free."""
    free = [0.0] * places
    for duration in seconds:
        free[free.index(min(free))] += duration
    return max(free)


@dataclass
class Found:
    """What was measured of a contender."""

    contender: Contender
    results: list[Result] = field(default_factory=list)
    why_not: str | None = None
    lost: list[float] = field(default_factory=list)
    """Seconds of each measurement that hung."""
    longest: float = 0.0
    """Seconds of the longest that did not."""

    def measure(self, repeat: int, grace: float = math.inf) -> None:
        """Once more; after three processes that hung, or one that failed, never again.

        Args:
            repeat: decides the seeds.
            grace: seconds that it may take longer than the longest before it.
        """
        limit = min(self.contender.limit, self.longest + grace) if self.results else self.contender.limit
        began = time.monotonic()
        try:
            self.results.append(replace(self.contender, limit=limit).once(repeat))
            self.longest = max(self.longest, time.monotonic() - began)
        except Hung as error:
            self.lost.append(time.monotonic() - began)
            if len(self.lost) == TRIES:
                self.why_not = f"{error}, the last of {TRIES} times"
            else:
                self.measure(repeat, grace)
        except Failed as error:
            self.why_not = str(error)

    def values(self, read: Callable[[Result], float]) -> list[float]:
        """One number of each measurement."""
        return [read(result) for result in self.results]

    def median(self, read: Callable[[Result], float]) -> float:
        """The median of one number; NaN if nothing was measured."""
        return statistics.median(self.values(read)) if self.results else math.nan


def measure(
    contenders: Sequence[Contender], repeats: int, give_up: int | None = None, grace: float = math.inf
) -> list[Found]:
    """Measure all contenders in alternation, `repeats` times each, and tell stderr how it goes.

    One that fails is left out from then on. One that has not reached its threshold in `give_up` measurements, and never
    did, is not asked again: its results are those. With `grace`, a measurement has hung that takes so many seconds
    longer than the longest of its contender before it.
    """
    found = [Found(contender, why_not=contender.why_not()) for contender in contenders]
    for repeat in range(repeats):
        for one in found:
            if one.why_not is None and not _hopeless(one.results, give_up):
                began = time.monotonic()
                one.measure(repeat, grace)
                went = one.why_not or f"{time.monotonic() - began:.1f} s"
                print(f"{repeat + 1}/{repeats} {one.contender.name}: {went}", file=sys.stderr, flush=True)
    return found


def _hopeless(results: Sequence[Result], give_up: int | None) -> bool:
    return give_up is not None and len(results) >= give_up and all(one["reached"] is None for one in results)


def steps_per_second(result: Result) -> float:
    """Of the timed part."""
    return float(result["steps"] / result["seconds"])


def seconds_to_threshold(result: Result) -> float:
    """From the cold start; infinite where it was not reached."""
    return math.inf if result["reached"] is None else float(result["reached"]["seconds"])


class Load:
    """How busy others keep the machine while this process and its children measure (Linux; elsewhere unknown)."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float, float] | None:
        """Wall seconds, and CPU seconds of everybody, stolen, and of ours."""
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        except OSError:
            return None
        second = os.sysconf("SC_CLK_TCK")
        user, nice, system, _idle, _wait, irq, softirq, steal = ticks[:8]
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return time.monotonic(), (user + nice + system + irq + softirq) / second, steal / second, own

    def __str__(self) -> str:
        now = self._now()
        if now is None or self._start is None:
            return "load of others unknown"
        wall, everybody, stolen, own = (after - before for after, before in zip(now, self._start, strict=True))
        wall = max(wall, 1e-9)
        others = max(0.0, everybody - own) / wall
        return f"others kept {others:.2f} cores busy meanwhile, {stolen / wall:.2f} were stolen"


def machine() -> str:
    """The machine in a line: processor, cores, system."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {CORES} cores, {platform.system()}"


@dataclass
class Table:
    """Rows of words under a head, and what is to be known of them."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal: the first column to the left, the others to the right."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        shown = [
            "  ".join(
                [line[0].ljust(widths[0]), *(word.rjust(w) for word, w in zip(line[1:], widths[1:], strict=True))]
            )
            for line in lines
        ]
        return "\n".join([self.title, "", *shown, "", *self.notes])

    def markdown(self) -> str:
        """For a page."""
        rule = ["---", *("---:" for _ in self.head[1:])]
        lines = [f"| {' | '.join(line)} |" for line in (self.head, rule, *self.rows)]
        return "\n".join([f"## {self.title}", "", *lines, "", *(f"- {note}" for note in self.notes), ""])

    def describe(self, found: Sequence[Found], repeats: int, load: Load) -> None:
        """Add the notes that every table has: machine, load, versions, and who was not measured."""
        self.notes.append(f"Medians of {repeats}, in alternation, on {machine()}; {load}.")
        versions: dict[str, set[str]] = {}
        for one in found:
            for result in one.results:
                for package, version in result.get("versions", {}).items():
                    versions.setdefault(package, set()).add(version)
        told = ", ".join(f"{package} {'/'.join(sorted(known))}" for package, known in sorted(versions.items()))
        self.notes.append(f"Versions: {told}.")
        self.notes += [f"{one.contender.name}: {one.contender.note}" for one in found if one.contender.note]
        self.notes += [
            f"{one.contender.name}: no answer in {' s, in '.join(map(number, one.lost))} s; measured again."
            for one in found
            if one.lost and not one.why_not
        ]
        self.notes += [f"{_times(one)}: {one.contender.name}: {one.why_not}" for one in found if one.why_not]


def _times(one: Found) -> str:
    """How often one that was given up was measured."""
    return f"Only {len(one.results)} measured" if one.results else "Not measured"


def show(tables: Iterable[Table], write: Path | None = None, preface: str = "") -> None:
    """Print tables as text and, if asked for, write them as a page."""
    tables = list(tables)
    print("\n\n".join(table.text() for table in tables))
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(preface + "\n".join(table.markdown() for table in tables))
        print(f"\nwritten: {write}")


def number(value: float) -> str:
    """A figure of three digits that a person reads: 1.23, 45.6, 1,234,567; a dash where nothing was measured."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "not reached"
    if abs(value) >= 100:
        return f"{round(value, 2 - int(math.log10(abs(value)))):,.0f}"
    return f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The least and the most."""
    return "–" if not values else f"{number(min(values))} to {number(max(values))}"
