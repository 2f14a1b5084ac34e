"""`headstart export RUN`: a policy for plain Stable-Baselines3, or its episodes for Minari."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption

if TYPE_CHECKING:
    from agents.config import Mode
    from agents.policy import Policy
    from envs.task import Task


def export(
    run: Annotated[str, typer.Argument(help="A run folder, a key or its beginning, or a policy folder.")],
    sb3: Annotated[Path | None, typer.Option("--sb3", help="The zip to write.")] = None,
    minari: Annotated[str | None, typer.Option("--minari", help="The Minari data set to write: name/of-it-v0.")] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many episodes the data set holds.")] = 100,
    game: Annotated[str | None, typer.Option("--game", help="Play another game, through the mapping by names.")] = None,
    greedy: Annotated[
        bool | None, typer.Option("--greedy/--sampled", help="Else as the algorithm is evaluated.")
    ] = None,
    epsilon: Annotated[float, typer.Option("--epsilon", min=0, max=1, help="Probability of a random action.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the episodes and of what is drawn.")] = 0,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The kept policy nearest to this step.")] = None,
    change: ChangeOption = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a run's policy as a zip that Stable-Baselines3 opens, or its episodes as a Minari data set."""
    from agents.runs import find_policy, runs_root
    from agents.zips import write_zip
    from envs.errors import ConfigError
    from envs.task import Task
    from transfer.cli.console import emit_json, parse_settings, say

    if (sb3 is None) == (minari is None):
        raise ConfigError("expected one of --sb3 FILE.zip and --minari ID: the policy, or its episodes")
    if sb3 is not None and sb3.suffix != ".zip":
        raise ConfigError(f"--sb3: found {str(sb3)!r}, expected a file name that ends in .zip")
    policy = find_policy(run, runs_root(runs), step=step)
    if sb3 is not None:
        write_zip(policy, sb3)
        document: dict[str, object] = {"run": run, "file": str(sb3)}
        told = f"wrote {sb3}"
    else:
        task = Task(game=game) if game else policy.task
        if task is None:
            raise ConfigError(f"{run}: the game of this policy is not known; name it with --game")
        task = task.changed(parse_settings(change)) if change else task
        played = _demonstrate(policy, task, str(minari), episodes=episodes, greedy=greedy, epsilon=epsilon, seed=seed)
        document = {"run": run, "dataset": minari, "task": str(task), **played}
        told = f"wrote the data set {minari}: {played['episodes']} episodes, mean return {played['mean']:.2f}"
    if json:
        emit_json(document)
    else:
        say(told)


def _demonstrate(
    policy: "Policy", task: "Task", dataset: str, *, episodes: int, greedy: bool | None, epsilon: float, seed: int
) -> dict[str, int | float | str]:
    """Play, and write the data set. What it holds."""
    from transfer.demonstrations import save
    from transfer.demonstrations.playing import demonstrate

    mode: Mode | None = None if greedy is None else ("greedy" if greedy else "sampled")
    interface, played = demonstrate(policy, task, episodes, mode=mode, epsilon=epsilon, seed=seed)
    folder = save(dataset, played, interface, task=task, algorithm=policy.algorithm, description=f"played on {task}")
    returns = [float(episode.rewards.sum()) for episode in played]
    return {
        "folder": str(folder),
        "episodes": len(played),
        "steps": sum(map(len, played)),
        "mean": sum(returns) / len(returns),
    }
