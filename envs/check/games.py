"""All checks in their order. Every fault is collected; only a game that cannot be played at all ends them early."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from envs.catalogue import Game, find_game, import_quietly
from envs.check import parts
from envs.check.batches import check_vectors
from envs.check.names import Names, check_names
from envs.check.parts import STEPS, Make
from envs.check.play import play
from envs.check.players import Player, Players
from envs.check.report import Fault, Report, raised
from envs.check.turns import check_turns
from envs.errors import HeadstartError, MissingExtra, UnknownName
from envs.headless import headless
from envs.registration import register_games
from envs.registry import load_attribute
from envs.vector import create

UNSAID = Fault(
    "the game has several agents, and its factory does not say so",
    'a factory of a PettingZoo game with an attribute metadata = {"headstart": {"multiagent": True}}',
    "set that attribute on the factory, or name the game's class as the entry point",
)


def check_game(name: str, *, steps: int = STEPS) -> Report:
    """Everything that is wrong with a game. Raises UnknownName or MissingExtra; all other errors become faults."""
    report = Report(name)
    with _hushed(report):
        try:
            game = find_game(name)
            make = _maker(game)
        except (UnknownName, MissingExtra):
            raise
        except HeadstartError as error:
            report.faults.append(Fault(str(error), "a module that can be imported", "follow the message"))
            return report
        except (Exception, SystemExit) as error:
            report.faults.append(raised(error, "while its module was imported"))
            return report
        if game.turns:
            check_turns(report, game, steps=steps)
            return report
        player = _examine(report, make, {"features": game.features, "actions": game.actions}, steps)
        if isinstance(player, Players) and not game.multiagent:
            report.faults.append(UNSAID)
        if report.fine:
            check_vectors(report, name)
    return report


def check_made(make: Make, name: str, *, steps: int = STEPS) -> Report:
    """Everything that is wrong with the games that `make()` and `make(render_mode="rgb_array")` return.

    Args:
        make: returns a new gymnasium.Env or PettingZoo ParallelEnv each time.
        name: what to call it.
        steps: how many steps each play takes.
    """
    report = Report(name)
    with _hushed(report):
        _examine(report, make, {}, steps)
    return report


def _examine(report: Report, make: Make, names: Mapping[str, Names], steps: int) -> Player | None:
    """All checks of one game. `names` are those of the catalogue, by "features" and "actions"."""
    player = parts.made(report, make)
    if player is None or not parts.check_spaces(report, player):
        return player
    features = check_names(report, player, names)
    parts.check_reset(report, player)
    first = play(player, seed=1, steps=steps)
    parts.check_values(report, player, first, features)
    if first.fault is None:
        parts.check_seeds(report, player, make, first)
        parts.check_end(report, player, first)
    parts.check_agents(report, player, make)
    parts.check_picture(report, player, make)
    parts.ask_peers(report, player, make)
    parts.check_close(report, player)
    if first.fault is None:
        report.steps_per_second = parts.speed(make)
    return player


def _maker(game: Game) -> Make:
    """A function that makes the game as it is played, without the wrappers that would hide its faults."""
    register_games()
    if game.requires is not None:
        import_quietly(game.requires, game.id)
    for target in filter(None, (game.entry, game.adapt)):
        load_attribute(target, kind="game")

    def make(**keywords: Any) -> Any:
        own = {key: value for key, value in game.arguments.items() if key != "agent_indicator"}  # which is ours
        return create(game, {**own, **keywords})

    return make


@contextlib.contextmanager
def _hushed(report: Report) -> Iterator[None]:
    """What games print, draw and warn of while they are checked stays off the screen."""
    with contextlib.redirect_stdout(io.StringIO()) as said, warnings.catch_warnings(), headless():
        warnings.simplefilter("ignore")
        yield
    lines = [line for line in said.getvalue().splitlines() if line.strip() and not line.startswith("pygame")]
    if lines:
        report.note(f"it prints to standard output, where results belong, such as {lines[0][:60]!r}: use logging")
