"""`headstart evaluate RUN`: play held-out episodes with a trained agent, or matches against a stated pool."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption

if TYPE_CHECKING:
    from agents.evaluation import EpisodeResults
    from envs.task import Task


def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, a key or its beginning, a policy folder, or an SB3 zip.")],
    game: Annotated[str | None, typer.Option("--game", help="Another game with the same spaces; a zip's game.")] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many episodes.")] = 100,
    greedy: Annotated[bool | None, typer.Option("--greedy/--sampled", help="Else as the run was evaluated.")] = None,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The kept policy nearest to this step.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sampled actions.")] = 0,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="In a game against somebody: matches of --episodes games with each of these, with win rate and Elo. "
            "Names with commas between them: random,mcts:100,RUN.",
        ),
    ] = None,
    change: ChangeOption = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a trained agent on held-out episodes, one a seed, with the game's raw rewards."""
    from agents.algorithms import default_mode
    from agents.evaluation import evaluate as play
    from agents.runs import find_policy, runs_root
    from envs.errors import ConfigError
    from envs.task import Task
    from envs.turns.making import evaluated
    from transfer.cli.console import counted, emit_json, parse_settings, say
    from transfer.cli.match import seats_free

    if against is not None:
        seats_free(parse_settings(change))
    asked = Task.customised(game, parse_settings(change)) if game else None
    root = runs_root(runs)
    policy = find_policy(run, root, step=step, task=asked)
    task = asked or policy.task
    if task is None:
        raise ConfigError(f"{run}: the game of this policy is not known; name it with --game")
    if change and asked is None:
        task = task.changed(parse_settings(change))
    mode = default_mode(policy.algorithm) if greedy is None else ("greedy" if greedy else "sampled")
    if against is not None:
        _matches(run, against, task, root, episodes, step=step, seed=seed, greedy=mode == "greedy", json=json)
        return
    result = play(policy, task, episodes=episodes, mode=mode, seed=seed, root=root)
    document = _document(run, evaluated(task), mode, result)
    if json:
        emit_json(document)
        return
    spread = document["standard_deviation"]
    said = "" if spread is None else f"standard deviation {spread:.2f}, "
    say(
        f"{document['task']}: mean return {document['mean']:.2f} over {counted(episodes, 'held-out episode')}, {mode} "
        f"({said}from {document['minimum']:.2f} to {document['maximum']:.2f})"
    )
    if "win_rate" in document:
        rate = document["win_rate"]
        say(
            f"{document['wins']} won, {document['draws']} drawn, {document['losses']} lost: win rate "
            f"{rate['value']:.3f} (95 % {rate['low']:.3f} to {rate['high']:.3f})"
        )


def _document(run: str, task: "Task", mode: str, result: "EpisodeResults") -> dict[str, Any]:
    """What came out, as plain data; of a game against somebody the wins, too."""
    import numpy as np

    from envs.catalogue import find_game
    from transfer.cli.match import record

    episodes = len(result.returns)
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
    if find_game(task.game).turns:
        signs = np.sign(result.returns)
        document |= record(int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum()))
    return document


def _matches(
    run: str,
    against: str,
    task: "Task",
    root: Path,
    games: int,
    *,
    step: int | None,
    seed: int,
    greedy: bool,
    json: bool,
) -> None:
    """The run against each of a pool. Raises a HeadstartError."""
    from agents.selfplay.players import distinct, find_player, open_boards
    from envs.errors import ConfigError
    from transfer.cli.console import emit_json
    from transfer.cli.match import anchored, described, played, show, standings

    names = [name.strip() for name in against.split(",")]
    if not all(names):
        raise ConfigError(f"--against: found {against!r}, expected names with commas between them: random,mcts:100")
    first = find_player(run, root, step=step, task=task)
    players = distinct([first, *(find_player(name, root, task=task) for name in names)])
    boards = open_boards(task)
    pairs = [(0, other) for other in range(1, len(players))]
    table = played(boards, players, games, seed=seed, greedy=greedy, silent=json, pairs=pairs)
    anchor = 1 + anchored(None, players[1:])
    document = {**described(boards, games, seed=seed, greedy=greedy), **standings(table, players, anchor, games)}
    if json:
        emit_json({"run": run, **document})
    else:
        show(document)
