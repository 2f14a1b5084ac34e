"""Who plays against the learner: the protocol, those that are always the same, and pools of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.errors import ConfigError, HeadstartError, OpponentError
from envs.registry import did_you_mean, load_callable
from envs.turns import lookahead
from envs.turns.games import TurnGames

Array = npt.NDArray[Any]

MOST = 10_000_000
"""How much a search may be told to search."""

LEARNT = ("self", "league", "run")
"""Opponents that are networks: they come with a pool, from the training or the evaluation that has them."""


class Opponent(Protocol):
    """One who plays against the learner, on many boards at once. One whose attribute `looks` is False gets no view."""

    name: str

    def choose(
        self,
        games: TurnGames,
        boards: Array,
        observations: Array,
        masks: Array,
        generators: Sequence[np.random.Generator],
    ) -> Array:
        """A legal action for who is to move on each of M boards.

        Args:
            games: the boards, to look ahead on; never to move on.
            boards: (M,) int64, which of them.
            observations: (M, …), what who is to move sees; (M, 0) for one who does not look.
            masks: (M, n_actions) int8, what is legal.
            generators: of the M boards, the only source of chance.

        Returns:
            (M,) int64.
        """
        ...


class Pool(Protocol):
    """Opponents, one of whom is drawn for each episode."""

    @property
    def opponents(self) -> Sequence[Opponent]:
        """All who may be drawn, by index."""
        ...

    def draw(self, generator: np.random.Generator) -> int:
        """The index of the next opponent."""
        ...

    def ended(self, index: int, outcome: float) -> None:
        """An episode against opponent `index` ended, and the learner's return was `outcome`."""
        ...

    def state(self) -> dict[str, Any]:
        """What decides the draws that follow."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        ...


class FixedPool:
    """Opponents that stay as they are, each equally likely."""

    def __init__(self, opponents: Sequence[Opponent]) -> None:
        if not opponents:
            raise ConfigError("there is no opponent: expected one or more, such as 'random' or 'mcts:100'")
        self.opponents = tuple(opponents)

    def draw(self, generator: np.random.Generator) -> int:
        """The index of the next opponent, drawn uniformly."""
        return int(generator.integers(len(self.opponents))) if len(self.opponents) > 1 else 0

    def ended(self, index: int, outcome: float) -> None:
        """Nothing follows from it."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


class Random:
    """Every legal action with the same probability."""

    name = "random"
    looks = False

    def choose(
        self,
        games: TurnGames,
        boards: Array,
        observations: Array,
        masks: Array,
        generators: Sequence[np.random.Generator],
    ) -> Array:
        """One draw of each board's generator."""
        draws = np.array([generator.random() for generator in generators])
        return uniform(masks, draws)


class First:
    """The legal action with the lowest number."""

    name = "first"
    looks = False

    def choose(
        self,
        games: TurnGames,
        boards: Array,
        observations: Array,
        masks: Array,
        generators: Sequence[np.random.Generator],
    ) -> Array:
        """Draws nothing."""
        lowest: Array = masks.argmax(axis=1)
        return lowest


def uniform(masks: Array, draws: Array) -> Array:
    """Legal actions picked by numbers (M,) from [0, 1): of k legal actions, number floor(k · draw)."""
    legal = masks.cumsum(axis=1, dtype=np.int64)
    picked: Array = (legal > np.floor(draws * legal[:, -1]).astype(np.int64)[:, None]).argmax(axis=1)
    return picked


FIXED: Mapping[str, Any] = {
    "random": Random,
    "first": First,
    "scripted": lookahead.Scripted,
    "mcts": lookahead.MCTS,
    "minimax": lookahead.Minimax,
}


def learnt(spec: str) -> bool:
    """Whether a name stands for a network that a training or an evaluation must bring: `self`, `league`, `run:…`."""
    return spec.partition(":")[0] in LEARNT


def is_function(spec: str) -> bool:
    """Whether a name may be that of a `module:function`; `mcst:100` cannot."""
    module, colon, function = spec.partition(":")
    return bool(colon) and module not in FIXED and not function.isdigit()


