"""A study for TensorBoard: all arms' curves in one chart, each seed's own beside it, and hyperparameters with results.

    tensorboard/<at>/<arm>/                 return: the mean over seeds; return_low and return_high: its interval
    tensorboard/<at>/<arm>/seed-<seed>/     return of one seed, its hyperparameters, and what it came to

The training curves of single runs are in their run folders: tensorboard --logdir runs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents import files
from agents.runs import Run
from envs.errors import CheckpointError

FOLDER = "tensorboard"
Plain = str | bool | int | float


def write(of_value: dict[str | None, dict[str, Any]], folder: Path, runs: Path) -> Path:
    """Write the event files of a study's results, by the value of its dial, and replace those that were there.

    `runs` is where run folders live, which say the hyperparameters; of a run that is gone they are left out.
    """
    target = folder / FOLDER
    with files.folder_beside(target) as beside:
        for at, document in of_value.items():
            for name, arm in document["arms"].items():
                _arm(document, arm, beside / (at or "") / name, runs, name, at)
    return target


def _arm(document: dict[str, Any], arm: dict[str, Any], folder: Path, runs: Path, name: str, at: str | None) -> None:
    from torch.utils.tensorboard import SummaryWriter

    if arm["curve"] is None:
        return
    steps = document["measured"]["steps"]
    lines = {"mean": "return", "low": "return_low", "high": "return_high"}
    with SummaryWriter(str(folder)) as writer:
        for line, tag in lines.items():
            for step, value in zip(steps, arm["curve"][line], strict=True):
                if value is not None:
                    writer.add_scalar(tag, value, step)
        writer.add_text("conclusion", " ".join(filter(None, (arm["conclusion"], arm.get("limits")))))
    for seed in arm["per_seed"]:
        settings = {"arm": name, "seed": seed["seed"], **({"at": at} if at else {}), **settings_of(seed["run"], runs)}
        _seed(folder / f"seed-{seed['seed']}", steps, seed, settings)


def _seed(folder: Path, steps: list[int], seed: dict[str, Any], settings: dict[str, Plain]) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    came_to = {f"result/{level}": float(seed[level]) for level in ("initial", "final", "total_reward")}
    for time in seed["time_to_threshold"]:
        came_to[f"result/steps_to_{time['threshold']:g}"] = float(time["steps"])
    with SummaryWriter(str(folder)) as writer:
        for step, value in zip(steps, seed["scores"], strict=True):
            writer.add_scalar("return", value, step)
        for summary in hparams(settings, came_to):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)
        for tag, value in came_to.items():
            writer.add_scalar(tag, value, steps[-1])


def settings_of(run: str, runs: Path) -> dict[str, Plain]:
    """Game, algorithm, hyperparameters and what is carried, of a run or of the first of several; flat."""
    try:
        config = Run(runs / run.split()[0]).config
    except CheckpointError:
        return {}
    said: dict[str, Any] = {"game": config.task.game, "algorithm": config.algorithm, "steps": config.steps}
    carried = (config.transfer or {}).get("by")
    if carried:
        said["by"] = carried
    return dict(_flat({**said, **config.hyperparameters}))


def _flat(settings: dict[str, Any]) -> Iterator[tuple[str, Plain]]:
    """What TensorBoard can show as it is; all else as JSON."""
    for key, value in settings.items():
        if isinstance(value, bool | int | float | str):
            yield key, value
        elif value is not None:
            yield key, json.dumps(value, default=str)
