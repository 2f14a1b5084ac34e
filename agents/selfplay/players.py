"""Players as they are named on a command line: a run, a policy folder, a zip, or a fixed opponent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from agents.policy import Policy
from agents.runs import Run, find_policy, find_run
from agents.selfplay.matches import Opener
from agents.selfplay.opponents import NetworkOpponent, check_fits
from agents.selfplay.references import PREFIX
from envs.errors import ConfigError, UnknownName
from envs.interface import Interface
from envs.registry import did_you_mean
from envs.task import Task
from envs.turns.games import TurnGames
from envs.turns.making import AGAINST, OPPONENT
from envs.turns.opponents import FIXED, Opponent, find_opponent
from envs.turns.vector import TurnsVecEnv
from envs.vector import interface, make_vec

LEARNING = ("self", "league")
"""Opponents in trainings alone."""


@dataclass(frozen=True)
class Boards:
    """A game whose boards can be opened, as many as are wanted."""

    task: Task
    interface: Interface
    open: Opener


@dataclass(frozen=True)
class Player:
    """Who was named."""

    name: str
    """For tables."""
    who: Policy | Opponent
    """A trained player, or a fixed one."""

    def on(self, boards: Boards, *, greedy: bool = False) -> Opponent:
        """The player at these boards. Raises ConfigError where it was trained on another game."""
        if not isinstance(self.who, Policy):
            return self.who
        check_fits(self.name, self.who.interface, boards.interface, str(boards.task))
        return NetworkOpponent(self.name, self.who, greedy=greedy)


def open_boards(task: Task) -> Boards:
    """The boards of a task, whoever is named as its opponents. Raises ConfigError unless one plays against somebody."""
    nobody = {name: value for name, value in task.arguments.items() if name not in (OPPONENT, AGAINST)}
    task = task.model_copy(update={"arguments": nobody})

    def made(n_boards: int) -> TurnsVecEnv:
        venv = make_vec(task, n_envs=n_boards)
        if not isinstance(venv.unwrapped, TurnsVecEnv):
            venv.close()
            raise ConfigError(
                f"{task} is not played in turns against somebody: expected a game such as headstart/ConnectFour-v0"
            )
        return venv.unwrapped

    def opener(n_boards: int) -> TurnGames:
        return made(n_boards).games

    return Boards(task, interface(made(1)), opener)


def find_player(reference: str, root: Path, *, step: int | None = None, task: Task | None = None) -> Player:
    """Who is meant by `random`, `mcts:100`, `module:function`, a run, a policy folder or a zip.

    Args:
        reference: the name.
        root: where runs live.
        step: of a run, the kept policy nearest to this step.
        task: what a zip plays.

    Raises UnknownName, ConfigError, CheckpointError or MissingExtra.
    """
    path = Path(reference)
    if is_fixed(reference):
        found = find_opponent(reference)
        return Player(found.name, found)
    reference = reference.removeprefix(PREFIX)
    if path.is_file() or (path / "policy.json").is_file():
        return Player(path.name, find_policy(path, root, step=step, task=task))
    run = named_run(reference, root)
    return Player(run.key[:8], find_policy(reference, root, step=step))


def named_run(reference: str, root: Path) -> Run:
    """The run of a name, `run:` before it or not. Raises as `find_run` does, with fixed players in mind, too."""
    if reference in LEARNING:
        raise ConfigError(
            f"player {reference!r} is whoever learns in a training, and no player of games that count: expected a run, "
            "random, first, scripted, mcts:100 or minimax:4"
        )
    reference = reference.removeprefix(PREFIX)
    if not reference:
        raise ConfigError(f"player {PREFIX!r} names no run: expected {PREFIX}KEY")
    try:
        return find_run(reference, root)
    except UnknownName:
        if get_close_matches(reference, FIXED):
            raise did_you_mean("player", reference, FIXED) from None
        raise


def is_fixed(reference: str) -> bool:
    """Whether a name is that of a fixed opponent, or of a function that makes one; otherwise it names a run."""
    word, colon, _ = reference.partition(":")
    return word in FIXED or (bool(colon) and not reference.startswith(PREFIX) and not Path(reference).exists())


def distinct(players: Sequence[Player]) -> list[Player]:
    """The same players, those of one name numbered."""
    names = [player.name for player in players]
    seen: dict[str, int] = {}
    found = []
    for player in players:
        seen[player.name] = seen.get(player.name, 0) + 1
        again = names.count(player.name) > 1
        found.append(replace(player, name=f"{player.name} #{seen[player.name]}") if again else player)
    return found


def game_of(players: Sequence[Player]) -> Task:
    """What the first trained player was trained on. Raises ConfigError if nobody says what is played."""
    for player in players:
        if isinstance(player.who, Policy) and player.who.task is not None:
            return player.who.task
    raise ConfigError("found no run among the players, and no --game: name the game, such as headstart/ConnectFour-v0")
