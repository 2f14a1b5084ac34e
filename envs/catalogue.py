"""The catalogue of games: `catalogue.toml`, installed plug-ins, and whatever else Gymnasium can make.

Reading it imports neither Gymnasium nor any game. A table whose name ends in `*` holds what all ids that begin so have
in common; it also serves ids of that kind that nobody listed.
"""

import tomllib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envs.errors import ConfigError, MissingExtra
from envs.registry import did_you_mean, import_module, load_attribute

GROUP = "headstart.games"
"""Entry points of this group are games: name = id, value = environment class or factory."""

SAID = {
    *("family", "summary", "score_source", "features", "actions", "values", "anchor", "cells"),
    *("random", "reference", "threshold", "multiagent", "turns"),
}
"""What an environment may say of itself."""


@dataclass(frozen=True)
class Game:
    """What is known about a game. Nothing but the id is needed to play it."""

    id: str
    family: str = "unlisted"
    summary: str = ""
    extra: str | None = None
    """The optional dependency of Headstart that brings it."""
    requires: str | None = None
    """The module that must be there; importing it registers the game."""
    entry: str | None = None
    """`module:function` that returns the environment; None: Gymnasium makes the id."""
    vector_entry: str | None = None
    """`module:class` of a batch of it, a SAME_STEP `gymnasium.vector.VectorEnv`, called with the number of environments
    and the arguments; None: Gymnasium's `vector_entry_point`, where Gymnasium makes the id."""
    adapt: str | None = None
    """`module:function`, called `f(env) -> env` on each single environment before anything else."""
    multiagent: bool = False
    """A PettingZoo parallel environment."""
    turns: bool = False
    """Players take turns: boards of `envs.turns`. `vector_entry` is called with the number of boards and makes them;
    without it `entry` makes a PettingZoo AEC environment."""
    batched: bool = False
    """Whether one object plays many environments at once, and is ours to customise."""
    training: tuple[str, ...] = ()
    """Arguments that hold in training alone, such as clipped rewards: `envs.scoring`."""
    speed: tuple[str, ...] = ()
    """Arguments that say how fast it is played, and nothing of the game that scores are of."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """What plays its batches besides its own, by the value of its argument `engine`, which is the module that must be
    there: `module:function`, called with a task, that says what keeps it from playing that one: `envs.engines`."""
    of_kind: str | None = None
    """Of a kind: the argument of its entry that takes an id which nobody listed; None: Gymnasium makes those."""
    register: Mapping[str, Any] | None = None
    """Our own games: arguments of `gymnasium.register`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that make this game out of its environment."""
    features: tuple[str, ...] | None = None
    """Names of a vector's entries, or of planes."""
    actions: tuple[str, ...] | None = None
    """Names of discrete actions, or of a continuous action's dimensions."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Names of the values of symbols, by the name of a plane or of a Discrete part."""
    anchor: tuple[str, str] | None = None
    """What stays in place where a picture is cropped or padded, see `envs.interface.Interface`."""
    cells: tuple[Any, ...] | None = None
    """The cells that actions name, see `envs.interface.Interface.action_cells`."""
    random: float | None = None
    """Mean return of uniformly random actions."""
    reference: float | None = None
    """Mean return of a good player."""
    threshold: float | None = None
    """Mean return from which the game counts as solved."""
    score_source: str = ""
    """Where the three scores come from."""
    listed: bool = True
    """Whether the catalogue, or a plug-in, names it."""


def our_list() -> list[Game]:
    """The games of the catalogue alone; looks for no plug-in."""
    return list(_catalogue()[0].values())


def list_games() -> list[Game]:
    """All games of the catalogue and of plug-ins, by family in the catalogue's order; plug-ins come last."""
    games = {game.id: game for game in our_list()}
    for point in _plugins():
        games.setdefault(point.name, Game(id=point.name, family="plug-in", entry=point.value))
    return list(games.values())


def find_game(name: str) -> Game:
    """The game of this name: listed, a plug-in, any id registered with Gymnasium, `module:Id-v0` or `module:function`.

    Raises UnknownName, MissingExtra if its package is not installed, ConfigError if a module cannot be imported.
    """
    game = _catalogue()[0].get(name) or _plugin(name) or _of_a_kind(name)
    if game is not None:
        _require(game)
        if game.listed or name in _registered():
            return game
    elif ":" in name and _import(name.partition(":")[0], name):
        if (identifier := name.partition(":")[2]) in _registered():
            return _registered_game(name, identifier)
        if (game := _of_a_module(name)) is not None:
            return game
    elif name in _registered():
        return _registered_game(name, name)
    if name.endswith(".py"):
        meant = Path(name).stem
        raise ConfigError(f"game {name!r} is a file, expected the name of a game in it, such as {meant}:MyGame-v0")
    raise did_you_mean("game", name, _near(name) or {*(game.id for game in list_games()), *_registered()})


def makers(name: str) -> set[str]:
    """The modules that make a game which neither the catalogue nor Gymnasium brings. Raises what `find_game` does."""
    game = find_game(name)
    if game.id in _catalogue()[0] or game.requires is not None:
        return set()
    if game.entry is not None:
        return {game.entry.partition(":")[0]}
    module, _, identifier = name.rpartition(":")
    spec = _registered()[identifier]
    found = {module, _module(spec.entry_point), _module(spec.vector_entry_point)} - {"", None}
    return {str(each) for each in found if str(each).partition(".")[0] != "gymnasium"}


