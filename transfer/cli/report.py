"""`headstart report STUDY`: write a study's report again, from its run folders."""

from pathlib import Path
from typing import Annotated

import typer

from transfer.cli.console import JsonOption, RunsOption


def report(
    study: Annotated[str, typer.Argument(help="A study file, or the name of a study that has begun.")],
    runs: RunsOption = None,
    results: Annotated[Path, typer.Option("--results", help="Where results go.")] = Path("results"),
    json: JsonOption = False,
) -> None:
    """Read what the runs of a study came to and write its report; nothing is trained."""
    from agents.runs import runs_root
    from transfer.cli.console import emit_json, say
    from transfer.cli.status import study_file
    from transfer.report import write
    from transfer.study.spec import load_study
    from transfer.study.store import collect

    spec = load_study(study_file(study, results))
    folder = results / spec.name
    document = write(collect(spec, runs_root(runs)), folder)
    if json:
        emit_json(document)
    else:
        say(f"report: {(folder / 'report.html').resolve()}")
