"""Runs that a study takes as they are: its source, where it names one, and the further teachers of its arms."""

from collections.abc import Iterator
from pathlib import Path

from agents.runs import Run, find_finished
from envs.errors import ConfigError
from transfer.study.spec import Study


def further(study: Study, arm: str, root: Path) -> list[Run]:
    """The teachers of an arm besides the source. Raises UnknownName, CheckpointError, or ConfigError for one twice."""
    runs = [find_finished(ref, root, "further") for ref in study.arms[arm].further]
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