def _near(name: str) -> set[str]:
    """For `module:Id-v0`, what that module's package registers."""
    module, colon, _ = name.partition(":")
    package = module.partition(".")[0]
    own = (identifier for identifier, spec in _registered().items() if _origin(spec).partition(".")[0] == package)
    return {f"{module}:{identifier}" for identifier in own} if colon else set()


def named(game: Game, metadata: Mapping[str, Any]) -> Game:
    """The game with what its environment says of itself in `metadata["headstart"]`, which wins over the catalogue."""
    said: Mapping[str, Any] = metadata.get("headstart", {})
    known: dict[str, Any] = {key: said[key] for key in SAID & said.keys() if said[key] is not None}
    return replace(game, **_tuples(known))


def import_quietly(module: str, wanted: str) -> None:
    """Import the package that brings a wanted game and registers it, without its warnings of deprecation.

    Raises ConfigError or MissingExtra.

    They are not ours to mend, and Box2D's crash the interpreter where warnings are errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import_module(module, wanted, "game")


@cache
def _catalogue() -> tuple[dict[str, Game], dict[str, Game]]:
    """The listed games by id, and the kinds by the beginning of their ids."""
    with (Path(__file__).parent / "catalogue.toml").open("rb") as file:
        tables = tomllib.load(file)
    kinds = {name.removesuffix("*"): table for name, table in tables.items() if name.endswith("*")}
    listed = {
        name: _game(name, {**_common(kinds, name, turns=table.get("turns", False)), **table}, listed=True)
        for name, table in tables.items()
        if not name.endswith("*")
    }
    return listed, {start: _game(start, table, listed=False) for start, table in kinds.items()}


def _common(kinds: Mapping[str, dict[str, Any]], name: str, *, turns: bool) -> dict[str, Any]:
    """What the kind of an id says, by its longest beginning. Games of turns have nothing in common with others."""
    starts = [start for start, kind in kinds.items() if name.startswith(start) and kind.get("turns", False) == turns]
    return kinds[max(starts, key=len)] if starts else {}


def _game(name: str, table: Mapping[str, Any], *, listed: bool) -> Game:
    return Game(id=name, listed=listed, **_tuples(table))


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if key in ("features", "actions", "anchor", "cells", "training", "speed") else value
        for key, value in table.items()
    }


def _of_a_kind(name: str) -> Game | None:
    """An unlisted id of a listed kind, such as a MiniGrid that the catalogue leaves out."""
    kinds = _catalogue()[1]
    starts = [
        start
        for start, kind in kinds.items()
        if name.startswith(start) and kind.requires and (not kind.entry or kind.of_kind)
    ]
    if not starts:
        return None
    kind = kinds[max(starts, key=len)]
    given = {} if kind.of_kind is None else {kind.of_kind: name}
    return replace(kind, id=name, arguments={**kind.arguments, **given})


def _plugins() -> Iterator[EntryPoint]:
    yield from sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _plugin(name: str) -> Game | None:
    for point in _plugins():
        if point.name == name:
            return _made(name, "plug-in", point.value)
    return None


def _made(name: str, family: str, target: str) -> Game:
    """The game that a class or function makes, by what it makes. Raises ConfigError or MissingExtra."""
    from envs.factories import kind_of

    kind = kind_of(load_attribute(target, kind="game"))
    game = Game(id=name, family=family, entry=target, multiagent=kind.multiagent, turns=kind.turns)
    return named(game, kind.metadata)


def _of_a_module(name: str) -> Game | None:
    """The game that `module:function` makes, if there is such a thing. Raises ConfigError if it makes no game."""
    from envs.factories import kind_of

    module, _, path = name.partition(":")
    found: Any = import_module(module, name, "game")
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        return None
    if not kind_of(found).playable:
        raise ConfigError(
            f"game {name!r} makes nothing that can be played: expected a gymnasium.Env, or a PettingZoo ParallelEnv or "
            "AECEnv"
        )
    return replace(_made(name, "unlisted", name), summary=f"made by {name}", listed=False)


def _require(game: Game) -> None:
    """Raises MissingExtra if the game's package is not there; imports it if Gymnasium is to make the game."""
    if game.requires is None:
        return
    if find_spec(game.requires) is None:
        extra = f"headstart[{game.extra}]" if game.extra else game.requires
        raise MissingExtra(
            f"game {game.id!r} needs the package {game.requires!r}: install it with pip install '{extra}'"
        )
    if not game.listed:
        _import(game.requires, game.id)


def _import(module: str, name: str) -> bool:
    if not all(module.split(".")) and "/" not in module:
        raise ConfigError(f"game {name!r} should be written 'Id-v0' or 'module:Id-v0'")
    import_quietly(module, name)
    return True


def _registered() -> Mapping[str, Any]:
    """Gymnasium's registry, our own games included. Imports Gymnasium: only for names that nobody lists."""
    from envs.registration import register_games

    return register_games()


def _registered_game(name: str, identifier: str) -> Game:
    spec = _registered()[identifier]
    return Game(
        id=name,
        summary=f"registered with Gymnasium by {_origin(spec)}",
        threshold=spec.reward_threshold,
        score_source="" if spec.reward_threshold is None else "threshold: Gymnasium's reward_threshold",
        listed=False,
    )


def _origin(spec: Any) -> str:
    return _module(spec.entry_point) or "a function"


def _module(entry: Any) -> str | None:
    """The module of an entry point, which is `module:attribute` or a callable."""
    return entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", None)
