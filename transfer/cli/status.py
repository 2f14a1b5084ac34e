"""`headstart status STUDY`: how far a study is, from another terminal or the day after."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from transfer.study.store import RunStatus


def status(
    study: Annotated[str, typer.Argument(help="A study file, or the name of a study that has begun.")],
    runs: RunsOption = None,
    results: Annotated[Path, typer.Option("--results", help="Where results go.")] = Path("results"),
    json: JsonOption = False,
) -> None:
    """Say of each arm how many runs are done, running, failed and waiting."""
    from agents.runs import runs_root
    from transfer.cli.console import emit_json
    from transfer.study.spec import load_study
    from transfer.study.store import study_status

    spec = load_study(study_file(study, results))
    found = study_status(spec, runs_root(runs))
    if json:
        emit_json({"study": spec.name, "runs": [_plain(run) for run in found]})
    else:
        _show(found)


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


def _show(found: "list[RunStatus]") -> None:
    from transfer.cli.console import say, table

    rows = []
    for arm in dict.fromkeys(_arm(run) for run in found):
        of_arm = [run for run in found if _arm(run) == arm]
        counts = [str(sum(run.phase == phase for run in of_arm)) for phase in ("done", "running", "failed", "waiting")]
        taken = sum(run.steps if run.phase == "done" else run.step for run in of_arm)
        total = sum(run.steps for run in of_arm)
        scores = [run.score for run in of_arm if run.score is not None]
        last = f"{sum(scores) / len(scores):.2f}" if scores else ""
        rows.append([arm, *counts, f"{100 * taken // total} %", last])
    headings = ["arm", "done", "running", "failed", "waiting", "steps", "last return"]
    table(headings, rows, right=headings[1:])
    for run in found:
        if run.phase == "failed":
            say(f"{_arm(run)} seed {run.seed} failed: {run.line}")


def _arm(run: "RunStatus") -> str:
    """The arm, at which value of the dial."""
    return f"{run.arm} {run.at}" if run.at else run.arm
