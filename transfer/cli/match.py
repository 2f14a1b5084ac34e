"""`headstart match PLAYER PLAYER …`: everybody against everybody, with win rates and Elo."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.selfplay.matches import Table
    from agents.selfplay.players import Boards, Player
    from transfer.intervals import Interval
    from transfer.ratings import Rating


def match(
    player: Annotated[
        list[str],
        typer.Argument(
            help="Two or more: run folders, keys or their beginnings, policy folders, SB3 zips, random, first, "
            "scripted, mcts:100, minimax:4, or module:function."
        ),
    ],
    game: Annotated[str | None, typer.Option("--game", help="What is played; else the first run's game.")] = None,
    games: Annotated[
        int, typer.Option("--games", min=2, help="Of each pair of players; even, for both seats are played equally.")
    ] = 100,
    greedy: Annotated[bool, typer.Option("--greedy/--sampled", help="How trained players choose.")] = False,
    anchor: Annotated[
        str | None, typer.Option("--anchor", help="Who is at 0 Elo; else random if it plays, else the first.")
    ] = None,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The kept policies nearest to this step.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all chance.")] = 0,
    change: ChangeOption = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Let players play each other, every pair on both seats equally often: win rates and Elo, with 95 % intervals."""
    from agents.runs import runs_root
    from agents.selfplay.players import distinct, find_player, game_of, open_boards
    from envs.errors import ConfigError
    from envs.task import Task
    from transfer.cli.console import emit_json, parse_settings

    if len(player) < 2:
        raise ConfigError(f"found one player, {player[0]!r}, expected two or more, such as {player[0]} random")
    settings = seats_free(parse_settings(change))
    asked = Task.customised(game, settings) if game is not None else None
    players = distinct([find_player(named, runs_root(runs), step=step, task=asked) for named in player])
    boards = open_boards(asked or game_of(players).changed(settings))
    at_nought = anchored(anchor, players, player)
    table = played(boards, players, games, seed=seed, greedy=greedy, silent=json)
    document = {
        **described(boards, games, seed=seed, greedy=greedy),
        **standings(table, players, at_nought, games),
    }
    if json:
        emit_json(document)
    else:
        show(document)


def seats_free(settings: dict[str, Any]) -> dict[str, Any]:
    """The changes of a game whose players are named elsewhere. Raises ConfigError where they name somebody, too."""
    from envs.errors import ConfigError
    from envs.turns.making import DEFAULTS

    for name in DEFAULTS:
        if name in settings:
            raise ConfigError(
                f"--change {name}={settings[name]}: who sits at the board is said by the players' names; leave it out"
            )
    return settings


def anchored(anchor: str | None, players: "Sequence[Player]", references: "Sequence[str]" = ()) -> int:
    """Which player is at 0 Elo. Raises UnknownName."""
    from envs.registry import did_you_mean

    names = [player.name for player in players]
    if anchor is None:
        return names.index("random") if "random" in names else 0
    for known in (names, list(references)):
        if anchor in known:
            return known.index(anchor)
    raise did_you_mean("player", anchor, names)


