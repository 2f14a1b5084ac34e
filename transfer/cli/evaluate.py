"""`headstart evaluate RUN`: play held-out episodes with a trained agent."""

from typing import Annotated

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption


def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, a key or its beginning, a policy folder, or an SB3 zip.")],
    game: Annotated[str | None, typer.Option("--game", help="Another game with the same spaces; a zip's game.")] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many episodes.")] = 100,
    greedy: Annotated[bool | None, typer.Option("--greedy/--sampled", help="Else as the run was evaluated.")] = None,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The kept policy nearest to this step.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sampled actions.")] = 0,
    change: ChangeOption = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a trained agent on held-out episodes, one a seed, with the game's raw rewards."""
    import numpy as np

    from agents.algorithms import default_mode
    from agents.evaluation import evaluate as play
    from agents.runs import find_policy, runs_root
    from envs.errors import ConfigError
    from envs.task import Task
    from transfer.cli.console import counted, emit_json, parse_settings, say

    asked = Task.customised(game, parse_settings(change)) if game else None
    policy = find_policy(run, runs_root(runs), step=step, task=asked)
    task = asked or policy.task
    if task is None:
        raise ConfigError(f"{run}: the game of this policy is not known; name it with --game")
    if change and asked is None:
        task = task.changed(parse_settings(change))
    mode = default_mode(policy.algorithm) if greedy is None else ("greedy" if greedy else "sampled")
    result = play(policy, task, episodes=episodes, mode=mode, seed=seed)
    document = {
        "run": run,
        "task": str(task),
        "episodes": episodes,
        "mode": mode,
        "mean": float(np.mean(result.returns)),
        "standard_deviation": float(np.std(result.returns, ddof=1)) if episodes > 1 else None,
        "minimum": float(np.min(result.returns)),
        "maximum": float(np.max(result.returns)),
        "mean_length": float(np.mean(result.lengths)),
        "returns": [float(value) for value in result.returns],
    }
    if json:
        emit_json(document)
    else:
        spread = document["standard_deviation"]
        said = "" if spread is None else f"standard deviation {spread:.2f}, "
        say(
            f"{task}: mean return {document['mean']:.2f} over {counted(episodes, 'held-out episode')}, {mode} "
            f"({said}from {document['minimum']:.2f} to {document['maximum']:.2f})"
        )