def find_opponent(spec: str) -> Opponent:
    """The opponent called `random`, `first`, `scripted`, `mcts:100` or `minimax:4`, or what `module:function` makes.

    Raises UnknownName, ConfigError, or MissingExtra.
    """
    name, colon, rest = spec.partition(":")
    if learnt(spec):
        raise ConfigError(
            f"opponent {spec!r} is a trained player, which only a training or an evaluation brings: name a fixed one "
            "(random, first, scripted, mcts:100, minimax:4), or set a pool"
        )
    if name in FIXED:
        takes = name in lookahead.NUMBERED
        if takes != bool(colon):
            example = f"{name}:{lookahead.NUMBERED[name]}" if takes else name
            raise ConfigError(f"opponent {spec!r}: expected {example!r}" + (", say" if takes else ""))
        found: Opponent = FIXED[name](_number(spec, rest)) if takes else FIXED[name]()
        return found
    if not colon:
        names = [f"{known}:{lookahead.NUMBERED[known]}" if known in lookahead.NUMBERED else known for known in FIXED]
        raise did_you_mean("opponent", spec, [*names, "self", "league"])
    if not is_function(spec):
        raise did_you_mean("opponent", spec, [f"{known}:{rest}" for known in lookahead.NUMBERED])
    return _of_a_module(spec)


def _number(spec: str, digits: str) -> int:
    if not digits.isascii() or not digits.isdigit() or not 1 <= int(digits) <= MOST:
        raise ConfigError(
            f"opponent {spec!r}: found {digits!r} after the colon, expected a whole number from 1 to {MOST}"
        )
    return int(digits)


def _of_a_module(spec: str) -> Opponent:
    """What somebody's function makes. Raises ConfigError."""
    function = load_callable(spec, kind="opponent")
    try:
        made = function()
    except HeadstartError:
        raise
    except Exception as error:
        raise ConfigError(f"opponent {spec!r} raised {' '.join(repr(error).split())} while it was made") from error
    if not callable(getattr(made, "choose", None)):
        raise ConfigError(f"opponent {spec!r} made {made!r}, expected an object with a method 'choose'")
    if not isinstance(getattr(made, "name", None), str):
        made.name = spec
    opponent: Opponent = made
    return opponent


def find_pool(specs: str | Sequence[str]) -> FixedPool:
    """A pool of opponents that are always the same. Raises as `find_opponent` does."""
    return FixedPool([find_opponent(spec) for spec in ([specs] if isinstance(specs, str) else specs)])


def check_searches(specs: Sequence[str], games: TurnGames) -> None:
    """Raises ConfigError where one of those named searches, and cannot on these boards. Nobody's function is called."""
    for spec in specs:
        if spec.partition(":")[0] in FIXED and isinstance(found := find_opponent(spec), lookahead.Searcher):
            found.check(games)


def chosen(
    opponent: Opponent, games: TurnGames, boards: Array, players: Array, generators: Sequence[np.random.Generator]
) -> Array:
    """What an opponent plays on boards (M,) where players (M,) are to move: (M,) int64.

    Raises OpponentError, which names the opponent, if it raises or plays what is not legal.
    """
    masks = games.masks(boards)
    looks = getattr(opponent, "looks", True)
    observations = games.observe(boards, players) if looks else np.empty((len(boards), 0))
    try:
        actions = np.asarray(opponent.choose(games, boards, observations, masks.copy(), generators))
    except HeadstartError:
        raise
    except (Exception, SystemExit) as error:
        raise OpponentError(f"opponent {opponent.name!r} raised {' '.join(repr(error).split())}") from error
    if actions.shape != boards.shape or actions.dtype.kind not in "iu":
        raise OpponentError(
            f"opponent {opponent.name!r} returned {actions.dtype} of shape {actions.shape}, "
            f"expected {len(boards)} whole numbers, an action a board"
        )
    inside = (actions >= 0) & (actions < games.n_actions)
    legal = inside & (masks[np.arange(len(boards)), np.where(inside, actions, 0)] == 1)
    if not legal.all():
        wrong = int(np.flatnonzero(~legal)[0])
        allowed = np.flatnonzero(masks[wrong]).tolist()
        raise OpponentError(
            f"opponent {opponent.name!r} played the illegal action {actions[wrong]} in {games.name}; "
            f"legal are {shortened(allowed)}"
        )
    return actions.astype(np.int64)


def shortened(actions: list[int]) -> str:
    """Some numbers in a message."""
    return ", ".join(map(str, actions[:12])) + (", …" if len(actions) > 12 else "")
