"""The command line: `headstart` and `python -m transfer`.

Each verb is a file of this folder. Verb files import only the standard library, typer and rich at their top; our own
floors, torch and gymnasium are imported inside the function, so that `--help` is instant.
"""

import os
import sys
from typing import Annotated

import typer

from envs.errors import HeadstartError
from transfer.cli import (
    demo,
    doctor,
    evaluate,
    export,
    games,
    mapping,
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
app.command("study")(study.study)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("mapping")(mapping.mapping)
app.add_typer(runs.app, name="runs")
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
    sys.path.append(os.getcwd())  # last, so that ./mygame.py is found and a user's own envs/ does not hide ours
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)  # at once: taking torch apart takes a second or more
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except HeadstartError as error:
        return _say(f"error: {error}", 2)
    except OSError as error:
        return _say(f"error: {_of_the_machine(error)}", 2)
    except Exception as error:
        message = getattr(error, "format_message", None)  # typer's own usage errors
        if message is None:
            raise
        return _say(f"error: {_one_line(message())} (see headstart --help)", 2)
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C, too
        return _say("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _of_the_machine(error: OSError) -> str:
    """A full disk, a folder without write permission, a file that is not there."""
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr, flush=True)
    return code
