"""The command line: `headstart` and `python -m transfer`.

Each verb is a file of this folder. Verb files import only the standard library, typer and rich at their top; our own
floors, torch and gymnasium are imported inside the function, so that `--help` is instant.
"""

import errno
import os
import signal
import sys
import threading
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer

from envs.errors import HeadstartError
from transfer.cli import (
    console,
    demo,
    distill,
    doctor,
    evaluate,
    export,
    games,
    mapping,
    match,
    report,
    runs,
    status,
    study,
    train,
    transfer,
    watch,
)

INTERRUPTED = 130
"""The exit code after Ctrl-C."""

WAY_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, then give the same command again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder in which you may write"),
}
"""What to do about an error of the machine."""

_interrupted = threading.Event()
"""Set by Ctrl-C, which a library that is being loaded may turn into another error."""

app = typer.Typer(
    name="headstart",
    help="Carry what an agent learnt in one game into another, and measure what that was worth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.add_typer(games.app, name="games")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("transfer")(transfer.transfer)
app.command("watch")(watch.watch)
app.command("match")(match.match)
app.command("study")(study.study)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("mapping")(mapping.mapping)
app.add_typer(runs.app, name="runs")
app.command("distill")(distill.distill)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"headstart {installed('headstart')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line; never returns. Exit codes: 0, 2 (a user's mistake), 130 (Ctrl-C), 1 (our fault)."""
    signal.signal(signal.SIGINT, _interrupt)
    if not sys.warnoptions:  # Python's warnings are for those who write games: -W and PYTHONWARNINGS show them
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"
    if "--json" in sys.argv:
        console.reserve_output()
    code = run(sys.argv[1:], from_here=True)
    console.flush()
    if code == INTERRUPTED:
        os._exit(code)  # at once: taking torch apart takes a second or more
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _interrupted.set()
    raise KeyboardInterrupt


def run(arguments: list[str], *, from_here: bool = False) -> int:
    """The exit code of one command line; `from_here` finds modules in the current folder, too."""
    _interrupted.clear()
    try:
        if from_here:
            sys.path.append(os.getcwd())  # last, so that ./mygame.py is found and a user's own envs/ does not hide ours
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        code = INTERRUPTED if _interrupted.is_set() else _explain(error)
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C, too
        return _say("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    """One line about a user's mistake or the machine's trouble, and its exit code. Raises our own faults again."""
    if isinstance(error, HeadstartError):
        return _say(f"error: {error}", 2)
    if isinstance(error, OSError):
        return _say(f"error: {_of_the_machine(error)}", 2)
    message = getattr(error, "format_message", None)  # typer's own usage errors
    if message is None:
        raise error
    words = message().replace(": Value error, ", ": ").rstrip(".")
    return _say(f"error: {words}{_found(error, words)} (see headstart --help)", 2)


def _of_the_machine(error: OSError) -> str:
    """A full disk, a folder without write permission, a file that is not there."""
    where = f": {error.filename}" if error.filename else ""
    way_out = WAY_OUT.get(error.errno or 0)
    return f"{error.strerror or error}{where}" + (f"; {way_out}" if way_out else "")


def _found(error: Exception, words: str) -> str:
    """What was typed where an option's value makes no sense, if typer's words leave it out."""
    faults = getattr(error.__cause__, "errors", None)
    typed = repr(faults()[0]["input"]) if faults is not None else ""
    return "" if not typed or typed in words else f", found {typed}"


def _say(text: str, code: int) -> int:
    print(" ".join(text.split()), file=sys.stderr, flush=True)
    return code
