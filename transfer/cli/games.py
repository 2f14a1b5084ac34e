"""`headstart games`: which games there are, what is known of each, and whether one of your own is in order."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import JsonOption

if TYPE_CHECKING:
    from envs.catalogue import Game
    from envs.check import Report

app = typer.Typer(help="List, show and check games.", invoke_without_command=True)
GameArgument = Annotated[str, typer.Argument(metavar="GAME", help="A listed id, a Gymnasium id, or module:Id-v0.")]


@app.callback()
def games(context: typer.Context, json: JsonOption = False) -> None:
    """List the games; or `show GAME`, `check GAME`."""
    if context.invoked_subcommand is None:
        list_(json)
    elif json:
        raise typer.BadParameter(f"found --json before {context.invoked_subcommand!r}; write it after")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """All listed games and plug-ins, by family. Any other Gymnasium id works too."""
    from envs.catalogue import list_games
    from transfer.cli.console import emit_json, say, table

    found = list_games()
    if json:
        emit_json({"games": [_row(game) for game in found]})
        return
    table(
        ("game", "family", "what it is", "to install"),
        [(game.id, game.family, game.summary, "" if installed(game) else how_to_install(game)) for game in found],
    )
    say(f"{len(found)} games; any other Gymnasium id, module:Id-v0 or plug-in works too (docs/writing-a-game.md)")


@app.command()
def show(game: GameArgument, json: JsonOption = False) -> None:
    """What is known of a game: spaces, names, scores and where they come from, arguments."""
    from transfer.cli.console import emit_json, say

    document = describe(game)
    if json:
        emit_json(document)
        return
    say(f"{document['id']}  ({document['family']})")
    for label, text in _lines(document):
        say(f"  {label:<13} {text}")


@app.command()
def check(game: GameArgument, json: JsonOption = False) -> None:
    """Try everything that a game must do; name each fault, what was expected and how to mend it."""
    from envs.check import check_game
    from transfer.cli.console import emit_json

    report = check_game(game)
    if json:
        emit_json(report.to_json())
    else:
        _say_report(report)
    if not report.fine:
        raise typer.Exit(2)


def installed(game: "Game") -> bool:
    """Whether the package that brings a game can be imported; nothing is imported to find out."""
    from importlib.util import find_spec

    module = game.requires or (game.entry or "").partition(":")[0]
    return not module or find_spec(module.partition(".")[0]) is not None


def how_to_install(game: "Game") -> str:
    """The command that brings a game, or that nothing is needed."""
    if game.extra is not None:
        return f"pip install 'headstart[{game.extra}]'"
    if game.requires and not installed(game):
        return f"pip install {game.requires}"
    return "comes with headstart" if game.listed and game.family != "plug-in" else "is there already"


def describe(name: str) -> dict[str, Any]:
    """All that is known of a game as plain data. A listed game that is not installed is described without spaces."""
    from envs.catalogue import find_game, list_games

    listed = next((game for game in list_games() if game.id == name), None)
    game = listed if listed is not None and not installed(listed) else find_game(name)
    return {
        **_row(game),
        "install": how_to_install(game),
        "arguments": dict(game.arguments),
        "agents": _agents(game),
        "batched": game.batched,
        "scores": {
            "random": game.random,
            "reference": game.reference,
            "threshold": game.threshold,
            "source": game.score_source,
        },
        **(_spaces(name) if installed(game) else {"features": game.features, "actions": game.actions}),
    }


def _agents(game: "Game") -> str:
    if game.turns:
        return "one, against opponents (docs/board-games.md)"
    return "several, who share a policy" if game.multiagent else "one"


def _row(game: "Game") -> dict[str, Any]:
    return {
        "id": game.id,
        "family": game.family,
        "summary": game.summary,
        "extra": game.extra,
        "installed": installed(game),
    }


def _spaces(name: str) -> dict[str, Any]:
    """A game's spaces and names as learners see them."""
    from envs.interface import space_to_json
    from envs.vector import interface, make_vec

    venv = make_vec(name)
    seen = interface(venv)
    venv.close()
    return {
        "observation_space": _without_infinity(space_to_json(seen.observation_space)),
        "action_space": _without_infinity(space_to_json(seen.action_space)),
        "features": seen.features,
        "actions": seen.actions,
    }


def _without_infinity(document: Any) -> Any:
    """JSON has no infinity: a bound that is none is null."""
    if isinstance(document, dict):
        return {key: _without_infinity(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_without_infinity(value) for value in document]
    return None if document in (float("inf"), float("-inf")) else document


def _lines(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What `show` prints, as labels and texts."""
    scores = document["scores"]
    known = [f"{key} {scores[key]:g}" for key in ("random", "reference", "threshold") if scores[key] is not None]
    lines = [
        ("", document["summary"]),
        ("observations", _space(document.get("observation_space"))),
        ("features", ", ".join(document["features"] or ()) or "not named"),
        ("actions", _space(document.get("action_space"))),
        ("", ", ".join(document["actions"] or ()) or "not named"),
        ("agents", document["agents"]),
        ("arguments", ", ".join(f"{key}={value}" for key, value in document["arguments"].items()) or "none set"),
        ("scores", ", ".join(known) or "not known"),
        ("source", scores["source"]),
        ("install", document["install"] + ("" if document["installed"] else " (not installed yet)")),
    ]
    return [(label, text) for label, text in lines if text]


def _space(space: dict[str, Any] | None) -> str:
    """A space in a few words, such as ``7x7x3 uint8, 0 to 10``."""
    match space:
        case None:
            return ""
        case {"space": "Box", "shape": shape, "dtype": dtype}:
            size = "x".join(map(str, shape))
            return f"Box {size} {dtype}, {_extreme(space['low'], min)} to {_extreme(space['high'], max)}"
        case {"space": "Discrete", "n": n}:
            return f"Discrete, one of {n}"
        case {"space": "Dict", "spaces": parts}:
            return "; ".join(f"{key}: {_space(part)}" for key, part in parts.items())
    return f"{space['space']} {space.get('nvec', space.get('n'))}"


def _extreme(bound: Any, pick: Any) -> str:
    """The lowest or highest of nested numbers; None among them is no bound at all."""
    numbers = _flat(bound)
    if None in numbers:
        return "-∞" if pick is min else "∞"
    return f"{pick(numbers):g}"


def _flat(bound: Any) -> list[float | None]:
    return [number for part in bound for number in _flat(part)] if isinstance(bound, list) else [bound]


def _say_report(report: "Report") -> None:
    from transfer.cli.console import say

    for title in report.passed:
        say(f"OK     {title}")
    for text in report.notes:
        say(f"note   {text}")
    for fault in report.faults:
        say(f"FAULT  {fault.what}\n       expected: {fault.expected}\n       to mend it: {fault.fix}")
    speed = "" if report.steps_per_second is None else f", {report.steps_per_second:,.0f} steps per second"
    count = len(report.faults)
    say(f"{report.game}: {'no fault' if not count else '1 fault' if count == 1 else f'{count} faults'}{speed}")
