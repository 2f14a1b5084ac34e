"""What the verbs that train have in common: seeds, progress, and what to say of a finished run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.errors import ConfigError
from transfer.cli.console import progress

if TYPE_CHECKING:
    from agents.config import RunConfig
    from agents.runs import Run


def parse_seeds(text: str) -> list[int]:
    """``"3"`` is seeds 0, 1, 2; ``"0,3,7"`` is those three. Raises ConfigError."""
    from transfer.study.spec import MOST_SEEDS

    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--seeds: found {text!r}, expected how many (5) or a list (0,3,7)")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds: found {text!r}, expected each seed once")
    if len(numbers) > 1:
        return numbers
    if not 1 <= numbers[0] <= MOST_SEEDS:
        raise ConfigError(f"--seeds: found {numbers[0]}, expected 1 to {MOST_SEEDS}")
    return list(range(numbers[0]))


def train_with_progress(config: "RunConfig", root: Path, *, silent: bool = False) -> "Run":
    """Train one run, showing how far it is and what its last evaluation gave."""
    from transfer.carry import train_run

    last = ""
    with progress(config.steps, f"{config.task} seed {config.seed}", silent=silent) as bar:

        def on_evaluation(step: int, mean_return: float) -> None:
            nonlocal last
            last = f"return {mean_return:.2f}"
            bar.update(step, last)

        def on_progress(done: int, _: int) -> None:
            if done < config.steps:  # the end is the last evaluation's to tell, with what it gave
                bar.update(done, last)

        return train_run(
            config,
            root,
            on_progress=on_progress,
            on_evaluation=on_evaluation,
        )


def summary(run: "Run") -> dict[str, Any]:
    """A finished run as plain data: where it is, and its first and last evaluation."""
    evaluations = run.evaluations()
    means = evaluations.returns.mean(axis=1)
    return {
        "key": run.path.name,
        "path": str(run.path),
        "game": run.config.task.game,
        "algorithm": run.config.algorithm,
        "seed": run.config.seed,
        "steps": run.config.steps,
        "first": float(means[0]),
        "last": float(means[-1]),
    }
