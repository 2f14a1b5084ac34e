"""`headstart study FILE`: train all that a study compares, and report what it found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from transfer.study.plan import Plan


def study(
    file: Annotated[Path, typer.Argument(help="A study file: see studies/.", show_default=False)],
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Runs trained at once; by default one a core.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", help="Where: ray, ray://HOST:PORT, slurm?partition=NAME, local; by default here."),
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
    folder = run_and_show(file, root=root, results=results, workers=workers, on=on, silent=json)
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
    file: Path,
    *,
    root: Path,
    results: Path = Path("results"),
    workers: int | None = None,
    on: str | None = None,
    silent: bool = False,
) -> Path:
    """Run a study, showing how far each arm is. Returns its folder of results."""
    from transfer.cli.following import display
    from transfer.study.execute import execute
    from transfer.study.places import place_of

    planned, seconds = _checked(file, root)
    if not silent:
        _announce(planned, seconds, workers)
    place = place_of(on, planned.root, workers)
    with display(planned, place.workers, seconds, silent=silent) as shown:
        return execute(planned, file, results=results, place=place, on_event=shown.show)


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
    arms = ", ".join(planned.arms)
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
