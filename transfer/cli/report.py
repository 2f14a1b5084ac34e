"""`headstart report STUDY…`: write studies' reports again from their run folders, as pages and as tables."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from transfer.study.spec import Study


class Form(StrEnum):
    """What tables are written as."""

    csv = "csv"
    parquet = "parquet"


def report(
    studies: Annotated[list[str], typer.Argument(help="Study files, or names of studies that have begun.")],
    runs: RunsOption = None,
    results: Annotated[Path, typer.Option("--results", help="Where results go.")] = Path("results"),
    export: Annotated[
        Form | None, typer.Option("--export", help="Also tables of every evaluation episode and of every seed.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also all arms' curves and hyperparameters for TensorBoard.")
    ] = False,
    matrix: Annotated[
        str | None,
        typer.Option("--matrix", help="Combine finished studies into one page of this name: sources × targets."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read what the runs of studies came to and write their reports; nothing is trained."""
    from transfer.cli.console import emit_json, say

    document: dict[str, Any] | list[dict[str, Any]]
    if matrix is not None:
        document, lines = _matrix(studies, results, matrix)
    else:
        written = [_written(study, runs, results, export, tensorboard) for study in studies]
        found = [document for document, _ in written]
        document = found[0] if len(found) == 1 else found
        lines = [line for _, of_study in written for line in of_study]
    if json:
        emit_json(document)
    else:
        for line in lines:
            say(line)


def _written(
    study: str, runs: str | None, results: Path, export: Form | None, tensorboard: bool
) -> tuple[dict[str, Any], list[str]]:
    """One study's document, and a line for whatever was written."""
    from agents.runs import runs_root
    from transfer.cli.status import study_file
    from transfer.report import write
    from transfer.study.spec import load_study
    from transfer.study.store import collect

    spec, root = load_study(study_file(study, results)), runs_root(runs)
    folder = results / spec.name
    document = write(collect(spec, root), folder)
    lines = [f"report: {(folder / 'report.html').resolve()}"]
    if export is not None:
        lines += _exported(spec, root, document, folder, export)
    if tensorboard:
        from transfer.report import boards
        from transfer.report.export import documents

        logs = boards.write(documents(document, folder), folder, root)
        lines.append(f"tensorboard --logdir {logs.resolve()}")
    return document, lines


def _exported(spec: "Study", root: Path, document: dict[str, Any], folder: Path, form: Form) -> list[str]:
    from transfer.report import export
    from transfer.study.plan import plan

    return [f"table: {file.resolve()}" for file in export.write(plan(spec, root), document, folder, form.value)]


def _matrix(studies: list[str], results: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    """The page of several studies, of which only the results are read."""
    from transfer.report import matrix

    document = matrix.write(studies, results, name)
    return document, [f"report: {(results / name / 'report.html').resolve()}"]
