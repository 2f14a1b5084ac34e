"""Runs that a study takes as they are: its source, where it names one, and the further teachers of its arms."""

from collections.abc import Iterator
from pathlib import Path

from agents.runs import Run, find_run
from envs.errors import CheckpointError, ConfigError
from transfer.study.spec import Study


def finished(ref: str, root: Path, where: str) -> Run:
    """A finished run under `root`, by key or folder; `where` the study names it is said.

    Raises UnknownName or CheckpointError.
    """
    run = find_run(ref, root)
    if run.state != "done":
        raise CheckpointError(f"{where}: {run.path} is {run.state}; expected a finished run")
    if run.path.resolve().parent != root.resolve():
        raise CheckpointError(f"{where}: {run.path} is not under {root}; expected a run of --runs {root}")
    return run


def further(study: Study, arm: str, root: Path) -> list[Run]:
    """The teachers of an arm besides the source. Raises UnknownName, CheckpointError, or ConfigError for one twice."""
    runs = [finished(ref, root, "further") for ref in study.arms[arm].further]
    if len({run.key for run in runs}) < len(runs):
        raise ConfigError("further: a run is named twice; name each once, and weigh them by the method's weights")
    return runs


def uncounted(study: Study, root: Path) -> Iterator[str]:
    """What further teachers cost is in no source budget: a line for each arm that has some."""
    for name in study.arms:
        if runs := further(study, name, root):
            steps = sum(run.config.steps for run in runs)
            yield (
                f"arms.{name} has {len(runs)} further {'teacher' if len(runs) == 1 else 'teachers'}, which serve all "
                f"seeds; their {steps:,} steps are not in the source's budget"
            )