def played(
    boards: "Boards",
    players: "Sequence[Player]",
    games: int,
    *,
    seed: int,
    greedy: bool,
    silent: bool,
    pairs: "Sequence[tuple[int, int]] | None" = None,
) -> "Table":
    """The games of all pairs, or of some, shown as they go on. Raises ConfigError or GameError."""
    from agents.selfplay.matches import round_robin
    from transfer.cli.console import counted, progress

    seated = [player.on(boards, greedy=greedy) for player in players]
    total = games * (len(pairs) if pairs is not None else len(players) * (len(players) - 1) // 2)
    with progress(total, str(boards.task), silent=silent, unit="games") as bar:

        def on_game(over: int, moves: int) -> None:
            bar.update(over, counted(moves, "move"))

        return round_robin(boards.open, seated, games, seed=seed, on_game=on_game, pairs=pairs)


def described(boards: "Boards", games: int, *, seed: int, greedy: bool) -> dict[str, Any]:
    """How it was played."""
    mode = "greedy" if greedy else "sampled"
    return {"task": str(boards.task), "games": games, "seed": seed, "mode": mode}


def standings(table: "Table", players: "Sequence[Player]", anchor: int, games: int) -> dict[str, Any]:
    """Players from the best to the worst, and the matches, as plain data."""
    from transfer.ratings import elo

    ratings = elo(table.wins, table.draws, anchor=anchor)
    rows = [
        {
            "name": player.name,
            **record(int(table.wins[i].sum()), int(table.draws[i].sum()), int(table.wins[:, i].sum())),
            "elo": rated(ratings[i]),
        }
        for i, player in enumerate(players)
    ]
    matches = [
        {
            "player": players[i].name,
            "against": players[j].name,
            **record(int(table.wins[i, j]), int(table.draws[i, j]), int(table.wins[j, i])),
            "mean_return": float(table.returns[i, j]),
        }
        for i in range(len(players))
        for j in range(i + 1, len(players))
        if table.wins[i, j] + table.draws[i, j] + table.wins[j, i] > 0
    ]
    best_first = sorted(rows, key=lambda row: -row["elo"]["value"])
    return {"anchor": players[anchor].name, "players": best_first, "matches": matches}


def record(wins: int, draws: int, losses: int) -> dict[str, Any]:
    """Games of one player, counted, with the win rate and its interval."""
    from transfer.ratings import win_rate, win_rate_interval

    interval = win_rate_interval(wins, draws, losses)
    rate = {"value": win_rate(wins, draws, losses), **_ends(interval)}
    return {"wins": wins, "draws": draws, "losses": losses, "win_rate": rate}


def rated(rating: "Rating") -> dict[str, Any]:
    """A rating as plain data."""
    return {"value": rating.elo, **_ends(rating.interval), "note": rating.interval.note}


def _ends(interval: "Interval") -> dict[str, Any]:
    return {"low": interval.low, "high": interval.high, "interval": interval.kind}


def show(document: dict[str, Any]) -> None:
    """The tables on standard output."""
    from transfer.cli.console import counted, say, table

    games = counted(document["games"], "game")
    say(f"{document['task']}: {games} a pair, both seats equally often, {document['mode']}, seed {document['seed']}\n")
    numbers = ("games", "win", "draw", "loss", "win rate", "95 %", "Elo", "Elo, 95 %")
    rows = [[row["name"], *told(row), *told_elo(row["elo"])] for row in document["players"]]
    table(["player", *numbers], rows, right=numbers)
    if len(document["players"]) > 2:
        say("")
        rows = [[row["player"], row["against"], *told(row)] for row in document["matches"]]
        table(["player", "against", *numbers[:6]], rows, right=numbers)
    say(f"\n{footnote(document)}")


def told(row: dict[str, Any]) -> list[str]:
    """Games, wins, draws, losses, the win rate and its interval."""
    counts = [row["wins"], row["draws"], row["losses"]]
    rate = row["win_rate"]
    return [*(str(count) for count in (sum(counts), *counts)), f"{rate['value']:.3f}", _between(rate, "{:.3f}")]


def told_elo(rating: dict[str, Any]) -> list[str]:
    """A rating and its interval."""
    between = "anchor" if rating["low"] == rating["high"] == 0 else _between(rating, "{:.0f}")
    return [f"{rating['value']:.0f}", between]


def footnote(document: dict[str, Any]) -> str:
    """What the numbers are."""
    open_ended = any(None in (row["elo"]["low"], row["elo"]["high"]) for row in document["players"])
    said = (
        "Win rates: draws as halves, Wilson's interval. Elo: Bradley and Terry's model by maximum likelihood, "
        f"{document['anchor']} = 0, intervals of the profile likelihood."
    )
    if open_ended:
        said += (
            " Where one side won every game that counts, the rating is that of one virtual draw, and its interval has "
            "one end only."
        )
    return said


def _between(ends: dict[str, Any], form: str) -> str:
    low, high = (None if ends[end] is None else form.format(ends[end]) for end in ("low", "high"))
    if low is None or high is None:
        return "unknown" if low is high else f"{low} or more" if high is None else f"{high} or less"
    return f"{low} to {high}"
