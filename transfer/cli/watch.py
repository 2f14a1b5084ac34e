"""`headstart watch RUN…`: see what agents do, in a window, in the terminal or in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="In a game against somebody, whom: random, scripted, mcts:100, minimax:4, a run; else as it was "
            "evaluated. With --play and without a run, who plays against you.",
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Play against the run yourself, in the terminal.")] = False,
    seat: Annotated[Literal["first", "second"], typer.Option("--seat", help="With --play, your seat.")] = "first",
    hints: Annotated[
        bool, typer.Option("--hints", help="With --play, show what the run would play in your place.")
    ] = False,
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
    from transfer.cli.match import seats_free

    if play:
        if record is not None:
            raise ConfigError("found --play and --record, expected one of them: leave one out")
        play_in_terminal(
            run or [],
            runs,
            game=game,
            step=step,
            settings=seats_free(parse_settings(change)),
            greedy=greedy,
            seed=seed,
            against=against,
            seat=seat,
            hints=hints,
            games=episodes or 1,
        )
        return
    if seat != "first" or hints:
        raise ConfigError(f"found {'--hints' if hints else '--seat'} without --play, where a person plays: add --play")
    if record is not None:
        if terminal:
            raise ConfigError("found --terminal and --record, expected one of them: leave one out")
        check_suffix(record)
        max_steps = max_steps or LONGEST
    if episodes is None and (terminal or record is not None):
        episodes = 1
    settings = parse_settings(change) | ({} if against is None else {"against": opponents_named(against, runs)})
    with open_show(
        run or [], runs, game=game, step=step, settings=settings, greedy=greedy, seed=seed, text=terminal
    ) as show:
        show.episodes, show.max_steps = episodes, max_steps
        if record is not None:
            say(f"wrote {write(show, record, fps=fps)}")
        elif terminal:
            with headless():
                watch_in_terminal(show, fps=fps)
        else:
            watch_in_window(show, fps=fps)


def opponents_named(against: str, runs: str | None) -> str:
    """What a task calls the opponent of the command line. Raises a HeadstartError."""
    from agents.runs import runs_root
    from agents.selfplay.players import is_fixed, named_run
    from agents.selfplay.references import PREFIX

    return against if is_fixed(against) else f"{PREFIX}{named_run(against, runs_root(runs)).key}"


def play_in_terminal(
    references: list[str],
    runs: str | None,
    *,
    game: str | None,
    step: int | None,
    settings: dict[str, object],
    greedy: bool | None,
    seed: int,
    against: str | None,
    seat: str,
    hints: bool,
    games: int,
) -> None:
    """A person against the run, or against whom `--against` names. Raises HeadstartErrors."""
    from agents.runs import runs_root
    from agents.selfplay.players import find_player, game_of, open_boards
    from agents.selfplay.seat import SEATS
    from agents.watch.playing import Game
    from envs.errors import ConfigError
    from envs.task import Task

    named = [*references, *([] if against is None else [against])]
    if len(named) != 1:
        raise ConfigError(
            f"--play: found {len(named)} opponents, expected one, a run or --against, such as --against mcts:100"
        )
    task = Task.customised(game, settings) if game is not None else None
    player = find_player(named[0], runs_root(runs), step=step, task=task)
    boards = open_boards(task or game_of([player]).changed(settings))
    Game(boards, player.on(boards, greedy=bool(greedy)), seat=SEATS.index(seat), hints=hints).play(games, seed)


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
        task = check_against(Task.customised(game, settings), settings)
        player = Player(None, task, seed=seed, text=text, root=root)
        return Show([player], [Caption("at random", short(task), player.interface.features)])
    for reference in references:
        title, details, policy = find(reference, root, step, game)
        task = check_against(played(reference, policy, game, settings), settings)
        mode = default_mode(policy.algorithm) if greedy is None else ("greedy" if greedy else "sampled")
        player = Player(policy, task, seed=seed, mode=mode, text=text, root=root)
        players.append(player)
        captions.append(Caption(title, " · ".join([short(task), *details]), player.interface.features))
    return Show(players, captions)


def check_against(task: "Task", settings: dict[str, object]) -> "Task":
    """The task. Raises ConfigError where an opponent is named and the game has none."""
    from envs.catalogue import find_game
    from envs.errors import ConfigError

    if "against" in settings and not find_game(task.game).turns:
        raise ConfigError(f"--against: {task.game} is not played in turns against somebody; leave it out")
    return task


def find(reference: str, root: Path, step: int | None, game: str | None) -> tuple[str, list[str], "Policy"]:
    """A title, the details that tell two of a title apart, and the policy."""
    from agents.runs import find_policy, find_run, is_policy
    from envs.task import Task

    path = Path(reference)
    if is_policy(path) or path.suffix == ".zip":
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
