"""From a task to boards: which arguments are the game's, who plays against the learner, what can be changed."""

import inspect
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from difflib import get_close_matches
from typing import Any

from envs.catalogue import Game, find_game
from envs.errors import ConfigError, UnknownName
from envs.registry import load_attribute
from envs.task import Task
from envs.turns.games import Names, TurnGames
from envs.turns.opponents import check_searches, find_pool, learnt
from envs.turns.vector import TurnsVecEnv

OPPONENT, AGAINST = "opponent", "against"
"""Arguments of every task in which one plays against somebody: who it is in training, and in evaluations."""
DEFAULTS = {OPPONENT: "self", AGAINST: "random"}
TIME_LIMIT = "time_limit"
"""The one change that games of turns know."""


def evaluated(task: Task) -> Task:
    """The task as it is evaluated: against whom `against` names; other tasks stay as they are."""
    if not find_game(task.game).turns:
        return task
    arguments = {name: value for name, value in task.arguments.items() if name != AGAINST}
    return task.model_copy(
        update={"arguments": {**arguments, OPPONENT: task.arguments.get(AGAINST, DEFAULTS[AGAINST])}}
    )


def opponents(task: Task, argument: str = OPPONENT) -> tuple[str, ...]:
    """The names of who plays, by the argument `opponent` or `against`. Raises ConfigError for what is no name."""
    found = task.arguments.get(argument, DEFAULTS[argument])
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"game {task.game!r}: {argument} is {found!r}, expected a name or a list of names, "
            "such as 'self', 'random' or 'mcts:100'"
        )
    return tuple(names)


def make_boards(
    task: Task,
    game: Game,
    n_boards: int,
    render_mode: str | None,
    creating: Callable[[Task], AbstractContextManager[None]],
) -> TurnsVecEnv:
    """Boards of a task. `creating` words what goes wrong meanwhile. Raises ConfigError, GameError, MissingExtra."""
    asked = sorted(task.change.model_dump(exclude_defaults=True).keys() - {TIME_LIMIT})
    if asked:
        raise ConfigError(
            f"game {task.game!r} is played in turns, which the change {asked[0]!r} does not know: "
            "leave it out; 'time_limit' (plies of all players) and the game's arguments can be changed"
        )
    names = opponents(task)
    judges = opponents(task, AGAINST)  # what is wrong with it is said now, not at the first evaluation
    pool = None if any(map(learnt, names)) else find_pool(names)
    arguments = {name: value for name, value in task.arguments.items() if name not in DEFAULTS}
    with creating(task):
        try:
            games = games_of(game, n_boards, {**game.arguments, **arguments})
        except TypeError as error:
            if (told := _not_taken(game, arguments, error)) is not None:
                raise told from error
            raise
        except ConfigError as error:
            if task.game in str(error):
                raise
            raise ConfigError(f"game {task.game!r}: {error}") from error
    games.name = task.game
    check_searches([*names, *judges], games)
    return TurnsVecEnv(games, names, pool, task.change.time_limit, render_mode)


def games_of(game: Game, n_boards: int, arguments: dict[str, Any]) -> TurnGames:
    """The boards alone: OpenSpiel's, or copies of an AEC environment. Raises what making them raises."""
    if game.vector_entry is not None:
        games: TurnGames = load_attribute(game.vector_entry, kind="game")(n_boards, **arguments)
        return games
    from envs.turns.pettingzoo import PettingZooGames
    from envs.turns.twins import TWINS

    entry = str(game.entry)
    make = load_attribute(entry, kind="game")
    names = Names(game.features, game.actions, game.anchor or ("centre", "centre"), game.cells)
    return PettingZooGames(game.id, lambda: make(**arguments), n_boards, names, TWINS.get(entry))


def _not_taken(game: Game, arguments: dict[str, Any], error: TypeError) -> UnknownName | None:
    """What to say of an argument that the game does not take; None if that is not what went wrong."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if found is None or found[1] not in arguments:
        return None
    known = [*_takes(game), *DEFAULTS]
    near = get_close_matches(found[1], [*known, TIME_LIMIT], n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}? It takes" if near else "it takes"
    return UnknownName(f"game {game.id!r} takes no argument {found[1]!r}: {meant} {', '.join(known)}")


def _takes(game: Game) -> list[str]:
    """The names of a game's arguments, as far as they are said."""
    make = load_attribute(game.vector_entry or str(game.entry), kind="game")
    parameters = list(inspect.signature(make).parameters.values())[game.vector_entry is not None :]
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        # In PettingZoo's games env(**kwargs) wraps what raw_env(...) of its module makes.
        raw = getattr(sys.modules.get(make.__module__), "raw_env", make)
        parameters = list(inspect.signature(raw).parameters.values())
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
