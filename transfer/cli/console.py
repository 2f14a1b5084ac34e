"""What all verbs say things with: lines, JSON, progress, and how settings are written on the command line."""

import json
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Protocol, TextIO

import typer

from envs.errors import ConfigError

RunsOption = Annotated[str | None, typer.Option("--runs", help="Where runs live; else $HEADSTART_RUNS, else ./runs.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ChangeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--change",
        help="Customise the game: time_limit=200, sticky=0.1, actions=[0,2], reward=module:function, "
        "observation=module:function, or an argument of the game. Repeatable.",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a hyperparameter: learning_rate=1e-3. Repeatable.")
]


def say(text: str) -> None:
    """A line for the user, on standard output."""
    print(text, flush=True)


def emit_json(document: Any) -> None:
    """The one JSON document of `--json`. NaN is not JSON: it is a fault of ours to pass one."""
    print(json.dumps(document, indent=2, allow_nan=False), file=_reserved, flush=True)


_reserved: TextIO | None = None
"""The process's own standard output, where `emit_json` alone writes to it."""


def reserve_output() -> None:
    """Keep standard output for `emit_json`: whatever else is printed, by a game too, goes to standard error."""
    global _reserved
    _reserved = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def flush() -> None:
    """See that all that was said is out. Whoever read it may be gone, as `head` is after ten lines."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def parse_settings(settings: Sequence[str] | None) -> dict[str, Any]:
    """``["n_steps=32", "net_arch=[64, 64]"]`` as a dictionary. Values are TOML; a bare word is a string."""
    parsed = {}
    for setting in settings or ():
        name, separator, text = setting.partition("=")
        if not separator or not name.strip() or not text.strip():
            raise ConfigError(f"found {setting!r}, expected name=value, such as n_steps=32")
        parsed[name.strip()] = _value(text.strip())
    return parsed


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


class Progress(Protocol):
    """What `progress` hands out."""

    def update(self, done: int, note: str = "") -> None:
        """`done` of the total; the note is what one wants to see beside it."""


@contextmanager
def progress(total: int, label: str, *, silent: bool = False, unit: str = "steps") -> Iterator[Progress]:
    """A progress bar on a terminal; elsewhere a plain line now and then, in some unit; nothing if silent."""
    if silent:
        yield _Silence()
    elif sys.stderr.isatty():
        with _bar(total, label) as bar:
            yield bar
    else:
        yield _Lines(total, label, unit)


class _Silence:
    def update(self, done: int, note: str = "") -> None:
        """Say nothing."""


class _Lines:
    """A line at every tenth of the way, at most one every two seconds."""

    def __init__(self, total: int, label: str, unit: str = "steps") -> None:
        self.total, self.label, self.unit = total, label, unit
        self.tenth, self.last = -1, 0.0

    def update(self, done: int, note: str = "") -> None:
        tenth = 10 * done // max(self.total, 1)
        now = time.monotonic()
        if tenth > self.tenth and (now - self.last > 2 or done >= self.total):
            self.tenth, self.last = tenth, now
            line = f"{self.label}: {done:,} of {self.total:,} {self.unit}"
            print(f"{line}, {note}" if note else line, file=sys.stderr, flush=True)


@contextmanager
def _bar(total: int, label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total, note="")

        class Bar:
            def update(self, done: int, note: str = "") -> None:
                bars.update(task, completed=done)
                if note:
                    bars.update(task, note=note)

        yield Bar()


NARROWEST = 20
"""Characters below which a column is not folded: the terminal breaks the lines instead."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """An aligned table on standard output, the columns in `right` to the right, as numbers are.

    Nothing is cut: a key or a name that was cut could not be typed again. A row is one line, but for a terminal that
    is too narrow: there the widest column is folded.
    """
    from rich.console import Console
    from rich.table import Table

    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    room = shutil.get_terminal_size().columns - sum(widths) - 2 * (len(widths) - 1) + max(widths)
    folds = sys.stdout.isatty() and NARROWEST <= room < max(widths)
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for width, heading in zip(widths, headings, strict=True):
        limit = room if folds and width == max(widths) else width
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        grid.add_column(heading, justify=justify, width=limit, no_wrap=limit == width, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console = Console(width=sum(widths) + 2 * len(widths), highlight=False, markup=False)
    with console.capture() as drawn:
        console.print(grid)
    say("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def counted(number: int, thing: str, things: str | None = None) -> str:
    """``1 run``, ``2 runs``; what has another plural than with an s says which."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def size(n_bytes: int) -> str:
    """``1.4 MB``."""
    amount = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
