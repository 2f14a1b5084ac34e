"""`headstart watch RUN…`: see what agents do, in a window, in the terminal or in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.cli.console import ChangeOption, RunsOption

if TYPE_CHECKING:
    from agents.policy import Policy
    from agents.runs import Run
    from agents.watch.show import Show
    from envs.task import Task

LONGEST = 1000
"""Steps of an episode that is recorded, unless `--max-steps` says otherwise."""


def watch(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            help="Run folders, keys or their beginnings, policy folders, SB3 zips; several are shown side by side. "
            "Without any, the game of --game is played at random."
        ),
    ] = None,
    game: Annotated[str | None, typer.Option("--game", help="Another game with the same spaces; a zip's game.")] = None,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The kept policy nearest to this step.")] = None,
    episodes: Annotated[
        int | None, typer.Option("--episodes", min=1, help="How many; else 1, in a window until it is closed.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first episode.")] = 0,
    greedy: Annotated[bool | None, typer.Option("--greedy/--sampled", help="Else as each run was evaluated.")] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Draw in the terminal.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Write FILE.mp4 or FILE.gif.")] = None,
    fps: Annotated[
        int | None, typer.Option("--fps", min=1, max=60, help="Frames a second; else the game's own.")
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option("--max-steps", min=1, help=f"Leave an episode after so many steps; else {LONGEST} if recorded."),
    ] = None,
    change: ChangeOption = None,
    runs: RunsOption = None,
) -> None:
    """Watch trained agents play, or a game at random, with the probabilities of their actions beside the picture."""
    from agents.watch.terminal import watch_in_terminal
    from agents.watch.video import check_suffix
    from agents.watch.video import record as write
    from agents.watch.window import watch_in_window
    from envs.errors import ConfigError
    from envs.headless import headless
    from transfer.cli.console import parse_settings, say

    if record is not None:
        if terminal:
            raise ConfigError("found --terminal and --record, expected one of them: leave one out")
        check_suffix(record)
        max_steps = max_steps or LONGEST
    if episodes is None and (terminal or record is not None):
        episodes = 1
    with open_show(
        run or [], runs, game=game, step=step, settings=parse_settings(change), greedy=greedy, seed=seed, text=terminal
    ) as show:
        show.episodes, show.max_steps = episodes, max_steps
        if record is not None:
            say(f"wrote {write(show, record, fps=fps)}")
        elif terminal:
            with headless():
                watch_in_terminal(show, fps=fps)
        else:
            watch_in_window(show, fps=fps)


def open_show(
    references: list[str],
    runs: str | None,
    *,
    game: str | None,
    step: int | None,
    settings: dict[str, object],
    greedy: bool | None,
    seed: int,
    text: bool = False,
) -> "Show":
    """The players that the command line names, each with its caption. Raises HeadstartErrors."""
    from agents.algorithms import default_mode
    from agents.rollout import Player
    from agents.runs import runs_root
    from agents.watch.drawing import Caption
    from agents.watch.show import Show, short
    from envs.errors import ConfigError
    from envs.task import Task

    root = runs_root(runs)
    players, captions = [], []
    if not references:
        if game is None:
            raise ConfigError(
                "found neither a run nor --game, expected one of them: headstart runs list shows the runs"
            )
        task = Task.customised(game, settings)
        player = Player(None, task, seed=seed, text=text)
        return Show([player], [Caption("at random", short(task), player.interface.features)])
    for reference in references:
        title, details, policy = find(reference, root, step, game)
        task = played(reference, policy, game, settings)
        mode = default_mode(policy.algorithm) if greedy is None else ("greedy" if greedy else "sampled")
        player = Player(policy, task, seed=seed, mode=mode, text=text)
        players.append(player)
        captions.append(Caption(title, " · ".join([short(task), *details]), player.interface.features))
    return Show(players, captions)


def find(reference: str, root: Path, step: int | None, game: str | None) -> tuple[str, list[str], "Policy"]:
    """A title, the details that tell two of a title apart, and the policy."""
    from agents.runs import find_policy, find_run
    from envs.task import Task

    path = Path(reference)
    if path.is_file() or (path / "policy.json").is_file() or path.suffix == ".zip":
        task = Task(game=game) if game is not None else None
        policy = find_policy(reference, root, step=step, task=task)
        return f"{policy.algorithm} · {path.name}", [], policy
    run = find_run(reference, root)
    taken = run.config.steps if step is None else nearest(run, step)
    policy = run.policy(None if step is None else taken)
    return title_of(run), [run.key[:8], f"{taken:,} steps"], policy


def title_of(run: "Run") -> str:
    """The algorithm and what was carried into the run."""
    carried = (run.config.transfer or {}).get("by") or []
    methods = [entry["method"] if isinstance(entry, dict) else str(entry) for entry in carried]
    return f"{run.config.algorithm} · {' + '.join(methods) or 'from scratch'}"


def nearest(run: "Run", step: int) -> int:
    """The step of the kept policy nearest to a step."""
    kept = [*run.snapshots(), *([run.config.steps] if run.state == "done" else [])]
    return min(kept, key=lambda other: abs(other - step)) if kept else step


def played(reference: str, policy: "Policy", game: str | None, settings: dict[str, object]) -> "Task":
    """What is played: the game asked for, else the policy's own, changed. Raises ConfigError."""
    from envs.errors import ConfigError
    from envs.task import Task

    if game is not None:
        return Task.customised(game, settings)
    if policy.task is None:
        raise ConfigError(f"{reference}: the game of this policy is not known; name it with --game")
    return policy.task.changed(settings) if settings else policy.task
