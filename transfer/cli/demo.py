"""`headstart demo`: the main job, end to end, in minutes: train, transfer, measure and watch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from transfer.study.data import StudyData

STUDY = Path(__file__).resolve().parents[1] / "study" / "demo.toml"
FILMED_AT = 0.1
"""The fraction of the target's budget after which the agents are filmed: a tenth, when a head start still shows."""


def demo(
    runs: RunsOption = None,
    results: Annotated[Path, typer.Option("--results", help="Where results go.")] = Path("results"),
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Runs trained at once; by default one a core.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run the demo study, film scratch and transferred agents side by side, and say where the report is.

    Sources learn CartPole from nothing; their policies are carried to a CartPole with changed physics by fine-tuning,
    kickstarting and shaping, and compared with learning from scratch over several seeds.
    """
    from agents.runs import runs_root
    from transfer.cli.console import emit_json, say
    from transfer.cli.study import run_and_show
    from transfer.report import write
    from transfer.study.data import StudyData
    from transfer.study.spec import load_study
    from transfer.study.store import collect

    root = runs_root(runs)
    folder = run_and_show(STUDY, root=root, results=results, workers=workers, silent=json)
    data = collect(load_study(STUDY), root)
    assert isinstance(data, StudyData), "the demo has no dial"
    video = film(data, root, folder / "side-by-side.mp4")
    write(data, folder, video=video)
    video, page = video.resolve(), (folder / "report.html").resolve()
    if json:
        emit_json({"video": str(video), "report": str(page)})
        return
    say(f"video:  {video}")
    say(f"report: {page}")


def film(data: "StudyData", root: Path, path: Path) -> Path:
    """Every arm's agent of the study's first seed, at the same training step, on the same episodes, side by side."""
    from agents.runs import find_run
    from agents.watch.video import record_side_by_side

    step = round(FILMED_AT * int(data.steps[-1]))
    runs = [(name, find_run(arm.run_keys[0], root)) for name, arm in data.arms.items() if arm.run_keys]
    policies = [(f"{name} · step {step:,}", run.policy(step)) for name, run in runs]
    return record_side_by_side(policies, path, task=runs[0][1].config.task, seed=0, episodes=2, max_steps=250)
