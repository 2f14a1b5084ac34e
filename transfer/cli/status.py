"""`headstart status STUDY`: how far a study is, from another terminal or the day after."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from transfer.study.plan import Plan
    from transfer.study.standing import Forecast, RunStatus


def status(
    study: Annotated[str, typer.Argument(help="A study file, or the name of a study that has begun.")],
    runs: RunsOption = None,
    results: Annotated[Path, typer.Option("--results", help="Where results go.")] = Path("results"),
    json: JsonOption = False,
) -> None:
    """Say of each arm how many runs are done, running, failed and waiting, and when it should be done."""
    from agents.runs import runs_root
    from transfer.cli.console import emit_json
    from transfer.study.plan import plan
    from transfer.study.spec import load_study
    from transfer.study.standing import forecast, statuses

    spec = load_study(study_file(study, results))
    planned = plan(spec, runs_root(runs))
    found = statuses(planned)
    ahead = forecast(planned, found)
    if json:
        left = None if ahead is None else round(ahead.seconds, 1)
        emit_json({"study": spec.name, "seconds_left": left, "runs": [_plain(run) for run in found]})
    else:
        _show(planned, found, ahead)


def _plain(run: "RunStatus") -> dict[str, object]:
    """For JSON: the dial's value where there is one."""
    return {name: value for name, value in asdict(run).items() if name != "at" or value is not None}


def study_file(study: str, results: Path) -> Path:
    """The file of a study given by file or by name. Raises ConfigError."""
    from envs.errors import ConfigError
    from envs.registry import did_you_mean

    if Path(study).exists() and ("/" in study or not (results / study).is_dir()):
        return Path(study)
    if study.endswith(".toml") or "/" in study:
        raise ConfigError(f"there is no study file {study!r}; expected a TOML file, as in studies/")
    kept = results / study / "study.toml"
    if kept.is_file():
        return kept
    raise did_you_mean("study", study, [file.parent.name for file in results.glob("*/study.toml")])


def _show(planned: "Plan", found: "list[RunStatus]", ahead: "Forecast | None") -> None:
    from agents.runs import Run
    from transfer.cli.console import counted, say, table
    from transfer.cli.study import duration
    from transfer.study.scheduling import TAIL

    rows = []
    by_arm: dict[str, list[RunStatus]] = {}
    for run in found:
        by_arm.setdefault(_arm(run), []).append(run)
    for arm, of_arm in by_arm.items():
        counts = [str(sum(run.phase == phase for run in of_arm)) for phase in ("done", "running", "failed", "waiting")]
        taken = sum(run.steps if run.phase == "done" else run.step for run in of_arm)
        total = sum(run.steps for run in of_arm)
        scores = [run.score for run in of_arm if run.score is not None]
        last = f"{sum(scores) / len(scores):.2f}" if scores else ""
        left = None if ahead is None else ahead.arms.get((of_arm[0].arm, of_arm[0].at))
        rows.append([arm, *counts, f"{100 * taken // total} %", last, "" if left is None else duration(left)])
    headings = ["arm", "done", "running", "failed", "waiting", "steps", "last return", "left"]
    table(headings, rows, right=headings[1:])
    for run in found:
        if run.phase == "failed":
            say(f"{_arm(run)} seed {run.seed} failed: {run.line}")
            for line in Run(planned.root / run.key).log_tail(TAIL):
                say(f"    {line}")
    if ahead is not None:
        running = len({run.key for run in found if run.phase == "running"})
        say(f"about {duration(ahead.seconds)} left with {counted(running, 'run')} at once")


def _arm(run: "RunStatus") -> str:
    """The arm, at which value of the dial."""
    return f"{run.arm} {run.at}" if run.at else run.arm
